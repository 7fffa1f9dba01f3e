"""Marks that service chains drop by."""

from __future__ import annotations

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
            if record.action[0] in ("drop", "reject") and len(record.conditions) == 1:
                kind, *rest = record.conditions[0]
                if kind == "mark" and rest[0] and not rest[2]:
                    found.add((rest[0], rest[1]))
    return tuple(sorted(found))
