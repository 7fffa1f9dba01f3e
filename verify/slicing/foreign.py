"""Slices without what others than the service proxy decide."""

from __future__ import annotations

from dataclasses import replace

from svcc.verify.slicing.slicer import Item


def without_foreign(items: tuple[Item, ...], *, verdict: str | None = None) -> tuple[Item, ...]:
    """The slice with every verdict of a foreign rule replaced by ``verdict``.

    None: what it drops or refuses is left out of the judgement, all else is accepted.
    """
    result = []
    for item in items:
        if item.body:
            result.append(replace(item, body=without_foreign(item.body, verdict=verdict)))
        elif not item.record.service and item.action[0] in _FOREIGN_VERDICTS:
            gone = ("excused",) if item.action[0] in ("drop", "reject") else ("accept", "theirs")
            result.append(replace(item, action=(verdict,) if verdict else gone))
        else:
            result.append(item)
    return tuple(result)


_FOREIGN_VERDICTS = frozenset({"accept", "drop", "reject", "masquerade", "dnat", "unknown"})
