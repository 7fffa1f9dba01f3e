"""Rules that the model does not know wholly."""

from __future__ import annotations

from collections.abc import Iterable

from svcc.grammar.iptables.program import Rule
from svcc.verify.slicing.slicer import Item


def rules_outside_the_model(items: Iterable[Item]) -> tuple[Rule, ...]:
    """Those with a match or target outside the model among items and all that they lead to, by
    line.
    """
    found: dict[int, Rule] = {}
    pending = list(items)
    while pending:
        item = pending.pop()
        pending.extend(item.body)
        if item.action[0] == "unknown" or any(c[0] == "unknown" for c in item.conditions):
            found[id(item.record.rule)] = item.record.rule
    return tuple(sorted(found.values(), key=lambda rule: (rule.line, rule.chain)))
