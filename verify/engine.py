"""Verification of one node's rules against the objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.ruleset import RuleSet, rule_count
from svcc.grammar.policy import Placed
from svcc.verify.confirm.causes import DUMMY_DEVICE, Cause
from svcc.verify.confirm.findings import Finding, is_worse, worst
from svcc.verify.confirm.rule_words import rule_words
from svcc.verify.model.owned_rules import owned_rules
from svcc.verify.policy.claims import Claims
from svcc.verify.policy.judge import PolicyJudge
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.prepare import Prepared, prepare
from svcc.verify.prepare.termination import Endless
from svcc.verify.proof.filter_passages import judge_passage, passages
from svcc.verify.proof.prover import Prover
from svcc.verify.region_judge import RegionJudge
from svcc.verify.report.report import Report
from svcc.verify.slicing.regions import Regions
from svcc.verify.slicing.visits import Visits
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation
from svcc.verify.spec.for_rules import expectations_of
from svcc.verify.spec.properties import CAPTURES, ENDS, LEFT_OUT


def verify(
    objects: Objects,
    settings: NodeSettings,
    loaded: Mapping[Family, LoadedRules],
    *,
    prover: Prover | None = None,
    policies: Sequence[Placed] = (),
    policies_only: bool = False,
    paranoid: bool = False,
    progress: Callable[[int, int], None] | None = None,
    causes: bool = True,
) -> Report:
    """Judge the rules of the given families on one node.

    ``prover`` carries proved schemas from one node to the next. ``policies`` are statements
    that :func:`svcc.verify.policy.claims.check` has let through; ``policies_only`` leaves out what
    Kubernetes asks of the rules. ``paranoid`` has the solver look again at what ordinary code
    establishes, which takes much longer. ``progress`` is told how many of how many regions of a
    family are done. Without ``causes`` nobody looks for what a violation is due to, which takes
    longer than to find it.
    """
    started = time.perf_counter()
    prover = prover or Prover()
    before = (prover.statistics.regions, prover.statistics.schemas)
    report = Report(settings.node_name)
    for family, item in sorted(loaded.items()):
        report.sources[family] = item.source
        report.rules += rule_count(item.rules)

        def findings_of(rules: RuleSet, source: str) -> list[Finding]:
            prepared = prepare(rules, settings)
            endless = list(_endless(prepared, source))
            if endless:
                return endless
            tried: list[tuple[_FamilyJudge, list[Finding]]] = []
            for expectation in expectations_of(objects, settings, prepared.rules):
                judge = _FamilyJudge(
                    expectation=expectation,
                    rules=prepared.rules,
                    prover=prover,
                    policies=policies,
                    visits=Visits() if paranoid else None,
                )
                found = judge.statements() if policies_only else judge.everything(progress)
                tried.append((judge, list(found)))
                if is_proved := worst(f.verdict for f in tried[-1][1]) == "proved":
                    break
            ends = Finding(ENDS, "all chains", rules.family, "proved")
            judge, findings = tried[-1 if is_proved else 0]
            return [ends, *(judge.with_causes(findings, source) if causes else findings)]

        found = findings_of(item.rules, item.source)
        if item.other_order is not None:
            found = _of_both_orders(found, findings_of(item.other_order, item.source))
        report.findings += found
    report.regions = prover.statistics.regions - before[0]
    report.schemas = prover.statistics.schemas - before[1]
    report.seconds = time.perf_counter() - started
    return report


def _of_both_orders(found: list[Finding], turned: list[Finding]) -> list[Finding]:
    """What holds whichever of some tables the kernel asks first."""
    verdicts = {(f.property, f.frontend): f.verdict for f in turned}
    result = []
    for finding in found:
        other = verdicts.pop((finding.property, finding.frontend), "proved")
        if other != finding.verdict:
            finding = replace(
                finding,
                verdict="undecided",
                counterexample=None,
                cause=None,
                reason="it depends on which of two tables at one priority was registered first",
                code=codes.IN_FORCE_BESIDE,
            )
        result.append(finding)
    left = [f for f in turned if (f.property, f.frontend) in verdicts and f.verdict != "proved"]
    return [*result, *left]


def _endless(prepared: Prepared, source: str) -> Iterator[Finding]:
    for item in prepared.endless:
        last = [(chain, rule) for chain, rule in item.way[-3:]]
        reason = item.reason + "".join(f"; {chain} line {rule.line}" for chain, rule in last)
        yield Finding(
            ENDS, f"table {item.table}", prepared.rules.family, "violated", None, reason,
            codes.ENDLESS, cause=_jumps_back(item, prepared.rules.family, source),
        )  # fmt: skip


def _jumps_back(item: Endless, family: Family, source: str) -> Cause | None:
    """The rule that leads back to a chain that the walk has been in."""
    if not item.way:
        return None
    chain, rule = item.way[-1]
    file = source if rule.line else ""
    text = rule_words(rule, family)
    return Cause(file, rule.line, item.table, chain, text, remedy="right without it")


class _FamilyJudge:
    """Judges one family's rules, as they were prepared."""

    def __init__(
        self,
        *,
        expectation: Expectation,
        rules: RuleSet,
        prover: Prover,
        policies: Sequence[Placed],
        visits: Visits | None,
    ) -> None:
        self._expectation, self._rules, self._prover = expectation, rules, prover
        indexed = owned_rules(
            rules,
            expectation.settings.masquerade_mark,
            expectation.settings.pods.networks.get(expectation.family),
        )
        self._regions = Regions(indexed, expectation, visits)
        claims = Claims(policies, expectation)
        self._statements = PolicyJudge(claims, self._regions, rules, prover)
        self._judge = RegionJudge(self._regions, rules, prover, self._statements)

    def statements(self) -> Iterator[Finding]:
        """The statements of the policy alone."""
        self._judge.statements_alone()
        yield from self._statements.findings()
        yield from _recheck(self._regions, self._judge.doubts)

    def everything(self, progress: Callable[[int, int], None] | None) -> Iterator[Finding]:
        """What Kubernetes asks, and the statements of the policy."""
        yield from _surplus_addresses(self._regions, self._rules)
        yield from _cut_off(self._regions, self._expectation, self._rules)
        for passage in passages(self._regions, self._expectation):
            yield judge_passage(passage, self._rules, self._regions, self._prover)
        yield from worst_of(self._region_findings(progress))
        yield from self._statements.findings()
        yield from _recheck(self._regions, self._judge.doubts)

    def with_causes(self, findings: Sequence[Finding], source: str) -> Iterable[Finding]:
        """The findings, those that are violated with what they are due to."""
        if all(finding.verdict != "violated" for finding in findings):
            return findings
        from svcc.verify.cause.operands import Hints
        from svcc.verify.cause.search import Causes

        pods = self._expectation.settings.pods.networks.get(self._expectation.family)
        hints = Hints(pods, self._regions.mark)
        return Causes(self._regions, self._rules, source, hints).of(findings)

    def _region_findings(self, progress: Callable[[int, int], None] | None) -> Iterator[Finding]:
        for number, region in enumerate(self._regions):
            if progress is not None:
                progress(number, len(self._regions))
            yield from self._judge.findings(region)
        yield from self._judge.list_findings()


def worst_of(findings: Iterable[Finding]) -> Iterable[Finding]:
    """The worst finding of each property of a frontend."""
    verdicts: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.property, finding.frontend)
        known = verdicts.get(key)
        if known is None or is_worse(finding.verdict, known.verdict):
            verdicts[key] = finding
    return verdicts.values()


def _recheck(regions: Regions, doubts: Sequence[str]) -> Iterator[Finding]:
    """What the solver says of the steps that ordinary code took, if it is asked."""
    if regions.visits is None:
        return
    from svcc.verify.recheck.paranoid import Recheck

    found = [*doubts, *Recheck(regions, regions.visits).doubts()]
    for doubt in found:
        yield Finding(
            LEFT_OUT, "all regions", regions.family, "undecided", None,
            f"internal error, please report: {doubt}", codes.LEFT_OUT_WRONGLY,
        )  # fmt: skip
    if not found:
        yield Finding(LEFT_OUT, "all regions", regions.family, "proved")


def _bound(address: Address, rules: RuleSet) -> Cause | None:
    """The line that binds an address to the dummy device."""
    ipvs = rules.ipvs
    line = 0 if ipvs is None else ipvs.address_lines.get(address.family, {}).get(address.value, 0)
    if ipvs is None or not line:
        return None
    file = ipvs.files.get("addresses", "")
    return Cause(file, line, "", DUMMY_DEVICE, str(address), remedy="right without it")


def _surplus_addresses(regions: Regions, rules: RuleSet) -> Iterator[Finding]:
    """Addresses of the dummy device that belong to no frontend: the node takes their packets."""
    declared = {address for address, _, _ in regions.addresses}
    for value in sorted(regions.virtual_ips - declared):
        address = Address(regions.family, value)
        yield Finding(
            CAPTURES,
            f"virtual IP {address}",
            regions.family,
            "violated",
            None,
            "it is an address of the node, but no Service has it",
            codes.SURPLUS_ADDRESS,
            cause=_bound(address, rules),
        )


def _cut_off(regions: Regions, expectation: Expectation, rules: RuleSet) -> Iterator[Finding]:
    """Addresses of the dummy device that are other hosts': this node reaches itself there."""
    for value, whose in expectation.other_hosts:
        if value in regions.virtual_ips:
            yield Finding(
                CAPTURES,
                f"virtual IP {Address(regions.family, value)}",
                regions.family,
                "violated",
                None,
                f"it is the address of {whose}, which this node can no longer reach",
                codes.CUTS_OFF,
                cause=_bound(Address(regions.family, value), rules),
            )
