"""Slices without what others than the service proxy decide."""

from __future__ import annotations

from dataclasses import replace

from svcc.verify.model.rules import Action
from svcc.verify.slicing.slicer import Item


def without_foreign(items: tuple[Item, ...], *, verdict: str | None = None) -> tuple[Item, ...]:
    """The slice with every verdict of a foreign rule replaced by ``verdict``.

    None: what it drops or refuses is left out of the judgement, all else is accepted.
    """
    result = []
    for item in items:
        if item.body:
            result.append(replace(item, body=without_foreign(item.body, verdict=verdict)))
            continue
        instead = stand_in(item.record.service, item.action, verdict)
        result.append(item if instead is None else replace(item, action=instead))
    return tuple(result)


def stand_in(service: bool, action: Action, verdict: str | None) -> Action | None:
    """What a rule does there in place of an action; None: what it does is judged.

    ``service`` tells whether it is the service proxy's.
    """
    if service or action[0] not in _FOREIGN_VERDICTS:
        return None
    if verdict:
        return (verdict,)
    return ("excused",) if action[0] in ("drop", "reject") else ("accept", "theirs")


_FOREIGN_VERDICTS = frozenset({"accept", "drop", "reject", "masquerade", "dnat", "unknown"})
