"""Results in the formats of other tools: SARIF 2.1.0, JUnit XML, GitHub workflow commands.

Source: SARIF Version 2.1.0 (OASIS), the JUnit XML that Jenkins reads, GitHub's "Workflow
commands for GitHub Actions".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from svcc.verify.confirm.findings import Finding
from svcc.verify.report.grouping import Group, grouped
from svcc.verify.report.report import Report, step_text
from svcc.verify.simulator.packet import Step
from svcc.verify.spec.codes import CODES
from svcc.verify.spec.properties import SENTENCES

Place = tuple[str, int]
"""File and line (1-based)."""
Manifest = Callable[[Finding], Place | None]
"""Where the Service of a finding stands."""

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
MAX_NAMED = 20


def sarif(reports: Iterable[Report], version: str, manifest: Manifest) -> dict[str, Any]:
    """One run; a result for each group of findings, at the rule that causes it.

    Args:
        version: svcc's.
        manifest: for findings that no rule of a given file is to blame for.
    """
    results = []
    for report in reports:
        for group in grouped(report.findings):
            results.append(_sarif_result(report, group, manifest))
    rules = [
        {
            "id": code.number,
            "name": code.title,
            "shortDescription": {"text": code.title},
            "fullDescription": {"text": code.meaning},
            "help": {"text": f"{code.causes}\n\n{code.remedy}"},
        }
        for code in CODES.values()
    ]
    driver = {"name": "svcc", "version": version, "rules": rules}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _sarif_result(report: Report, group: Group, manifest: Manifest) -> dict[str, Any]:
    finding = group.findings[0]
    source = report.sources.get(finding.family, "")
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": "error" if finding.verdict == "violated" else "warning",
        "message": {"text": _message(report, group)},
    }
    place = place_of(report, group, manifest)
    if place is not None:
        result["locations"] = [{"physicalLocation": _physical(*place)}]
    trace = finding.counterexample.trace if finding.counterexample is not None else ()
    steps = []
    for step in trace:
        location: dict[str, Any] = {"message": {"text": step_text(step, finding.family, "")}}
        line = _line(step)
        if line and report.in_files:
            location["physicalLocation"] = _physical(source, line)
        steps.append({"location": location})
    if steps:
        result["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return result


def _physical(file: str, line: int) -> dict[str, Any]:
    return {"artifactLocation": {"uri": quote(file)}, "region": {"startLine": line}}


def _line(step: Step) -> int:
    return step.rule.line if step.rule is not None and step.virtual is None else 0


def place_of(report: Report, group: Group, manifest: Manifest) -> Place | None:
    """The line to blame: the causing rule, the last rule of the trace, else the Service."""
    finding = group.findings[0]
    if report.in_files:
        steps = list(finding.counterexample.trace) if finding.counterexample is not None else []
        if group.cause is not None:
            steps.append(group.cause)
        for step in reversed(steps):
            if line := _line(step):
                return report.sources.get(finding.family, ""), line
    return manifest(finding)


def _message(report: Report, group: Group) -> str:
    finding = group.findings[0]
    lines = [f"{finding.sentence()} (node {report.node})"]
    if len(group.findings) > 1:
        others = [other.frontend for other in group.findings[1 : MAX_NAMED + 1]]
        rest = len(group.findings) - 1 - len(others)
        lines.append(f"also: {', '.join(others)}" + (f" and {rest} more" if rest else ""))
    if finding.reason:
        lines.append(finding.reason)
    example = finding.counterexample
    if example is not None:
        lines += [
            f"packet: {example.packet}",
            f"expected: {example.expected}",
            f"got: {example.got}",
        ]
    return "\n".join(lines)


def github(reports: Iterable[Report], manifest: Manifest) -> Iterator[str]:
    """A line for each group of findings, and one that sums up."""
    for report in reports:
        for group in grouped(report.findings):
            finding = group.findings[0]
            kind = "error" if finding.verdict == "violated" else "warning"
            place = place_of(report, group, manifest)
            fields = [] if place is None else [f"file={_property(place[0])}", f"line={place[1]}"]
            fields.append(f"title={_property(f'{finding.code} {CODES[finding.code].title}')}")
            yield f"::{kind} {','.join(fields)}::{_data(_message(report, group))}\n"
        yield f"::notice title=svcc::{_data(report.summary())}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def junit(reports: Iterable[Report]) -> str:
    """A test suite for each node and family: one case for each property, and one for each group
    of findings against it."""
    root = ElementTree.Element("testsuites", name="svcc verify")
    for report in reports:
        families = dict.fromkeys(finding.family for finding in report.findings)
        for family in families:
            found = [finding for finding in report.findings if finding.family is family]
            _suite(root, report, f"{report.node} {family.label}", found)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ElementTree.Element, report: Report, name: str, found: list[Finding]) -> None:
    cases = failed = broken = 0
    suite = ElementTree.SubElement(root, "testsuite", name=name)
    properties = dict.fromkeys((*SENTENCES, *(finding.property for finding in found)))
    for wanted in properties:
        of_property = [finding for finding in found if finding.property == wanted]
        groups = grouped(of_property)
        if of_property and not groups:
            cases += 1
            _case(suite, wanted, f"{len(of_property)} proved")
        for group in groups:
            finding = group.findings[0]
            cases += 1
            case = _case(suite, wanted, f"{finding.code} {finding.sentence()}")
            violated = finding.verdict == "violated"
            failed += violated
            broken += not violated
            tag = "failure" if violated else "error"
            what = ElementTree.SubElement(case, tag, message=finding.sentence(), type=finding.code)
            what.text = _message(report, group)
    suite.set("tests", str(cases))
    suite.set("failures", str(failed))
    suite.set("errors", str(broken))
    suite.set("time", f"{report.seconds:.3f}")


def _case(suite: ElementTree.Element, name: str, what: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=f"svcc.{name}", name=what)
