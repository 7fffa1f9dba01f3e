"""The ways of one packet: which rules it met, and which chains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from svcc.grammar.iptables.program import Goto, Jump, Rule
from svcc.verify.cause.changes import Bench, ChainName
from svcc.verify.confirm.findings import Counterexample, Retry
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Result, Step, World
from svcc.verify.spec.outcomes import Serve

MAX_FEW = 200
"""Of longer chains only rules that name the packet's destination are looked at one by one."""


@dataclass(frozen=True, slots=True)
class Met:
    """A rule that a packet met; ``effect`` empty: it did not match, or does nothing by itself."""

    place: ChainName
    position: int
    rule: Rule
    effect: str = ""


@dataclass(slots=True)
class _Order:
    """Positions of rules in their chains."""

    bench: Bench
    _known: dict[ChainName, dict[int, int]] = field(default_factory=dict)

    def of(self, place: ChainName, rule: Rule) -> int | None:
        if place not in self._known:
            rules = self.bench.chain(place)
            self._known[place] = {id(each): at for at, each in enumerate(rules)}
        return self._known[place].get(id(rule))


class Walks:
    """All that a packet meets in the worlds in which it is judged."""

    def __init__(self, bench: Bench, example: Counterexample, retry: Retry) -> None:
        self._bench, self._example, self.retry = bench, example, retry

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """What becomes of the packet, however choices go and whatever lists remember."""
        world = self.retry.world
        found = self._results(world)
        serves = [outcome for outcome in self.retry.wanted if isinstance(outcome, Serve)]
        recorded = {name for result in found for name in result.recorded}
        for name in sorted(recorded) if serves else ():
            timeout = serves[0].affinity_timeout
            for age in {0, *(() if timeout is None else (timeout - 1, timeout))}:
                found += self._results(replace(world, recent={name: age}))
        return tuple(found)

    def _results(self, world: World) -> list[Result]:
        try:
            ways = distribution(self._bench.rules, self.retry.packet, world)
        except UndecidableError:
            return []
        return [result for _, result in ways]

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The rules that did something on some way, each once, in the order of the way."""
        found: dict[tuple[int, str], Step] = {}
        for trace in (self._example.trace, *(result.trace for result in self.results)):
            for step in trace:
                key = (id(step.rule), step.table)
                if step.virtual is not None:
                    key = (0, str(step.virtual))
                found.setdefault(key, step)
        return tuple(found.values())

    @cached_property
    def fired(self) -> tuple[Met, ...]:
        """The rules of tables that did something."""
        order, found = _Order(self._bench), []
        for step in self.steps:
            if step.rule is None or step.virtual is not None:
                continue
            place = ChainName(step.table, step.chain)
            position = order.of(place, step.rule)
            if position is not None:
                found.append(Met(place, position, step.rule, step.effect))
        return tuple(found)

    @cached_property
    def places(self) -> tuple[ChainName, ...]:
        """The chains that it came to, and all base chains, in the order of the way."""
        found: dict[ChainName, None] = {}
        for met in self.fired:
            found.setdefault(met.place)
            if isinstance(met.rule.target, Jump | Goto):
                found.setdefault(ChainName(met.place.table, met.rule.target.chain))
        hooks = ["OUTPUT", "POSTROUTING"]
        if not self.retry.packet.from_node:
            hooks = ["PREROUTING", "INPUT", "FORWARD", "POSTROUTING"]
            hooks += ["OUTPUT"] * (self._bench.rules.ipvs is not None)
        for table, chains in self._bench.rules.tables.items():
            for name in hooks:
                if name in chains:
                    found.setdefault(ChainName(table, name))
        return tuple(found)

    def passed(self) -> Iterator[Met]:
        """Rules of those chains that did nothing to it."""
        fired = {id(met.rule) for met in self.fired}
        destination = self.retry.packet.destination
        for place in self.places:
            rules = self._bench.chain(place)
            few = len(rules) <= MAX_FEW
            for position, rule in enumerate(rules):
                if id(rule) in fired:
                    continue
                asked = rule.destination
                if few or (asked is not None and asked.address == destination):
                    yield Met(place, position, rule)
