"""Several nodes' results in short."""

from __future__ import annotations

from collections.abc import Sequence

from svcc.verify.confirm.findings import VerdictName
from svcc.verify.report.report import Report, and_more

_VERDICTS: tuple[VerdictName, ...] = ("proved", "violated", "undecided")


def nodes_in_short(reports: Sequence[Report]) -> str:
    """``12 nodes: 11 proved, 1 violated: node-c``."""
    parts = []
    for verdict in _VERDICTS:
        nodes = [report.node for report in reports if report.verdict == verdict]
        if nodes:
            named = f": {and_more(nodes)}" if verdict != "proved" else ""
            parts.append(f"{len(nodes)} {verdict}{named}")
    return f"{len(reports)} nodes: {', '.join(parts)}"
