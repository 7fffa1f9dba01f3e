"""What a verification found, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from svcc.compiler.model.objects import Origin, PassedOver
from svcc.compiler.model.passed_over_reasons import REASONS
from svcc.grammar.address import Address, Family
from svcc.grammar.errors import Problem
from svcc.grammar.iptables.program import Rule
from svcc.grammar.ipvs.ipvsadm import key_words
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Finding, VerdictName, worst
from svcc.verify.confirm.rule_words import rule_words
from svcc.verify.report.grouping import Group, grouped
from svcc.verify.simulator.packet import PROTOCOL_NAME, Packet, Step
from svcc.verify.spec import codes
from svcc.verify.spec.properties import GIVEN, SAME, SENTENCES

MAX_SHOWN = 20
MAX_NAMED = 5
JSON_VERSION = 1
"""Of the JSON: another number where a reader of the old one could go wrong."""

JsonObject = dict[str, object]
"""What :mod:`json` writes as an object."""

PlaceOf = Callable[[Origin], tuple[str, int] | None]
"""File and line (1-based) of an object; None for what came from standard input."""


def _nowhere(_: Origin) -> None:
    return None


@dataclass(slots=True)
class Report:
    """All findings for one node. ``seconds`` is wall time."""

    node: str
    findings: list[Finding] = field(default_factory=list)
    rules: int = 0
    seconds: float = 0.0
    regions: int = 0
    schemas: int = 0
    sources: dict[Family, str] = field(default_factory=dict)
    other_sources: dict[Family, str] = field(default_factory=dict)
    """Those of the rules that these are compared with."""
    in_files: bool = False
    """Whether the sources are files that people can open."""
    passed_over: tuple[PassedOver, ...] = ()
    """The objects that have no say."""
    problems: tuple[Problem, ...] = ()
    """What was noticed about the objects."""

    @property
    def verdict(self) -> VerdictName:
        """``violated`` before ``undecided`` before ``proved``."""
        return worst(finding.verdict for finding in self.findings)

    def for_node(self, name: str) -> Report:
        """The same for a node of which the same was proved: no regions, schemas and seconds."""
        return replace(self, node=name, seconds=0.0, regions=0, schemas=0)

    @property
    def services(self) -> dict[str, VerdictName]:
        """The Services that were judged (``namespace/name``), each with its worst verdict."""
        found: dict[str, VerdictName] = {}
        for finding in self.findings:
            if key := finding.service():
                found[key] = worst((found.get(key, "proved"), finding.verdict))
        return found

    def to_json(self, place: PlaceOf = _nowhere) -> JsonObject:
        """The result as the documented JSON object; ``place`` finds objects in their files."""
        return {
            "version": JSON_VERSION,
            "verdict": self.verdict,
            "node": self.node,
            "judged": dict(sorted(self.services.items())),
            "not_judged": [passed_over_json(item, place) for item in self.passed_over],
            "problems": [problem_json(problem) for problem in self.problems],
            "properties": self.properties_json(),
            "findings": self.groups_json(),
            "rules": self.rules,
            "seconds": round(self.seconds, 3),
        }

    def properties_json(self) -> list[JsonObject]:
        """Every finding as JSON."""
        return [self._finding_json(finding) for finding in self.findings]

    def groups_json(self) -> list[JsonObject]:
        """What the findings come to as JSON, those with one cause together."""
        return [self._group_json(group) for group in grouped(self.findings)]

    def _group_json(self, group: Group) -> JsonObject:
        finding = group.findings[0]
        found: JsonObject = {
            "code": finding.code,
            "property": finding.property,
            "family": finding.family.label,
            "verdict": finding.verdict,
            "message": finding.sentence(),
            "frontends": list(dict.fromkeys(each.frontend for each in group.findings)),
        }
        if group.cause is not None:
            found["cause"] = cause_json(group.cause)
        return found

    def _finding_json(self, finding: Finding) -> JsonObject:
        found: JsonObject = {
            "property": finding.property,
            "frontend": finding.frontend,
            "family": finding.family.label,
            "verdict": finding.verdict,
        }
        if finding.code:
            found["code"] = finding.code
            found["message"] = finding.sentence()
        if finding.reason:
            found["reason"] = finding.reason
        if finding.rules:
            source = self.sources.get(finding.family, "")
            found["rules"] = [rule_json(r, finding.family, source) for r in finding.rules]
        example = finding.counterexample
        if example is not None:
            shown: JsonObject = {
                "packet": packet_json(example.packet),
                "trace": [
                    step_json(step, finding.family, self.sources.get(finding.family, ""))
                    for step in example.trace
                ],
                "expected": example.expected,
                "got": example.got,
            }
            if finding.property == SAME:
                other = self.other_sources.get(finding.family, "")
                shown["against"] = [
                    step_json(step, finding.family, other) for step in example.other
                ]
            found["counterexample"] = shown
        return found

    def to_text(self, *, trace: bool = False) -> str:
        """The result for a person; with ``trace`` every rule on the way of each packet shown."""
        lines = []
        groups = grouped(self.findings)
        for group in groups[:MAX_SHOWN]:
            lines += self._group_text(group, trace=trace)
        if len(groups) > MAX_SHOWN:
            lines.append(f"… and {len(groups) - MAX_SHOWN} more (all of them with -o json)")
        counts = Counter((f.property, f.verdict) for f in self.findings)
        for name, sentence in SENTENCES.items():
            if name == GIVEN:
                continue
            proved = counts[name, "proved"]
            others = [
                f"{counts[name, verdict]} {verdict}"
                for verdict in ("violated", "undecided")
                if counts[name, verdict]
            ]
            if proved or others:
                shown = ", ".join([f"{proved} proved", *others])
                lines.append(f"{name:22} {shown:24} {sentence}")
        lines += self.whom_it_is_about()
        lines.append(self.summary())
        return "\n".join(lines) + "\n"

    def whom_it_is_about(self) -> list[str]:
        """Which Services were judged and which objects were passed over, a line each."""
        services = self.services
        if self.other_sources or not (services or self.passed_over):
            return []
        return whom_it_is_about(services, self.passed_over)

    def summary(self) -> str:
        """The verdict and what it took, in a line."""
        return (
            f"{self.verdict}: {self.rules} rules on node {self.node}, "
            f"{self.regions} regions, {self.schemas} schemas, {self.seconds:.1f} s"
        )

    def reason_text(self, finding: Finding) -> list[str]:
        """Why it is undecided, a line each: first in words, then the rules that are to blame."""
        source = self.sources.get(finding.family, "")
        lines = [finding.reason] if finding.reason else []
        lines += [rule_text(rule, finding.family, source) for rule in finding.rules[:MAX_NAMED]]
        if len(finding.rules) > MAX_NAMED:
            lines.append(f"and {len(finding.rules) - MAX_NAMED} more rules")
        return lines

    def _group_text(self, group: Group, *, trace: bool) -> list[str]:
        finding = group.findings[0]
        about = finding.property
        if finding.code:
            about = finding.code if finding.code in codes.NOT_GIVEN else f"{finding.code} {about}"
        lines = [f"{finding.verdict}: {about}: {finding.sentence()}"]
        if others := group.others:
            label = "leaves open" if finding.code in codes.NOT_GIVEN else "also     "
            lines.append(f"  {label} {and_more(others)}")
        lines += [f"  {line}" for line in self.reason_text(finding)]
        example, source = finding.counterexample, self.sources.get(finding.family, "")
        if example is not None:
            both = finding.property == SAME
            lines += [
                f"  packet    {example.packet}",
                f"  {'against ' if both else 'expected'}  {example.expected}",
                f"  {'rules' if both else 'got  '}     {example.got}",
            ]
        if group.cause is not None:
            lines.append(f"  cause     {group.cause.words()}")
        if example is not None and trace:
            lines += _trace_text("trace", example.trace, finding.family, source)
            other = self.other_sources.get(finding.family, "")
            lines += _trace_text("against", example.other, finding.family, other)
        return lines


def and_more(names: Sequence[str], most: int = MAX_NAMED) -> str:
    """Some names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def whom_it_is_about(
    services: Mapping[str, VerdictName], passed_over: Iterable[PassedOver]
) -> list[str]:
    """Which Services were judged and which objects were passed over, in words, a line each."""
    counts = Counter(services.values())
    verdicts: tuple[VerdictName, ...] = ("violated", "undecided", "proved")
    shown = [f"{counts[verdict]} {verdict}" for verdict in verdicts if counts[verdict]]
    number, _, verdict = (shown or ["0 judged"])[0].partition(" ")
    shown[:1] = [f"{number} Service{'s' * (number != '1')} {verdict}"]
    objects = [item for item in passed_over if item.reason != "other-kind"]
    without = [_named_with_reason(item) for item in objects if item.kind == "Service"]
    if without:
        shown.append(f"{len(without)} not judged: {and_more(without)}")
    lines = [", ".join(shown)]
    for kind in dict.fromkeys(item.kind for item in objects if item.kind != "Service"):
        named = [_named_with_reason(item) for item in objects if item.kind == kind]
        lines.append(f"{kind}s passed over: {and_more(named)}")
    return lines


def _named_with_reason(item: PassedOver) -> str:
    return f"{item.name} ({REASONS[item.reason]})"


def passed_over_json(item: PassedOver, place: PlaceOf) -> JsonObject:
    """An object that has no say, as JSON; of a kind that is not read, how many there are."""
    found: JsonObject = {"kind": item.kind, "reason": item.reason}
    if item.name:
        found["name"] = item.name
    else:
        found["count"] = item.count
    found |= {"message": REASONS[item.reason], "file": item.origin.file}
    if (known := place(item.origin)) is not None:
        found["line"] = known[1]
    return found


def problem_json(problem: Problem) -> JsonObject:
    """A problem of the input as JSON."""
    place = problem.position
    found: JsonObject = {"severity": problem.severity, "message": problem.message}
    if problem.code:
        found["code"] = problem.code
    if place.file:
        found["file"] = place.file
    if place.line:
        found["line"], found["column"] = place.line, max(place.column, 1)
    return found


def _trace_text(label: str, trace: tuple[Step, ...], family: Family, source: str) -> list[str]:
    return [
        f"  {label if number == 0 else '':10}{step_text(step, family, source)}"
        for number, step in enumerate(trace)
    ]


def packet_json(packet: Packet) -> JsonObject:
    """A packet as JSON: addresses as text."""
    return {
        "from": "node" if packet.from_node else packet.in_interface,
        "protocol": PROTOCOL_NAME.get(packet.protocol, str(packet.protocol)),
        "source": str(Address(packet.family, packet.source)),
        "source_port": packet.source_port,
        "destination": str(Address(packet.family, packet.destination)),
        "destination_port": packet.destination_port,
        "mark": packet.mark,
    }


def cause_json(cause: Cause) -> JsonObject:
    """A cause as JSON, with what there is to say of it."""
    known: JsonObject = {
        "table": cause.table,
        "chain": cause.chain,
        "rule": cause.text,
        "missing": cause.missing,
        "behind": cause.behind,
        "remedy": cause.remedy,
        "effect": cause.effect,
        "file": cause.file,
        "line": cause.line,
    }
    always = ("table", "chain", "rule", "effect")
    return {key: value for key, value in known.items() if value or key in always}


def rule_json(rule: Rule, family: Family, source: str) -> JsonObject:
    """A rule as JSON."""
    found: JsonObject = {"rule": rule_words(rule, family)}
    if rule.line:
        found["file"], found["line"] = source, rule.line
    return found


def step_json(step: Step, family: Family, source: str) -> JsonObject:
    """One step of a trace as JSON."""
    shown: JsonObject = {
        "table": step.table,
        "chain": step.chain,
        "rule": _rule_text(step, family),
        "effect": step.effect,
    }
    file = source if step.virtual is None else step.file
    if step.rule is not None and step.rule.line and file:
        shown["file"], shown["line"] = file, step.rule.line
    return shown


def rule_text(rule: Rule, family: Family, source: str) -> str:
    """A rule as iptables-save prints it, behind its place."""
    place = f"{source}:{rule.line}: " if rule.line else ""
    return f"{place}{rule_words(rule, family)}"


def step_text(step: Step, family: Family, source: str) -> str:
    """One step of a trace as a line."""
    if step.rule is None:
        return f"{step.table} {step.chain}: {step.effect}"
    if step.virtual is not None:
        place = f"{step.file or 'ipvsadm'}:{step.rule.line}: " if step.rule.line else ""
    else:
        place = f"{source}:{step.rule.line}: " if step.rule.line else ""
    return f"{place}{step.table} {_rule_text(step, family)}  [{step.effect}]"


def _rule_text(step: Step, family: Family) -> str:
    if step.virtual is not None:
        return f"-A {key_words(step.virtual)}"
    return "" if step.rule is None else rule_words(step.rule, family)


def problems_json(problems: Iterable[Problem]) -> JsonObject:
    """What is printed as JSON where the input is so bad that nothing was judged."""
    return {
        "version": JSON_VERSION,
        "verdict": "error",
        "judged": {},
        "not_judged": [],
        "problems": [problem_json(problem) for problem in problems],
        "properties": [],
        "findings": [],
        "rules": 0,
        "seconds": 0,
    }


def combined_json(reports: list[Report], place: PlaceOf = _nowhere) -> JsonObject:
    """One report as it is; several as one, with a part for each node."""
    if len(reports) == 1:
        return reports[0].to_json(place)
    first = reports[0].to_json(place)
    judged: dict[str, VerdictName] = {}
    problems = [problem for report in reports for problem in report.problems]
    for report in reports:
        for key, verdict in report.services.items():
            judged[key] = worst((judged.get(key, "proved"), verdict))
    return {
        "version": JSON_VERSION,
        "judged": dict(sorted(judged.items())),
        "not_judged": first["not_judged"],
        "problems": [problem_json(problem) for problem in dict.fromkeys(problems)],
        "verdict": worst(report.verdict for report in reports),
        "properties": [
            {"node": report.node, **found}
            for report in reports
            for found in report.properties_json()
        ],
        "findings": [
            {"node": report.node, **found} for report in reports for found in report.groups_json()
        ],
        "nodes": [{"node": report.node, "verdict": report.verdict} for report in reports],
        "rules": sum(report.rules for report in reports),
        "seconds": round(sum(round(report.seconds, 3) for report in reports), 3),
    }
