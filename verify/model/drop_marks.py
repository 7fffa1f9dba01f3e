"""Marks that service chains drop by."""

from __future__ import annotations

from svcc.verify.model.actions import Drop, Reject
from svcc.verify.model.conditions import Mark
from svcc.verify.model.rules import IndexedRules


def refused_marks(rules: IndexedRules) -> tuple[tuple[int, int], ...]:
    """Marks (value, mask) that service chains drop or refuse by, whatever else the packet is.

    No packet arrives with one: an assumption, as of the masquerade mark.
    """
    found = set()
    for name, chain in rules.tables.get("filter", {}).items():
        if not name.startswith("KUBE-"):
            continue
        for record in chain.records:
            if not isinstance(record.action, Drop | Reject) or len(record.conditions) != 1:
                continue
            (condition,) = record.conditions
            if isinstance(condition, Mark) and condition.value and not condition.negated:
                found.add((condition.value, condition.mask))
    return tuple(sorted(found))
