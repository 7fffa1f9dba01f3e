"""Rules that the model does not know wholly."""

from __future__ import annotations

from collections.abc import Iterable

from svcc.grammar.iptables.program import Rule
from svcc.verify.model.actions import UnknownTarget
from svcc.verify.model.conditions import Unknown
from svcc.verify.slicing.items import Item, with_bodies


def rules_outside_the_model(items: Iterable[Item]) -> tuple[Rule, ...]:
    """Those with a match or target outside the model among items and all that they lead to, by
    line.
    """
    found: dict[int, Rule] = {}
    for item in with_bodies(items):
        if isinstance(item.action, UnknownTarget) or any(
            isinstance(c, Unknown) for c in item.conditions
        ):
            found[id(item.record.rule)] = item.record.rule
    return tuple(sorted(found.values(), key=lambda rule: (rule.line, rule.chain)))
