"""Findings with one cause, as one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from svcc.verify.confirm.findings import Finding
from svcc.verify.simulator.packet import Step
from svcc.verify.spec import codes

_REWRITES = ("masqueraded", "source rewritten")
_TRANSLATES = ("DNAT", "REDIRECT", "sent to")
_BY_LAST_RULE = {codes.LOST, codes.OTHER_REFUSAL, codes.NOT_LET_THROUGH}


@dataclass(frozen=True, slots=True)
class Group:
    """Findings of one code and one rule that causes them; ``cause`` None: none stands out."""

    cause: Step | None
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
        step = cause(finding)
        by_rule: object = None
        if step is not None:
            by_rule = (step.table, step.chain if step.rule is None else id(step.rule))
        reason = finding.reason if by_rule is None else ""
        # What was not given is one finding, whatever it leaves open.
        of_property = "" if finding.code in codes.NOT_GIVEN else finding.property
        rules = tuple(map(id, finding.rules))
        key = (
            finding.verdict, of_property, finding.code, finding.family, by_rule, reason, rules
        )  # fmt: skip
        groups.setdefault(key, Group(step, [])).findings.append(finding)
    found = [_named_nearer(group) for group in groups.values()]
    return sorted(found, key=lambda g: (g.findings[0].verdict != "violated", -len(g.findings)))


def _named_nearer(group: Group) -> Group:
    """One finding alone is due to the rule that sends the packet to the marking chain."""
    finding, *others = group.findings
    if others or group.cause is None or finding.code != codes.MASQUERADED:
        return group
    assert finding.counterexample is not None
    trace = finding.counterexample.trace
    before = trace[max(trace.index(group.cause) - 1, 0)]
    return Group(before, group.findings) if before.effect.startswith("to ") else group


def cause(finding: Finding) -> Step | None:
    """The rule that a violation is due to, as far as its packet shows."""
    example = finding.counterexample
    if example is None or not (example.trace or example.other):
        return None
    trace = example.trace
    if finding.code in _BY_LAST_RULE:
        return trace[-1]
    if finding.code == codes.MASQUERADED:
        marks = [s for s in trace if s.effect.startswith("mark ") and s.effect != "mark 0x0"]
        return marks[0] if marks else _last(trace, _REWRITES)
    if finding.code == codes.WRONG_BACKEND:
        return _last(trace, _TRANSLATES)
    if finding.code == codes.NOT_THE_SAME:
        return _parting(trace, example.other)
    if finding.code == codes.CAPTURED:
        return _last(trace, _TRANSLATES) or trace[-1]
    return None


def _parting(one: tuple[Step, ...], two: tuple[Step, ...]) -> Step | None:
    """Where two ways part: the rule that only one of them has; if they share none, the last."""

    def same(left: Step, right: Step) -> bool:
        return (left.table, left.rule, left.effect) == (right.table, right.rule, right.effect)

    if not any(same(left, right) for left in one for right in two):
        return (one or two)[-1]
    shared = sum(1 for _ in takewhile(lambda pair: same(*pair), zip(one, two, strict=False)))
    mine, theirs = one[shared:], two[shared:]
    if mine and not any(same(mine[0], step) for step in theirs):
        return mine[0]
    return theirs[0] if theirs else mine[0] if mine else None


def _last(trace: tuple[Step, ...], effects: tuple[str, ...]) -> Step | None:
    found = [step for step in trace if step.effect.startswith(effects)]
    return found[-1] if found else None
