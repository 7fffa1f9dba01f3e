"""Verification of one node's rules against the objects."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from svcc.compiler.objects import Objects
from svcc.compiler.settings import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.grammar.ruleset import RuleSet
from svcc.verify.beside import judge_passage, passages
from svcc.verify.ends import check_ends
from svcc.verify.expectation import expect
from svcc.verify.judge import Failure
from svcc.verify.matching import UndecidableError
from svcc.verify.older import loosened, with_kubelet
from svcc.verify.ownership import mark_ownership
from svcc.verify.packet import Packet, Step
from svcc.verify.properties import CAPTURES, ENDS
from svcc.verify.prove import Answer, Prover, Undecided, Violated
from svcc.verify.records import index_rules
from svcc.verify.regions import Cut, Region, Regions
from svcc.verify.replay import failures, packet_of, unconfirmed, world_of
from svcc.verify.report import Counterexample, Finding, Report
from svcc.verify.schema import Schema
from svcc.verify.slices import SliceTooLargeError
from svcc.verify.virtual import without_others

MAX_EXCLUSIONS = 2000


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """One family's rules, and the name of the text that they were read from."""

    rules: RuleSet
    source: str


def verify(
    objects: Objects,
    settings: NodeSettings,
    loaded: Mapping[Family, LoadedRules],
    *,
    prover: Prover | None = None,
) -> Report:
    """Judge the rules of the given families on one node.

    ``prover`` carries proved schemas from one node to the next.
    """
    started = time.perf_counter()
    prover = prover or Prover()
    before = (prover.statistics.regions, prover.statistics.schemas)
    report = Report(settings.node_name)
    for family, item in sorted(loaded.items()):
        report.sources[family] = item.source
        _verify_family(objects, settings, family, item.rules, prover, report)
    report.regions = prover.statistics.regions - before[0]
    report.schemas = prover.statistics.schemas - before[1]
    report.seconds = time.perf_counter() - started
    return report


def _verify_family(
    objects: Objects,
    settings: NodeSettings,
    family: Family,
    rules: RuleSet,
    prover: Prover,
    report: Report,
) -> None:
    report.rules += sum(len(c.rules) for chains in rules.tables.values() for c in chains.values())
    with_kubelet(rules)
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
            )
        )
    if endless:
        return
    report.findings.append(Finding(ENDS, "all chains", family, "proved"))
    if rules.ipvs is not None:
        rules.ipvs = without_others(rules.ipvs, settings.ipvs.exclude_networks)
    indexed = index_rules(rules)
    mark_ownership(indexed)
    expectation = loosened(expect(objects, settings, family), rules)
    regions = Regions(indexed, expectation)
    judge = _RegionJudge(regions, rules, prover, settings.masquerade_mark, family)
    report.findings += _surplus_addresses(regions)
    for passage in passages(regions, expectation):
        report.findings.append(judge_passage(passage, rules, regions, prover))
    verdicts: dict[tuple[str, str], Finding] = {}
    for region in regions:
        for finding in judge.findings(region):
            key = (finding.property, finding.frontend)
            known = verdicts.get(key)
            if known is None or _RANK[finding.verdict] > _RANK[known.verdict]:
                verdicts[key] = finding
    report.findings.extend(verdicts.values())


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
        )


_RANK = {"proved": 0, "undecided": 1, "violated": 2}


class _RegionJudge:
    def __init__(
        self, regions: Regions, rules: RuleSet, prover: Prover, mark: int, family: Family
    ) -> None:
        self._regions = regions
        self._rules = rules
        self._prover = prover
        self._mark = mark
        self._family = family

    def findings(self, region: Region) -> list[Finding]:
        """One finding per property that the region has a say in."""
        try:
            cut = self._regions.cut(region)
        except SliceTooLargeError:
            return [
                Finding(
                    name,
                    region.name,
                    self._family,
                    "undecided",
                    None,
                    "too many rules touch these packets to be written out",
                )
                for name in region.properties
            ]
        schema, numbering = cut.schema, cut.numbering
        answers = self._prover.region(schema, numbering)
        extra: list[str] = []
        while (excluded := self._outside(region, answers, schema)) is not None:
            extra.append(excluded)
            if len(extra) > MAX_EXCLUSIONS:
                answers = dict.fromkeys(answers, Undecided("solver"))
                break
            answers = self._prover.region(schema, numbering, extra)
        wanted = region.properties
        return [
            self._finding(region, cut, name, answer)
            for name, answer in answers.items()
            if answer is not None or name in wanted
        ]

    def _outside(self, region: Region, answers: Mapping[str, Answer], schema: Schema) -> str | None:
        """A constraint that leaves out the packet of an answer that is not of this region."""
        if schema.fixed_destination and region.virtual_ip is None:
            return None
        for answer in answers.values():
            if not isinstance(answer, Violated):
                continue
            packet = packet_of(region, self._family, answer)
            local = bool(answer.values.get("local", False))
            width = self._family.bits
            same_address = f"(= dst (_ bv{packet.destination} {width}))"
            ports = (
                f"(= proto (_ bv{packet.protocol} 8))",
                f"(= dport (_ bv{packet.destination_port} 16))",
            )
            if self._regions.declared(packet.destination, packet.protocol, packet.destination_port):
                if region.frontend is not None:
                    return f"(assert (not {same_address}))"
                return f"(assert (not (and {same_address} {' '.join(ports)})))"
            if local and self._regions.never_local(packet.destination):
                return f"(assert (not (and local {same_address})))"
            if (
                region.frontend is None
                and local
                and (packet.protocol, packet.destination_port) in self._regions.node_ports
            ):
                return f"(assert (not (and local {' '.join(ports)})))"
        return None

    def _finding(self, region: Region, cut: Cut, name: str, answer: Answer) -> Finding:
        frontend, family = region.name, self._family
        if answer is None:
            return Finding(name, frontend, family, "proved")
        if isinstance(answer, Undecided):
            reason = "the solver gave up"
            if answer.reason == "unknown rule":
                rules = cut.outside_the_model() or ["shares that depend on marks"]
                reason = "outside the model: " + "; ".join(rules)
            return Finding(name, frontend, family, "undecided", None, reason)
        packet = packet_of(region, family, answer)
        world = world_of(self._regions, cut.numbering, packet, answer)
        try:
            found, _ = failures(self._rules, self._regions, region, packet, world, self._mark)
        except UndecidableError as undecidable:
            reason = f"line {undecidable.rule.line}: {undecidable.what} is outside the model"
            return Finding(name, frontend, family, "undecided", None, reason)
        failure = next((f for f in found if f.property == name), found[0] if found else None)
        if failure is None:
            return Finding(name, frontend, family, "undecided", None, unconfirmed(packet))
        return Finding(name, frontend, family, "violated", _counterexample(packet, failure))


def _counterexample(packet: Packet, failure: Failure) -> Counterexample:
    return Counterexample(packet, failure.result.trace, failure.expected, failure.got)
