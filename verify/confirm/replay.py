"""From a solver's values to a packet, and its replay in the plain simulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.confirm.answers import Violated
from svcc.verify.confirm.findings import Retry
from svcc.verify.confirm.judge import Failure, allowed_outcomes, judge, judge_result, judge_return
from svcc.verify.netfilter.extensions import can_be_false
from svcc.verify.simulator.interpreter import distribution, ways
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import (
    DOCUMENTATION_SOURCE,
    EPHEMERAL_PORT,
    TCP,
    Packet,
    Result,
    World,
)
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec.outcomes import Case, Serve

MAX_GUESSES = 256
"""Ways that matches outside the model can go for one packet; with more it is not decided."""


def packet_of(region: Region, family: Family, violated: Violated) -> Packet:
    """The packet that the solver found in a region."""
    packet = packet_of_values(
        violated,
        family,
        region.from_node,
        None if region.frontend is None else region.box.first_port,
    )
    box = region.box
    if region.frontend is not None and region.frontend.address is not None:
        packet = replace(packet, destination=box.address)
    if box.protocol is not None:
        packet = replace(packet, protocol=box.protocol)
    return packet


def packet_of_values(
    violated: Violated, family: Family, from_node: bool, port: int | None
) -> Packet:
    """The packet that the solver found; what it left open gets a documentation value."""

    def number(name: str, default: int) -> int:
        return int(violated.values.get(name, default))

    return Packet(
        family,
        from_node,
        number("src", DOCUMENTATION_SOURCE[family]),
        number("sport", EPHEMERAL_PORT),
        number("dst", DOCUMENTATION_SOURCE[family] + 1),
        number("dport", EPHEMERAL_PORT) if port is None else port,
        number("proto", TCP),
        "" if from_node else interface_of(violated, "iif", "eth0"),
        number("mark0", 0),
    )


def world_of(regions: Regions, numbering: Numbering, packet: Packet, violated: Violated) -> World:
    """The world that the solver found."""
    values = violated.values
    chosen: dict[int, bool] = {}
    for address, host in numbering.hosts.items():
        flag = values.get(f"backend_local{host}")
        if flag is not None:
            chosen[address] = bool(flag)
    if "local" in values:
        chosen[packet.destination] = bool(values["local"])
    if packet.from_node:
        chosen[packet.source] = True
        for name, value in values.items():
            if name == "own_source":
                chosen[int(value)] = True
            elif name.startswith("own_at_"):
                chosen[int(name.removeprefix("own_at_"))] = bool(value)
    full = (1 << packet.family.bits) - 1

    def is_local(address: int) -> bool:
        if regions.always_local(address, full):
            return True
        return address not in regions.cluster_ips and chosen.get(address, False)

    ways = {packet.destination: interface_of(violated, "oif0", "eth1")} if packet.from_node else {}
    last = interface_of(violated, "oif1", "eth1")
    return World(
        is_local,
        _ages(numbering, values),
        last,
        ways=lambda address: ways.get(address, last),
        own_address=lambda interface, destination: int(values.get("own_source", packet.source)),
    )


def _ages(numbering: Numbering, values: Mapping[str, int | bool]) -> dict[str, int]:
    ages: dict[str, int] = {}
    for name, number in numbering.lists.items():
        prefix = f"recent{number}_"
        known = {key.removeprefix(prefix): bool(v) for key, v in values.items()
                 if key.startswith(prefix)}  # fmt: skip
        if any(known.values()):
            absent = [int(key) for key, stands in known.items() if not stands and key != "any"]
            ages[name] = max(absent, default=0)
    return ages


def interface_of(violated: Violated, variable: str, default: str) -> str:
    """The interface that the solver chose: a name that the rules have, or one of a pattern."""
    number = violated.values.get(variable)
    names = {n: name for name, n in violated.interfaces.items()}
    if number is not None and int(number) in names:
        return names[int(number)]
    fitting = [
        pattern[:-1]
        for flag, (of, pattern) in violated.patterns.items()
        if of == variable and violated.values.get(flag)
    ]
    if fitting:
        return max(fitting, key=len) + "0"
    if number is None:
        return default
    # Of any other name: the usual ones may be in the rules.
    patterns = {pattern[:-1] for _, pattern in violated.patterns.values()}
    names_left = (f"{stem}{n}" for stem in ("eth", "net", "dev") for n in range(99))
    unnamed = (
        name
        for name in (default, *names_left)
        if name not in violated.interfaces and not name.startswith(tuple(patterns))
    )
    return next(unnamed, default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a packet's results are judged by.

    ``cases`` are those of the packet's region. ``tolerance`` is how far a backend's share may be
    from 1/n.
    """

    rules: RuleSet
    cases: tuple[Case, ...]
    masquerade_mark: int
    tolerance: Fraction

    def failures(
        self, packet: Packet, world: World, outcomes: list[tuple[Fraction, Result]] | None = None
    ) -> list[Failure]:
        """What the plain reading finds wrong with a packet; ``outcomes`` where they are known.

        Where the packet meets a match outside the model, it must be wrong whether that is true
        or not.

        Raises:
            UndecidableError: a rule outside the model decides.
        """
        try:
            return self._failures(packet, world, outcomes)
        except UndecidableError as undecidable:
            first: list[Failure] | None = None
            try:
                for guessed in every_way(world):
                    found = self._failures(packet, guessed)
                    kept = {_what(failure) for failure in found}
                    first = [f for f in (found if first is None else first) if _what(f) in kept]
                    if not first:
                        break
            except TooManyWaysError:
                first = None
            if not first:
                raise undecidable from None
            return first

    def is_right(self, rules: RuleSet, packet: Packet, world: World) -> bool:
        """Whether nothing is wrong with a packet by other rules; no where that is not decided."""
        trial = replace(self, rules=rules)
        worlds = (world, replace(world, recent={})) if world.recent else (world,)
        allowed = allowed_outcomes(self.cases, packet)
        try:
            # Most rules that are tried fail on the first way already.
            known = None
            if world.guess is None:
                known = []
                for chance, result in ways(rules, packet, world):
                    if judge_result(allowed, packet, world, result, self.masquerade_mark):
                        return False
                    known.append((chance, result))
            return not any(
                trial.failures(packet, each, known if each is world else None) for each in worlds
            )
        except UndecidableError:
            return False

    def retry(self, packet: Packet, world: World) -> Retry:
        """The packet, to be tried again with other rules."""
        wanted = allowed_outcomes(self.cases, packet)
        return Retry(packet, world, wanted, lambda rules, w: self.is_right(rules, packet, w))

    def _failures(
        self, packet: Packet, world: World, outcomes: list[tuple[Fraction, Result]] | None = None
    ) -> list[Failure]:
        if outcomes is None:
            outcomes = distribution(self.rules, packet, world)
        allowed = allowed_outcomes(self.cases, packet)
        found = judge(
            allowed,
            packet,
            world,
            outcomes,
            masquerade_mark=self.masquerade_mark,
            tolerance=self.tolerance,
        )
        if len(allowed) == 1 and isinstance(allowed[0], Serve):
            found += judge_return(
                allowed[0], packet, world, lambda w: distribution(self.rules, packet, w)
            )
        return found


def _what(failure: Failure) -> tuple[object, ...]:
    """What a failure must share in every way that the rules outside the model can go."""
    result = failure.result
    place = (result.verdict, result.destination, result.destination_port)
    return failure.property, failure.code, place


class TooManyWaysError(Exception):
    """The packet meets too many matches outside the model."""


def every_way(world: World) -> Iterator[World]:
    """The world with each match outside the model true or false, as rules come to be asked;
    false where some packet of every kind does not have it.

    Raises:
        TooManyWaysError: see there.
    """
    pending: list[dict[int, bool]] = [{}]
    for _ in range(MAX_GUESSES):
        if not pending:
            return
        answers = pending.pop()
        known = len(answers)

        def guess(rule: Rule, answers: dict[int, bool] = answers) -> bool:
            if any(can_be_false(match) for match in rule.matches):
                return False
            return answers.setdefault(id(rule), False)

        yield replace(world, guess=guess)
        asked = list(answers)
        for place in range(known, len(asked)):
            pending.append({key: answers[key] for key in asked[:place]} | {asked[place]: True})
    if pending:
        raise TooManyWaysError


def unconfirmed(packet: Packet) -> str:
    """What to say of a packet that the solver calls a counterexample and the simulator not."""
    return f"internal error, please report: the simulator does not confirm {packet}"
