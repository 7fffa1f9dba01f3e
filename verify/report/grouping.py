"""Findings with one cause, as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Finding
from svcc.verify.spec import codes


@dataclass(frozen=True, slots=True)
class Group:
    """Findings with one cause; ``cause`` None: none was found, and they share their code."""

    cause: Cause | None
    findings: list[Finding]

    @property
    def others(self) -> list[str]:
        """What else it is about, besides the first finding's frontend."""
        _, *rest = dict.fromkeys(finding.frontend for finding in self.findings)
        return rest


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """All findings that are not *proved*, violations first, the largest groups first."""
    groups: dict[object, Group] = {}
    for finding in findings:
        if finding.verdict == "proved":
            continue
        cause = finding.cause
        key: object = (finding.family, None if cause is None else cause.key)
        if cause is None:
            # What was not given is one finding, whatever it leaves open.
            of_property = "" if finding.code in codes.NOT_GIVEN else finding.property
            rules = tuple(map(id, finding.rules))
            key = (key, finding.verdict, of_property, finding.code, finding.reason, rules)
        groups.setdefault(key, Group(cause, [])).findings.append(finding)
    return sorted(
        groups.values(), key=lambda g: (g.findings[0].verdict != "violated", -len(g.findings))
    )
