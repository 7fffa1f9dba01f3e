"""Durations as nft(8) has them: ``3h``, ``1m30s``, ``500ms``."""

from __future__ import annotations

import re

UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
"""Units and their milliseconds, the largest first."""

_PART = re.compile(r"(\d{1,9})(ms|[dhms]?)")
_MILLISECONDS = dict(UNITS)


def read_time(text: str) -> int:
    """Milliseconds; a number without a unit is seconds.

    Raises:
        ValueError: it is no duration.
    """
    whole, end = 0, 0
    while end < len(text) and (found := _PART.match(text, end)) is not None:
        whole += int(found[1]) * _MILLISECONDS[found[2] or "s"]
        end = found.end()
    if end < len(text) or not text:
        raise ValueError(f"{text!r} is no duration; write it like 1h30m")
    return whole


def write_time(milliseconds: int) -> str:
    """A duration as nft prints it."""
    text = ""
    for unit, size in UNITS:
        count, milliseconds = divmod(milliseconds, size)
        if count:
            text += f"{count}{unit}"
    return text or "0s"
