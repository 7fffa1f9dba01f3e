"""What a verification found, as text and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.write import write_rule
from svcc.grammar.ipvs.ipvsadm import key_words
from svcc.verify.confirm.findings import Finding, VerdictName, worst
from svcc.verify.report.grouping import Group, grouped
from svcc.verify.simulator.packet import PROTOCOL_NAME, Packet, Step
from svcc.verify.spec.properties import SAME, SENTENCES

MAX_SHOWN = 20
MAX_NAMED = 5


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

    @property
    def verdict(self) -> VerdictName:
        """``violated`` before ``undecided`` before ``proved``."""
        return worst(finding.verdict for finding in self.findings)

    def for_node(self, name: str) -> Report:
        """The same for a node of which the same was proved: no regions, schemas and seconds."""
        return replace(self, node=name, seconds=0.0, regions=0, schemas=0)

    def to_json(self) -> dict[str, Any]:
        """The result as the documented JSON object."""
        return {
            "verdict": self.verdict,
            "node": self.node,
            "properties": [self._finding_json(finding) for finding in self.findings],
            "findings": [self._group_json(group) for group in grouped(self.findings)],
            "rules": self.rules,
            "seconds": round(self.seconds, 3),
        }

    def _group_json(self, group: Group) -> dict[str, Any]:
        finding = group.findings[0]
        found: dict[str, Any] = {
            "code": finding.code,
            "property": finding.property,
            "family": finding.family.label,
            "verdict": finding.verdict,
            "message": finding.sentence(),
            "frontends": [each.frontend for each in group.findings],
        }
        if group.cause is not None:
            found["cause"] = step_json(group.cause, finding.family, self._source_of(group))
        return found

    def _finding_json(self, finding: Finding) -> dict[str, Any]:
        found: dict[str, Any] = {
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
        example = finding.counterexample
        if example is not None:
            found["counterexample"] = {
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
                found["counterexample"]["against"] = [
                    step_json(step, finding.family, other) for step in example.other
                ]
        return found

    def to_text(self) -> str:
        """The result for a person."""
        lines = []
        groups = grouped(self.findings)
        for group in groups[:MAX_SHOWN]:
            lines += self._group_text(group)
        if len(groups) > MAX_SHOWN:
            lines.append(f"… and {len(groups) - MAX_SHOWN} more (all of them with -o json)")
        counts = Counter((f.property, f.verdict) for f in self.findings)
        for name, sentence in SENTENCES.items():
            proved = counts[name, "proved"]
            others = [
                f"{counts[name, verdict]} {verdict}"
                for verdict in ("violated", "undecided")
                if counts[name, verdict]
            ]
            if proved or others:
                shown = ", ".join([f"{proved} proved", *others])
                lines.append(f"{name:22} {shown:24} {sentence}")
        lines.append(self.summary())
        return "\n".join(lines) + "\n"

    def summary(self) -> str:
        """The verdict and what it took, in a line."""
        return (
            f"{self.verdict}: {self.rules} rules on node {self.node}, "
            f"{self.regions} regions, {self.schemas} schemas, {self.seconds:.1f} s"
        )

    def _source_of(self, group: Group) -> str:
        """Where a group's cause stands."""
        finding = group.findings[0]
        example = finding.counterexample
        if example is not None and any(step is group.cause for step in example.other):
            return self.other_sources.get(finding.family, "")
        return self.sources.get(finding.family, "")

    def _group_text(self, group: Group) -> list[str]:
        finding = group.findings[0]
        code = f"{finding.code} " if finding.code else ""
        lines = [f"{finding.verdict}: {code}{finding.property}: {finding.sentence()}"]
        if len(group.findings) > 1:
            others = [other.frontend for other in group.findings[1 : MAX_NAMED + 1]]
            rest = len(group.findings) - 1 - len(others)
            named = ", ".join(others) + (f" and {rest} more" if rest else "")
            lines.append(f"  also      {named}")
        source = self._source_of(group)
        if group.cause is not None:
            lines.append(f"  cause     {step_text(group.cause, finding.family, source)}")
        if finding.reason:
            lines.append(f"  {finding.reason}")
        example, source = finding.counterexample, self.sources.get(finding.family, "")
        if example is not None:
            both = finding.property == SAME
            lines += [
                f"  packet    {example.packet}",
                f"  {'against ' if both else 'expected'}  {example.expected}",
                f"  {'rules' if both else 'got  '}     {example.got}",
            ]
            lines += _trace_text("trace", example.trace, finding.family, source)
            other = self.other_sources.get(finding.family, "")
            lines += _trace_text("against", example.other, finding.family, other)
        return lines


def _trace_text(label: str, trace: tuple[Step, ...], family: Family, source: str) -> list[str]:
    return [
        f"  {label if number == 0 else '':10}{step_text(step, family, source)}"
        for number, step in enumerate(trace)
    ]


def packet_json(packet: Packet) -> dict[str, Any]:
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


def step_json(step: Step, family: Family, source: str) -> dict[str, Any]:
    """One step of a trace as JSON."""
    shown: dict[str, Any] = {
        "table": step.table,
        "chain": step.chain,
        "rule": _rule_text(step, family),
        "effect": step.effect,
    }
    if step.rule is not None and step.rule.line and step.virtual is None:
        shown["file"], shown["line"] = source, step.rule.line
    return shown


def step_text(step: Step, family: Family, source: str) -> str:
    """One step of a trace as a line."""
    if step.rule is None:
        return f"{step.table} {step.chain}: {step.effect}"
    if step.virtual is not None:
        place = f"ipvsadm:{step.rule.line}: " if step.rule.line else ""
    else:
        place = f"{source}:{step.rule.line}: " if step.rule.line else ""
    return f"{place}{step.table} {_rule_text(step, family)}  [{step.effect}]"


def _rule_text(step: Step, family: Family) -> str:
    if step.virtual is not None:
        return f"-A {key_words(step.virtual)}"
    return "" if step.rule is None else write_rule(step.rule, family)


def combined_json(reports: list[Report]) -> dict[str, Any]:
    """One report as it is; several as one, with a part for each node."""
    if len(reports) == 1:
        return reports[0].to_json()
    parts = [report.to_json() for report in reports]
    return {
        "verdict": worst(report.verdict for report in reports),
        "properties": [
            {"node": part["node"], **found} for part in parts for found in part["properties"]
        ],
        "findings": [
            {"node": part["node"], **found} for part in parts for found in part["findings"]
        ],
        "nodes": [{"node": part["node"], "verdict": part["verdict"]} for part in parts],
        "rules": sum(part["rules"] for part in parts),
        "seconds": round(sum(part["seconds"] for part in parts), 3),
    }
