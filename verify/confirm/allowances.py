"""What is not held against the service rules, said of the rules that the simulator walks.

The symbolic model knows a rule's owner from its record; the simulator sees rules only. Both must
allow the same, or one would refute what the other proves.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcc.verify.model.actions import Accept, Excused, Masquerade
from svcc.verify.model.rules import IndexedRules, Record
from svcc.verify.simulator.packet import Allowances
from svcc.verify.slicing.foreign import stand_in


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
