"""Results as the JUnit XML that Jenkins reads.

A case is a property of a frontend and has the same name whatever the verdict, so that a tool can
follow it from run to run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import chain
from xml.etree import ElementTree

from svcc.compiler.model.passed_over_reasons import REASONS
from svcc.grammar.address import Family
from svcc.grammar.errors import Problem
from svcc.verify.confirm.findings import Finding, worst
from svcc.verify.report.grouping import Group
from svcc.verify.report.messages import message
from svcc.verify.report.report import Report
from svcc.verify.spec import codes
from svcc.verify.spec.properties import (
    ANSWERED,
    FAIR,
    MASQUERADES,
    NAMES,
    REACHES,
    REFUSES,
)

_OF_EVERY_FRONTEND = (REACHES, FAIR, MASQUERADES, REFUSES)
_OF_NAMES = (NAMES, ANSWERED)
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


def junit(reports: Iterable[Report], problems: Iterable[Problem] = ()) -> str:
    """A test suite for each node and family: a case for each property of each frontend.

    What was passed over is a skipped case; what is wrong with the input a case with an error,
    what else is told of manifests a skipped one.
    """
    root = ElementTree.Element("testsuites", name="svcc verify")
    told = [problem for problem in problems if problem.severity == "error" or problem.code]
    if told:
        suite = _Suite(root, "input")
        for problem in told:
            code = problem.code or codes.BAD_INPUT
            tag = "error" if problem.severity == "error" else "skipped"
            suite.add("input", str(problem.position), tag, problem.message, code)
        suite.close(0.0)
    for report in reports:
        for family in dict.fromkeys(finding.family for finding in report.findings):
            _family(root, report, family)
        if report.passed_over:
            suite = _Suite(root, f"{report.node} not judged")
            for item in report.passed_over:
                name = f"{item.kind} {item.name}" if item.name else f"kind {item.kind}"
                suite.add("not-judged", name, "skipped", REASONS[item.reason])
            suite.close(0.0)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
    return _NOT_XML.sub("?", text) + "\n"


def _family(root: ElementTree.Element, report: Report, family: Family) -> None:
    suite = _Suite(root, f"{report.node} {family.label}")
    found: dict[str, dict[str, list[Finding]]] = {}
    for finding in report.findings:
        if finding.family is family:
            subject = finding.about or finding.frontend
            found.setdefault(subject, {}).setdefault(finding.property, []).append(finding)
    for subject, of in found.items():
        for name in dict.fromkeys((*_asked_of(of), *of)):
            if name in of:
                suite.of_findings(report, subject, of[name])
            else:
                suite.add(name, subject, "skipped", "nothing to ask of this")
    suite.close(report.seconds)


def _asked_of(found: Mapping[str, list[Finding]]) -> tuple[str, ...]:
    """The properties that everything of a kind is asked for, by what was found of one."""
    if any(name in found for name in _OF_NAMES):
        return _OF_NAMES
    is_frontend = any(each.service() and not each.about for each in chain(*found.values()))
    return _OF_EVERY_FRONTEND if is_frontend else ()


class _Suite:
    def __init__(self, root: ElementTree.Element, name: str) -> None:
        self._element = ElementTree.SubElement(root, "testsuite", name=name)
        self._counts = {"failure": 0, "error": 0, "skipped": 0}
        self._cases = 0

    def of_findings(self, report: Report, subject: str, found: list[Finding]) -> None:
        """A case for what was found of one property of one subject: the worst of it, in full."""
        verdict = worst(finding.verdict for finding in found)
        first, *more = (finding for finding in found if finding.verdict == verdict)
        if verdict == "proved":
            self.add(first.property, subject)
            return
        tag = "failure" if verdict == "violated" else "error"
        text = "\n".join(
            message(report, Group(finding.cause, [finding])) for finding in (first, *more)
        )
        self.add(first.property, subject, tag, first.sentence(), first.code, text)

    def add(
        self, kind: str, name: str, tag: str = "", short: str = "", code: str = "", text: str = ""
    ) -> None:
        """A case; ``tag`` empty: it passed."""
        self._cases += 1
        case = ElementTree.SubElement(
            self._element, "testcase", classname=f"svcc.{kind}", name=name
        )
        if tag:
            self._counts[tag] += 1
            what = ElementTree.SubElement(case, tag, message=short)
            if code:
                what.set("type", code)
            what.text = text or None

    def close(self, seconds: float) -> None:
        """Write the counts."""
        self._element.set("tests", str(self._cases))
        self._element.set("failures", str(self._counts["failure"]))
        self._element.set("errors", str(self._counts["error"]))
        self._element.set("skipped", str(self._counts["skipped"]))
        self._element.set("time", f"{seconds:.3f}")
