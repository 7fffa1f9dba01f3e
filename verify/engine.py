"""Verification of one node's rules against the objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.policy import Placed
from svcc.verify.confirm.answers import Undecided, Violated
from svcc.verify.confirm.findings import Counterexample, Finding, is_worse
from svcc.verify.confirm.judge import Failure
from svcc.verify.confirm.replay import failures, packet_of, unconfirmed, world_of
from svcc.verify.model.other_tools import leave_to_tools
from svcc.verify.model.ownership import mark_ownership
from svcc.verify.model.rules import index_rules
from svcc.verify.policy.claims import Claims
from svcc.verify.policy.judge import PolicyJudge
from svcc.verify.prepare.connmark import with_plain_marks
from svcc.verify.prepare.excluded_servers import without_others
from svcc.verify.prepare.kubelet import with_kubelet
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.redirects import with_redirects
from svcc.verify.prepare.termination import check_ends
from svcc.verify.proof.filter_passages import judge_passage, passages
from svcc.verify.proof.prover import Prover
from svcc.verify.proof.refinement import MAX_EXCLUSIONS, outside
from svcc.verify.proof.shared_lists import SharedLists
from svcc.verify.report.report import Report
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Packet, Step
from svcc.verify.slicing.cutter import Cut, Cutter
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Numbering, Schema
from svcc.verify.slicing.slicer import SliceTooLargeError
from svcc.verify.slicing.visits import Visits
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation, expect
from svcc.verify.spec.kube_proxy_before_1_26 import loosened
from svcc.verify.spec.kube_proxy_ipvs import accepting, settings_for
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
) -> Report:
    """Judge the rules of the given families on one node.

    ``prover`` carries proved schemas from one node to the next. ``policies`` are statements
    that :func:`svcc.verify.policy.claims.check` has let through; ``policies_only`` leaves out what
    Kubernetes asks of the rules. ``paranoid`` has the solver look again at what ordinary code
    establishes, which takes much longer. ``progress`` is told how many of how many regions of a
    family are done.
    """
    started = time.perf_counter()
    prover = prover or Prover()
    before = (prover.statistics.regions, prover.statistics.schemas)
    report = Report(settings.node_name)
    for family, item in sorted(loaded.items()):
        report.sources[family] = item.source
        node = settings_for(settings, item.rules)
        expectation = loosened(expect(objects, node, family), item.rules)
        expectation = accepting(expectation, item.rules, objects)
        claims = Claims(policies, expectation)
        visits = Visits() if paranoid else None
        _verify_family(
            expectation, item.rules, prover, report, claims, policies_only, visits, progress
        )
    report.regions = prover.statistics.regions - before[0]
    report.schemas = prover.statistics.schemas - before[1]
    report.seconds = time.perf_counter() - started
    return report


def _verify_family(
    expectation: Expectation,
    rules: RuleSet,
    prover: Prover,
    report: Report,
    claims: Claims,
    claims_only: bool,
    visits: Visits | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    family, settings = expectation.family, expectation.settings
    report.rules += sum(len(c.rules) for chains in rules.tables.values() for c in chains.values())
    with_kubelet(rules)
    with_plain_marks(rules)
    with_redirects(rules, settings.addresses)
    endless = check_ends(rules)
    for item in endless:
        trace = tuple(Step(item.table, chain, rule, "jump") for chain, rule in item.way)
        report.findings.append(
            Finding(
                ENDS,
                f"table {item.table}",
                family,
                "violated",
                None,
                item.reason
                + "".join(f"; {s.chain} line {s.rule.line}" for s in trace[-3:] if s.rule),
                codes.ENDLESS,
            )
        )
    if endless:
        return
    report.findings.append(Finding(ENDS, "all chains", family, "proved"))
    if rules.ipvs is not None:
        rules.ipvs = without_others(rules.ipvs, settings.ipvs.exclude_networks)
    indexed = index_rules(rules)
    mark_ownership(indexed)
    leave_to_tools(indexed, settings.masquerade_mark)
    regions = Regions(indexed, expectation, visits)
    statements = PolicyJudge(claims, regions, rules, prover)
    judge = _RegionJudge(regions, rules, prover, settings.masquerade_mark, family, statements)
    if claims_only:
        judge.statements_alone()
        report.findings += statements.findings()
        report.findings += _recheck(regions, judge.doubts)
        return
    report.findings += _surplus_addresses(regions)
    for passage in passages(regions, expectation):
        report.findings.append(judge_passage(passage, rules, regions, prover))
    verdicts: dict[tuple[str, str], Finding] = {}

    def keep(findings: Iterable[Finding]) -> None:
        for finding in findings:
            key = (finding.property, finding.frontend)
            known = verdicts.get(key)
            if known is None or is_worse(finding.verdict, known.verdict):
                verdicts[key] = finding

    for number, region in enumerate(regions):
        if progress is not None:
            progress(number, len(regions))
        keep(judge.findings(region))
    keep(judge.shared_lists.findings(rules, regions))
    report.findings.extend(verdicts.values())
    report.findings += statements.findings()
    report.findings += _recheck(regions, judge.doubts)


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


def _surplus_addresses(regions: Regions) -> Iterator[Finding]:
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
        )


class _RegionJudge:
    def __init__(
        self,
        regions: Regions,
        rules: RuleSet,
        prover: Prover,
        mark: int,
        family: Family,
        statements: PolicyJudge,
    ) -> None:
        self._regions = regions
        self._cutter = Cutter(regions)
        self._rules = rules
        self._prover = prover
        self._mark = mark
        self._family = family
        self._statements = statements
        self._examples: dict[tuple[Schema, str], tuple[Violated, Numbering]] = {}
        self.shared_lists = SharedLists()
        self.doubts: list[str] = []

    def statements_alone(self) -> None:
        """Judge nothing but the statements of the policy."""
        for region in self._regions:
            if not self._statements.speak_of(region):
                continue
            self._prover.statistics.regions += 1
            try:
                cut = self._cutter.cut(region)
            except SliceTooLargeError:
                self._statements.too_large(region)
            else:
                self._statements.judge(region, cut)

    def findings(self, region: Region) -> list[Finding]:
        """One finding per property that the region has a say in."""
        try:
            cut = self._cutter.cut(region)
        except SliceTooLargeError:
            self._statements.too_large(region)
            return [
                Finding(
                    name,
                    region.name,
                    self._family,
                    "undecided",
                    None,
                    "too many rules touch these packets to be written out",
                    codes.TOO_MANY_RULES,
                )
                for name in region.properties
            ]
        self.shared_lists.note(region, cut)
        schema, numbering = cut.schema, cut.numbering
        boxes = None if self._regions.visits is None else cut.boxes
        moved = self._moved(region, cut) if boxes is None else None
        if moved is not None:
            self._prover.statistics.regions += 1
            self._statements.judge(region, cut)
            return moved
        answers = self._prover.region(schema, numbering, boxes=boxes)
        extra: list[str] = []
        while (excluded := outside(self._regions, region, answers.values(), schema)) is not None:
            extra.append(excluded)
            if len(extra) > MAX_EXCLUSIONS:
                answers = dict.fromkeys(answers, Undecided("solver"))
                break
            answers = self._prover.region(schema, numbering, extra, boxes)
        if answers.pop(LEFT_OUT, None) is not None:
            self.doubts.append(f"packets of {region.name} are sent where nobody looked")
        self._statements.judge(region, cut)
        for name, answer in answers.items():
            if isinstance(answer, Violated):
                self._examples[schema, name] = (answer, numbering)
        wanted, frontend = region.properties, region.name
        return [
            Finding(name, frontend, self._family, "proved")
            if answer is None
            else self._finding(region, cut, name, answer)
            for name, answer in answers.items()
            if answer is not None or name in wanted
        ]

    def _moved(self, region: Region, cut: Cut) -> list[Finding] | None:
        """The findings of a region whose schema is known to fail, by the packets of another such
        region, put to this one's addresses; None if the simulator does not confirm them here.
        """
        schema, numbering = cut.schema, cut.numbering
        if not schema.fixed_destination or region.virtual_ip is not None:
            return None
        if not any((schema, name) in self._examples for name in region.properties):
            return None
        found = []
        addresses = {number: value for value, number in numbering.hosts.items()}
        wanted, frontend = region.properties, region.name
        for name, general in self._prover.general(schema).items():
            if general is None:
                if name in wanted:
                    found.append(Finding(name, frontend, self._family, "proved"))
                continue
            example = self._examples.get((schema, name))
            if example is None:
                return None
            answer, numbers = example
            values = dict(answer.values)
            if (host := numbers.hosts.get(int(values.get("src", -1)))) is not None:
                values["src"] = addresses[host]
            finding = self._finding(region, cut, name, replace(answer, values=values))
            if finding.verdict != "violated":
                return None
            found.append(finding)
        return found

    def _finding(
        self,
        region: Region,
        cut: Cut,
        name: str,
        answer: Violated | Undecided,
        *,
        sure: bool = True,
    ) -> Finding:
        """What an answer comes to; unless ``sure`` only a failure of that very property counts."""
        frontend, family = region.name, self._family
        if isinstance(answer, Undecided):
            reason, code = "the solver gave up", codes.GAVE_UP
            if answer.candidate is not None:
                finding = self._finding(region, cut, name, answer.candidate, sure=False)
                if finding.verdict == "violated":
                    return finding
            if answer.reason == "unknown rule":
                code = codes.OUTSIDE_THE_MODEL
                rules = cut.outside_the_model() or ["shares that depend on marks"]
                reason = "outside the model: " + "; ".join(rules)
            return Finding(name, frontend, family, "undecided", None, reason, code)
        packet = packet_of(region, family, answer)
        world = world_of(self._regions, cut.numbering, packet, answer)
        try:
            found, _ = failures(self._rules, self._regions, region, packet, world, self._mark)
        except UndecidableError as undecidable:
            reason = f"line {undecidable.rule.line}: {undecidable.what} is outside the model"
            code = codes.OUTSIDE_THE_MODEL
            return Finding(name, frontend, family, "undecided", None, reason, code)
        failure = next(
            (f for f in found if f.property == name), found[0] if found and sure else None
        )
        if failure is None:
            reason = unconfirmed(packet)
            code = codes.UNCONFIRMED
            return Finding(name, frontend, family, "undecided", None, reason, code)
        example = _counterexample(packet, failure)
        return Finding(name, frontend, family, "violated", example, "", failure.code, failure.says)


def _counterexample(packet: Packet, failure: Failure) -> Counterexample:
    return Counterexample(packet, failure.result.trace, failure.expected, failure.got)
