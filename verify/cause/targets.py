"""What a rule might have been meant to do, and rules that might be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from svcc.grammar.iptables.program import (
    Goto,
    Jump,
    MapMark,
    Masquerade,
    NatTarget,
    Reject,
    Rule,
    SetMark,
    Target,
    Verdict,
)
from svcc.grammar.iptables.ruleset import place_of
from svcc.grammar.iptables.write import write_rule
from svcc.verify.cause.changes import Bench, ChainName, Change
from svcc.verify.cause.operands import Hints, pins
from svcc.verify.cause.walks import Walks
from svcc.verify.confirm.findings import Retry
from svcc.verify.simulator.packet import Packet, endpoint_text
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.outcomes import Discard, DroppedByMark, Refuse, Serve, Untouched

_MOST_BACKENDS = 8
_MOST_CHAINS = 60
_REJECT = Reject("icmp-port-unreachable")
_REJECT6 = Reject("icmp6-port-unreachable")


@dataclass(frozen=True, slots=True)
class Action:
    """A target, the tables that it may stand in, and what its rule does, in words."""

    target: Target
    tables: frozenset[str]
    words: str

    def may_stand_in(self, place: ChainName) -> bool:
        """Whether a chain may have such a rule."""
        return place.table in self.tables or place_of(place.table) in self.tables


class Actions:
    """What rules do that lead to what packets must see."""

    def __init__(self, bench: Bench, mark: int) -> None:
        self._bench, self._mark = bench, mark
        self._to_backend: dict[tuple[int, int | None], list[ChainName]] = {}
        self._jumps: dict[ChainName, list[ChainName]] = {}
        self._above: dict[ChainName, set[ChainName]] = {}
        self._orphans: dict[str, list[Action]] = {}
        self._useful: dict[tuple[str, bool, str], set[ChainName]] = {}
        for table, chains in bench.rules.tables.items():
            for name, chain in chains.items():
                place = ChainName(table, name)
                for rule in chain.rules:
                    target = rule.target
                    if isinstance(target, NatTarget) and target.first_address is not None:
                        key = (target.first_address, target.first_port)
                        self._to_backend.setdefault(key, []).append(place)
                    elif isinstance(target, Jump | Goto):
                        self._jumps.setdefault(ChainName(table, target.chain), []).append(place)

    def leading_to(self, backends: tuple[Backend, ...]) -> list[ChainName]:
        """Chains that packets are sent to the backends from, the nearest to them first."""
        level = [
            place
            for backend in backends
            for place in self._to_backend.get((backend.address, backend.port), ())
        ]
        found = dict.fromkeys(level)
        while level and len(found) < _MOST_CHAINS:
            level = [up for place in level for up in self._jumps.get(place, ()) if up not in found]
            found |= dict.fromkeys(level)
        user = [p for p in found if self._bench.rules.tables[p.table][p.chain].policy is None]
        return user[:_MOST_CHAINS]

    def of(self, retry: Retry, about: str = "") -> list[Action]:
        """What a rule may be meant to do to a packet; ``about``: its ``destination`` or ``source``
        alone.
        """
        found: list[Action] = []
        filters = frozenset({"filter"})
        if retry.wanted_verdict is not None:
            words = "accepts" if retry.wanted_verdict == "ACCEPT" else "drops"
            found.append(Action(Verdict(retry.wanted_verdict), filters, f"that {words} it"))
        for outcome in retry.wanted:
            match outcome:
                case Refuse():
                    reject = _REJECT if retry.packet.family.bits == 32 else _REJECT6
                    found.append(Action(reject, filters, "that rejects it"))
                case Discard() | DroppedByMark():
                    found.append(Action(Verdict("DROP"), filters, "that drops it"))
                case Serve():
                    found += self._serving(outcome, retry.packet, about)
                case Untouched():
                    pass
        every = frozenset({"filter", "nat", "mangle", "raw"})
        found.append(Action(Verdict("RETURN"), every, "that returns it"))
        if retry.wanted_verdict is None:
            found.append(Action(Verdict("ACCEPT"), filters, "that accepts it"))
        return found

    def _serving(self, outcome: Serve, packet: Packet, about: str) -> Iterator[Action]:
        if about != "source":
            yield from self._sending(outcome, packet)
        if about != "destination":
            yield from self._rewriting()

    def _sending(self, outcome: Serve, packet: Packet) -> Iterator[Action]:
        nat = frozenset({"nat"})
        for place in self.leading_to(outcome.backends):
            for target in (Jump(place.chain), Goto(place.chain)):
                yield Action(target, frozenset({place.table}), f"that sends it to {place.chain}")
        servers = [] if self._bench.rules.ipvs is None else self._bench.rules.ipvs.servers
        places = {
            Backend(key.address, key.port): None
            for key in servers
            if (key.family, key.protocol, key.port)
            == (packet.family, packet.protocol, packet.destination_port)
        }
        places |= dict.fromkeys(outcome.backends)
        for backend in list(places)[:_MOST_BACKENDS]:
            name = endpoint_text(packet.family, backend.address, backend.port)
            dnat = NatTarget(name="DNAT", first_address=backend.address, first_port=backend.port)
            yield Action(dnat, nat, f"that sends it to {name}")

    def _rewriting(self) -> Iterator[Action]:
        marks = frozenset({"nat", "mangle"})
        words = f"that gives it the mark {self._mark:#x}"
        for chain in self._marking():
            yield Action(Jump(chain.chain), frozenset({chain.table}), words)
        yield Action(SetMark(self._mark, self._mark), marks, words)
        yield Action(Masquerade(), frozenset({"nat"}), "that masquerades it")

    def _marking(self) -> Iterator[ChainName]:
        """Chains of one rule that gives the masquerade mark, whatever they are called."""
        for table in ("nat", "mangle"):
            for name, chain in self._bench.rules.tables.get(table, {}).items():
                if chain.policy is None and len(chain.rules) == 1:
                    target = chain.rules[0].target
                    if isinstance(target, SetMark) and target.value & self._mark:
                        yield ChainName(table, name)

    def jumps(self, table: str, retry: Retry, about: str) -> list[Action]:
        """To the chains of a table that lead to what a packet must see; where there are many, to
        those that base chains lead to.
        """
        chains = self._bench.rules.tables.get(table, {})
        refused = any(isinstance(o, Refuse | Discard | DroppedByMark) for o in retry.wanted)
        key = (table, refused, about)
        if key not in self._useful:
            found = self._refusing(table) if refused else self._changing(table, about)
            self._useful[key] = found
        useful = self._useful[key]
        names = [n for n, c in chains.items() if c.policy is None and ChainName(table, n) in useful]
        if len(names) > _MOST_CHAINS:
            names = [n for n in names if any(
                chains[up.chain].policy is not None
                for up in self._jumps.get(ChainName(table, n), ()))][:_MOST_CHAINS]  # fmt: skip
        return [Action(Jump(n), frozenset({table}), f"that sends it to {n}") for n in names]

    def _refusing(self, table: str) -> set[ChainName]:
        return self._above_those(table, lambda t: isinstance(t, Reject) or t == Verdict("DROP"))

    def _changing(self, table: str, about: str) -> set[ChainName]:
        kinds: tuple[type[Target], ...] = (NatTarget, SetMark, MapMark, Masquerade)
        if about == "source":
            # A chain that sends packets elsewhere is not left out for its marks' sake.
            kinds = (SetMark, Masquerade)
        return self._above_those(table, lambda t: isinstance(t, kinds))

    def _above_those(self, table: str, is_one: Callable[[Target | None], bool]) -> set[ChainName]:
        """Chains with such a rule, and all that lead to them."""
        level = [
            ChainName(table, name)
            for name, chain in self._bench.rules.tables.get(table, {}).items()
            if any(is_one(rule.target) for rule in chain.rules)
        ]
        found = set(level)
        while level:
            level = [up for at in level for up in self._jumps.get(at, ()) if up not in found]
            found.update(level)
        return found

    def orphans(self, table: str) -> list[Action]:
        """To chains of a table that no rule leads to."""
        if table not in self._orphans:
            self._orphans[table] = self._without_jumps(table)
        return self._orphans[table]

    def _without_jumps(self, table: str) -> list[Action]:
        found = [
            Action(target, frozenset({table}), f"that sends it to {name}")
            for name, chain in self._bench.rules.tables.get(table, {}).items()
            if chain.policy is None and chain.rules and ChainName(table, name) not in self._jumps
            for target in (Jump(name), Goto(name))
        ]
        return found[:_MOST_CHAINS]

    def goes_round(self, place: ChainName, target: Target) -> bool:
        """Whether a rule of a chain with this target would lead back to the chain."""
        if not isinstance(target, Jump | Goto):
            return False
        if place not in self._above:
            above = {place}
            level = [place]
            while level:
                level = [up for at in level for up in self._jumps.get(at, ()) if up not in above]
                above.update(level)
            self._above[place] = above
        return ChainName(place.table, target.chain) in self._above[place]


def other_targets(
    bench: Bench, walks: Walks, actions: Actions, *, of_jumps: bool
) -> Iterator[Change]:
    """The packet's rules with other targets: those that jump, or those that do something."""
    for met in walks.fired:
        target = met.rule.target
        if isinstance(target, Jump | Goto) is not of_jumps or target is None:
            continue
        if of_jumps and bench.rules.tables[met.place.table][met.place.chain].policy is not None:
            continue
        wanted = [a for a in actions.of(walks.retry) if a.may_stand_in(met.place)]
        if isinstance(target, Jump | Goto):
            turned = Goto(target.chain) if isinstance(target, Jump) else Jump(target.chain)
            wanted = [
                Action(turned, frozenset({met.place.table}), ""),
                *actions.orphans(met.place.table),
                *(a for a in wanted if isinstance(a.target, Jump | Goto)),
            ]
        for action in wanted:
            if isinstance(action.target, Jump | Goto) and not of_jumps:
                continue
            if actions.goes_round(met.place, action.target):
                continue
            other = replace(met.rule, target=action.target)
            text = write_rule(Rule(chain="", target=action.target), bench.family)
            remedy = f"right with {text.removeprefix('-A ').strip()}"
            yield bench.instead(met.place, met.position, other, remedy, met.effect)


def _least(bench: Bench, retry: Retry, action: Action, place: ChainName) -> int:
    """How much a missing rule says of the packet at least: one that refuses or lets in names
    what, and one in a base chain is for all that comes.
    """
    plain = retry.world.state == "NEW" and not retry.packet.mark
    refuses = isinstance(action.target, Reject | Verdict) and place.table == "filter"
    is_base = bench.rules.tables[place.table][place.chain].policy is not None
    return 2 * (plain and refuses) + is_base


def missing_rules(
    bench: Bench, walks: Walks, actions: Actions, hints: Hints, about: str
) -> Iterator[list[Change]]:
    """Rules that may be missing: in every chain that the packet came to, behind every rule that
    did something to it, and at the end. A list for each place and target: for fewest packets
    first.
    """
    wanted = [a for a in actions.of(walks.retry, about) if not isinstance(a.target, Goto)]
    packet, world = walks.retry.packet, walks.retry.world
    pinned = list(pins(packet, world.state, hints, world.is_local(packet.source)))
    known_jumps = {table: actions.jumps(table, walks.retry, about) for table in bench.rules.tables}
    positions: dict[ChainName, set[int]] = {place: set() for place in walks.places}
    for met in walks.fired:
        positions[met.place].add(met.position + 1)
    for place, known in positions.items():
        here = [a for a in wanted if a.may_stand_in(place)]
        here += known_jumps[place.table] if walks.retry.wanted else []
        here = [a for a in here if not actions.goes_round(place, a.target)]
        for position in sorted({0, *known, len(bench.chain(place))}):
            for action in here:
                what = f"a rule {action.words}"
                found = []
                for pin, level in pinned:
                    level = max(level, _least(bench, walks.retry, action, place))
                    rule = replace(pin, chain=place.chain, target=action.target)
                    found.append(bench.inserted(place, position, rule, what, pins=level))
                yield found
