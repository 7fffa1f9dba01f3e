"""Results as SARIF, as GitHub code scanning takes it.

Source: SARIF Version 2.1.0 (OASIS); GitHub, "SARIF support for code scanning".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from svcc.grammar.errors import Problem, Severity
from svcc.verify.report.grouping import Group, grouped
from svcc.verify.report.messages import SEVERITY, message, notices
from svcc.verify.report.places import FileLine, Places, line_of, uri
from svcc.verify.report.report import JsonObject, Report, step_text
from svcc.verify.spec import codes
from svcc.verify.spec.codes import CODES, Code

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_ABOUT = "https://kubernetes.io/docs/reference/networking/virtual-ips/"
"""What svcc holds rules to; it has no page of its own."""
_ROOT = "%SRCROOT%"


def sarif(
    reports: Iterable[Report], version: str, places: Places, problems: Iterable[Problem] = ()
) -> JsonObject:
    """One run; a result for each group of findings, each problem, and what was passed over.

    Args:
        reports: none if the input was bad.
        version: svcc's.
        problems: what is wrong with the input.
    """
    every = list(reports)
    wrong = list(problems)
    results = [_of_problem(problem, places) for problem in wrong]
    for report in every:
        results += [_of_group(report, group, places) for group in grouped(report.findings)]
    if every:
        results += _of_passed_over(every[0], places)
    driver = {
        "name": "svcc",
        "version": version,
        "informationUri": _ABOUT,
        "rules": [_rule(code) for code in CODES.values()],
    }
    successful = not any(problem.severity == "error" for problem in wrong)
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": successful}],
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the sources."}}},
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(code: Code) -> JsonObject:
    name = "".join(word.capitalize() for word in code.title.replace(",", "").split())
    return {
        "id": code.number,
        "name": "".join(letter for letter in name if letter.isalnum()),
        "shortDescription": {"text": f"{code.title[0].upper()}{code.title[1:]}."},
        "fullDescription": {"text": code.meaning},
        "help": {"text": f"{code.causes}\n\n{code.remedy}"},
    }


def _of_group(report: Report, group: Group, places: Places) -> JsonObject:
    finding = group.findings[0]
    source = report.sources.get(finding.family, "")
    result = _result(
        finding.code, SEVERITY[finding.verdict], message(report, group),
        places.of_group(report, group), places,
    )  # fmt: skip
    cause = group.cause
    at = "" if cause is None else f"{cause.text}{cause.missing}"
    known_by = (report.node, finding.family.label, finding.code, finding.frontend, at)
    result["partialFingerprints"] = {"finding/v1": _fingerprint(known_by)}
    trace = finding.counterexample.trace if finding.counterexample is not None else ()
    steps = []
    for step in trace:
        location: JsonObject = {"message": {"text": step_text(step, finding.family, "")}}
        file, line = (source if step.virtual is None else step.file), line_of(step)
        known = line and file and report.in_files
        place = (file, line) if known else places.of_group(report, group)
        location["physicalLocation"] = _physical(place, places)
        steps.append({"location": location})
    if steps:
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return result


def _of_problem(problem: Problem, places: Places) -> JsonObject:
    place = places.of_position(problem.position)
    text = problem.message
    if not problem.position.line:
        text = f"{problem.position}: {text}"
    column = problem.position.column
    code = problem.code or codes.BAD_INPUT
    return _result(code, problem.severity, text, place, places, column=column)


def _of_passed_over(report: Report, places: Places) -> Iterator[JsonObject]:
    for notice in notices(report.passed_over):
        place = places.of_origin(notice.origin)
        yield _result(codes.PASSED_OVER, "note", notice.text, place, places)


def _result(
    code: str, level: Severity, text: str, place: FileLine, places: Places, *, column: int = 0
) -> JsonObject:
    return {
        "ruleId": code,
        "ruleIndex": list(CODES).index(code),
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": _physical(place, places, column)}],
    }


def _physical(place: FileLine, places: Places, column: int = 0) -> JsonObject:
    """``column``: 1-based, 0 where it is not known."""
    path = places.path(place[0])
    artifact = {"uri": uri(path)}
    if not path.startswith("/"):
        artifact["uriBaseId"] = _ROOT
    region = {"startLine": place[1]}
    if column:
        region["startColumn"] = column
    return {"artifactLocation": artifact, "region": region}


def _fingerprint(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
