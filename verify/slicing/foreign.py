"""Slices without what others than the service proxy decide."""

from __future__ import annotations

from dataclasses import replace

from svcc.verify.model.actions import (
    Accept,
    Action,
    Dnat,
    Drop,
    Excused,
    Masquerade,
    Reject,
    UnknownTarget,
)
from svcc.verify.slicing.items import InlinedRun, Item, ItemAction
from svcc.verify.slicing.schema_conditions import InlinedJump


def without_foreign(
    items: tuple[Item, ...], *, verdict: Accept | Drop | None = None
) -> tuple[Item, ...]:
    """The slice with every verdict of a foreign rule replaced by ``verdict``.

    None: what it drops or refuses is left out of the judgement, all else is accepted.
    """
    result = []
    for item in items:
        action = item.action
        if item.body:
            action = InlinedJump() if isinstance(action, InlinedRun) else action
            body = without_foreign(item.body, verdict=verdict)
            result.append(replace(item, action=action, body=body))
            continue
        instead = stand_in(item.record.service, action, verdict)
        result.append(item if instead is None else replace(item, action=instead))
    return tuple(result)


def stand_in(
    service: bool, action: Action | ItemAction, verdict: Accept | Drop | None
) -> Accept | Drop | Excused | None:
    """What a rule does there in place of an action; None: what it does is judged.

    ``service`` tells whether it is the service proxy's.
    """
    if service or not isinstance(
        action, Accept | Drop | Reject | Masquerade | Dnat | UnknownTarget
    ):
        return None
    if verdict is not None:
        return verdict
    return Excused() if isinstance(action, Drop | Reject) else Accept(of_other_tool=True)
