"""What is not held against the service rules, said of the rules that the simulator walks.

The symbolic model knows a rule's owner from its record; the simulator sees rules only. Both must
allow the same, or one would refute what the other proves.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from svcc.verify.confirm.judge import applies
from svcc.verify.model.actions import Accept, Excused, Masquerade
from svcc.verify.model.rules import IndexedRules, Record
from svcc.verify.simulator.packet import Allowances, Packet
from svcc.verify.slicing.foreign import stand_in
from svcc.verify.slicing.regions import Region, Regions


class AllowancesOfRegions:
    """What is not held against the rules for packets of each region."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    @cached_property
    def to_frontends(self) -> Allowances:
        """For packets to frontends."""
        return allowances_of(self._regions.rules)

    @cached_property
    def _to_nobody(self) -> Allowances:
        return allowances_beside_frontends(self._regions.rules)

    def of(self, region: Region, packet: Packet | None = None) -> Allowances:
        """For packets of a region, or the one that is given."""
        part = region if packet is None else self.part(region, packet)
        return self._to_nobody if part.of_nobody else self.to_frontends

    def part(self, region: Region, packet: Packet) -> Region:
        """The part of a region that a packet is in."""
        parts = self._regions.parts(region)
        return next(
            (part for part in parts[1:] if any(applies(c.condition, packet) for c in part.cases)),
            parts[0],
        )


def allowances_of(rules: IndexedRules) -> Allowances:
    """For packets to frontends."""
    excused, theirs, leaving = _sorted(rules)
    return Allowances(frozenset(excused), frozenset(theirs), leaving)


def allowances_beside_frontends(rules: IndexedRules) -> Allowances:
    """For packets to no frontend, where only what the service proxy's rules do counts (see
    :func:`svcc.verify.slicing.foreign.without_foreign`).
    """
    excused, theirs, leaving = _sorted(rules)
    passed_over = set()
    for record in _records(rules):
        instead = stand_in(record.service, record.action, None)
        if instead is None:
            continue
        if isinstance(instead, Excused):
            excused.add(id(record.rule))
        else:
            passed_over.add(id(record.rule))
    return Allowances(
        frozenset(excused),
        frozenset(theirs),
        leaving,
        frozenset(passed_over),
        policies_drop=False,
    )


def _sorted(rules: IndexedRules) -> tuple[set[int], set[int], dict[int, tuple[int, int]]]:
    excused, theirs, leaving = set(), set(), dict[int, tuple[int, int]]()
    for record in _records(rules):
        action = record.action
        if isinstance(action, Excused):
            excused.add(id(record.rule))
        elif record.but_for_pods is not None:
            leaving[id(record.rule)] = record.but_for_pods
        elif isinstance(action, Accept | Masquerade) and action.of_other_tool:
            theirs.add(id(record.rule))
    return excused, theirs, leaving


def _records(rules: IndexedRules) -> Iterator[Record]:
    for chains in rules.tables.values():
        for chain in chains.values():
            yield from chain.records
