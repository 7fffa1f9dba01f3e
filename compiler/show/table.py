"""Tables as kubectl prints them, and ages.

Source: k8s.io/cli-runtime pkg/printers (tabwriter.go, tableprinter.go); k8s.io/apimachinery
pkg/util/duration (HumanDuration).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

_PADDING = 3
_LEAST = 6
"""Width of a column with its padding."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns in blanks, the last without any behind it."""
    lines = [header, *rows]
    widths = [
        max(_LEAST, _PADDING + max(len(line[column]) for line in lines))
        for column in range(len(header))
    ]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False))
        + f"{line[-1]}\n"
        for line in lines
    )


def age(document: Mapping[str, Any], now: datetime) -> str:
    """How long an object is there, by its ``metadata.creationTimestamp``."""
    meta = document.get("metadata")
    text = meta.get("creationTimestamp") if isinstance(meta, dict) else None
    try:
        created = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        return duration(now - created)
    except (TypeError, ValueError):
        return "<unknown>"


def duration(time: timedelta) -> str:
    """A time in at most two units."""
    seconds = int(time.total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    years = days // 365
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if years < 2:
        return f"{days}d"
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(large: int, unit: str, small: int, smaller: str) -> str:
    return f"{large}{unit}{small}{smaller}" if small else f"{large}{unit}"


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels or a selector in one cell."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items())) or "<none>"
