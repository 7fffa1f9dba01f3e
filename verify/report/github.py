"""Results as workflow commands that GitHub shows beside the lines.

Source: GitHub, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.grammar.errors import Problem, Severity
from svcc.verify.report.grouping import grouped
from svcc.verify.report.messages import SEVERITY, message, notices
from svcc.verify.report.places import FileLine, Places
from svcc.verify.report.report import Report
from svcc.verify.spec import codes
from svcc.verify.spec.codes import CODES

_COMMAND: dict[Severity, str] = {"error": "error", "warning": "warning", "note": "notice"}


def github(
    reports: Iterable[Report], places: Places, problems: Iterable[Problem] = ()
) -> Iterator[str]:
    """A line for each problem and group of findings, and some that sum up."""
    for problem in problems:
        place = places.of_position(problem.position)
        text = problem.message
        if not problem.position.line:
            text = f"{problem.position}: {text}"
        code = problem.code or codes.BAD_INPUT
        yield _line(problem.severity, code, text, place, places, problem.position.column)
    passed_over = None
    for report in reports:
        for group in grouped(report.findings):
            finding = group.findings[0]
            place = places.of_group(report, group)
            severity = SEVERITY[finding.verdict]
            yield _line(severity, finding.code, message(report, group), place, places)
        if passed_over is None:
            passed_over = report.passed_over
            for notice in notices(passed_over):
                place = places.of_origin(notice.origin)
                yield _line("note", codes.PASSED_OVER, notice.text, place, places)
        text = "\n".join([report.summary(), *report.whom_it_is_about()])
        yield f"::notice title=svcc::{_data(text)}\n"


def _line(
    severity: Severity, code: str, text: str, place: FileLine, places: Places, column: int = 0
) -> str:
    fields = [f"file={_property(places.path(place[0]))}", f"line={place[1]}"]
    if column:
        fields.append(f"col={column}")
    fields.append(f"title={_property(f'{code} {CODES[code].title}')}")
    return f"::{_COMMAND[severity]} {','.join(fields)}::{_data(text)}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
