"""An open question, and the findings that it leaves undecided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.spec.properties import GIVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """Something that nobody knows, and the findings that it could turn round.

    ``subject`` ``says`` what is missing, as a sentence; ``reason`` has the place, and the command
    that prints what is missing. ``only_if_needed``: it is no question where it leaves no finding
    open.
    """

    code: str
    family: Family
    subject: str
    says: str
    reason: str
    concerns: Callable[[Finding], bool]
    only_if_needed: bool = False
    explains: frozenset[str] = frozenset()
    """Codes of undecided findings that the question is the reason for."""

    def finding(self) -> Finding:
        """The question itself as a finding."""
        return Finding(
            GIVEN, self.subject, self.family, "undecided", None, self.reason, self.code, self.says
        )

    def leaves_open(self, finding: Finding) -> bool:
        """Whether the finding could be another if the question were answered."""
        if finding.family is not self.family:
            return False
        if finding.verdict == "undecided":
            return finding.code in self.explains
        return self.concerns(finding)

    def opened(self, finding: Finding) -> Finding:
        """The finding as it is while the question is open."""
        return replace(
            finding, verdict="undecided", counterexample=None, cause=None, reason=self.reason,
            code=self.code, says="is undecided", rules=(),
        )  # fmt: skip


def left_open(findings: Sequence[Finding], questions: Iterable[OpenQuestion]) -> list[Finding]:
    """The findings as far as they hold whatever the answers are; the questions first."""
    asked = []
    found = list(findings)
    for question in questions:
        touched = False
        for number, finding in enumerate(found):
            if question.leaves_open(finding):
                found[number] = question.opened(finding)
                touched = True
        if touched or not question.only_if_needed:
            asked.append(question.finding())
    return [*asked, *found]
