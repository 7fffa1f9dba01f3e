"""The rule that decides, where no change of one rule mends what is wrong."""

from __future__ import annotations

from itertools import takewhile

from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.cause.changes import Bench
from svcc.verify.cause.servers import server_cause
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Finding
from svcc.verify.confirm.rule_words import rule_words
from svcc.verify.simulator.packet import Step
from svcc.verify.spec import codes

_REWRITES = ("masqueraded", "source rewritten")
_TRANSLATES = ("DNAT", "REDIRECT", "sent to")
_BY_LAST_RULE = {codes.LOST, codes.OTHER_REFUSAL, codes.NOT_LET_THROUGH}


def deciding(finding: Finding, bench: Bench) -> Cause | None:
    """The rule by which the packet becomes what it must not; None where none stands out."""
    step = _step(finding)
    return None if step is None else of_step(step, bench.rules, bench.source)


def of_step(step: Step, rules: RuleSet, source: str) -> Cause:
    """A rule of a trace as a cause."""
    ipvs = rules.ipvs
    if step.virtual is not None and ipvs is not None and step.virtual in ipvs.servers:
        return server_cause(ipvs, step.virtual, ipvs.servers[step.virtual])
    if step.rule is None:
        text = f"-P {step.chain} {step.effect.removeprefix('policy ')}"
        return Cause(source, 0, step.table, step.chain, text, effect=step.effect)
    file = source if step.rule.line else ""
    text = rule_words(step.rule, rules.family)
    return Cause(file, step.rule.line, step.table, step.chain, text, effect=step.effect)


def _step(finding: Finding) -> Step | None:
    example = finding.counterexample
    if example is None or not example.trace:
        return None
    trace = example.trace
    if finding.code in _BY_LAST_RULE:
        return trace[-1]
    if finding.code == codes.MASQUERADED:
        marks = [s for s in trace if s.effect.startswith("mark ") and s.effect != "mark 0x0"]
        return marks[0] if marks else _last(trace, _REWRITES)
    if finding.code in (codes.WRONG_BACKEND, codes.CAPTURED):
        return _last(trace, _TRANSLATES) or trace[-1]
    return None


def _last(trace: tuple[Step, ...], effects: tuple[str, ...]) -> Step | None:
    found = [step for step in trace if step.effect.startswith(effects)]
    return found[-1] if found else None


def parting(one: tuple[Step, ...], two: tuple[Step, ...]) -> Step | None:
    """Where two ways part: the rule that only one of them has; if they share none, the last."""

    def same(left: Step, right: Step) -> bool:
        return (left.table, left.rule, left.effect) == (right.table, right.rule, right.effect)

    if not any(same(left, right) for left in one for right in two):
        return (one or two)[-1] if one or two else None
    shared = sum(1 for _ in takewhile(lambda pair: same(*pair), zip(one, two, strict=False)))
    mine, theirs = one[shared:], two[shared:]
    if mine and not any(same(mine[0], step) for step in theirs):
        return mine[0]
    return theirs[0] if theirs else mine[0] if mine else None
