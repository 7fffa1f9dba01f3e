"""What tools show of a group of findings, and of objects that were passed over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from svcc.compiler.model.objects import Origin, PassedOver
from svcc.compiler.model.passed_over_reasons import REASONS
from svcc.grammar.errors import Severity
from svcc.verify.report.grouping import Group
from svcc.verify.report.report import Report, and_more

MAX_NAMED = 20

SEVERITY: dict[str, Severity] = {"violated": "error", "undecided": "warning"}


def message(report: Report, group: Group) -> str:
    """A group of findings, a line for each thing to know."""
    finding = group.findings[0]
    lines = [f"{finding.sentence()} (node {report.node})"]
    if group.others:
        lines.append(f"also: {and_more(group.others, MAX_NAMED)}")
    lines += report.reason_text(finding)
    example = finding.counterexample
    if example is not None:
        lines += [
            f"packet: {example.packet}",
            f"expected: {example.expected}",
            f"got: {example.got}",
        ]
    if group.cause is not None:
        lines.append(f"cause: {group.cause.words()}")
    return "\n".join(lines)


class Notice(NamedTuple):
    """Objects of one kind that were passed over for one reason; ``origin`` is the first's."""

    text: str
    origin: Origin


def notices(passed_over: Iterable[PassedOver]) -> Iterator[Notice]:
    """What was passed over and is told, an entry for each kind and reason."""
    groups: dict[tuple[str, str], list[PassedOver]] = {}
    for item in passed_over:
        if item.reason != "other-kind":
            groups.setdefault((item.kind, item.reason), []).append(item)
    for (kind, _), items in groups.items():
        named = and_more([item.name for item in items], MAX_NAMED)
        several = "s" * (len(items) > 1)
        text = f"{len(items)} {kind}{several} not judged ({REASONS[items[0].reason]}): {named}"
        yield Notice(text, items[0].origin)
