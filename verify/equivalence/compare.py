"""Do two rule sets do the same to every packet?

Every region is cut out of both. Equal schemas with equal numbers do the same; other pairs are
asked about together (:mod:`svcc.verify.equivalence.product`), once for all regions that are such
a pair. A difference counts only if the simulator sees it, too. What is compared: whether a packet
passes, is dropped or refused; where it is sent, with which share; whether its source is
rewritten; what affinity remembers. Marks are compared by what they do, source addresses by
whether they change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.ruleset import RuleSet, rule_count
from svcc.verify.cause.deciding import of_step, parting
from svcc.verify.confirm.answers import Answer, Undecided, Values
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import OUTSIDE, Counterexample, Finding, is_worse
from svcc.verify.confirm.judge import describe_result
from svcc.verify.confirm.replay import packet_of, world_of
from svcc.verify.confirm.rule_words import rule_words
from svcc.verify.equivalence.product import OTHER, Difference, Joint
from svcc.verify.equivalence.query import ask, side_of
from svcc.verify.equivalence.rule_frontends import with_named
from svcc.verify.model.rules import index_rules
from svcc.verify.netfilter.rounding import FIVE_DIGITS
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.prepare import prepare
from svcc.verify.proof.refinement import refine
from svcc.verify.report.report import Report
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Packet, Result, Step
from svcc.verify.slicing.cutter import Cut, Cutter
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.slicer import SliceTooLargeError
from svcc.verify.smt.shares import SharesUndecidedError
from svcc.verify.smt.term import FALSE, Term
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import expect
from svcc.verify.spec.properties import SAME

_STATES = {
    "NEW": "",
    "ESTABLISHED": "later packets of connections",
    "RELATED": "packets related to connections",
    "INVALID": "packets of no connection",
}
"""What packets of these conntrack states are called."""

Outcomes = dict[tuple[object, ...], Fraction]


@dataclass(slots=True)
class _Side:
    rules: RuleSet
    regions: Regions
    cutter: Cutter


def compare(
    objects: Objects,
    settings: NodeSettings,
    mine: Mapping[Family, LoadedRules],
    theirs: Mapping[Family, LoadedRules],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Compare two rule sets family by family; *proved* means that they do the same.

    ``objects`` give names to frontends; rules name those that objects do not.
    """
    started = time.perf_counter()
    report = Report(settings.node_name)
    for family in sorted(mine.keys() | theirs.keys()):
        pair = [side.get(family) for side in (mine, theirs)]
        loaded = [item or LoadedRules(RuleSet(family), "no rules") for item in pair]
        report.sources[family] = loaded[0].source
        report.other_sources[family] = loaded[1].source
        _Comparison(objects, settings, family, loaded, report).run(progress)
    report.seconds = time.perf_counter() - started
    return report


class _Comparison:
    def __init__(
        self,
        objects: Objects,
        settings: NodeSettings,
        family: Family,
        loaded: Sequence[LoadedRules],
        report: Report,
    ) -> None:
        self._family, self._report = family, report
        self._sources = [item.source for item in loaded]
        self._known: dict[object, tuple[str, Values]] = {}
        prepared = [prepare(item.rules, settings, as_they_stand=True) for item in loaded]
        report.rules += sum(rule_count(item.rules) for item in prepared)
        self._endless = any(item.endless for item in prepared)
        indexed = [index_rules(item.rules) for item in prepared]
        expectation = with_named(expect(objects, settings, family), indexed)
        apart = frozenset(
            address for rules in indexed if rules.virtual for address in rules.virtual.addresses
        )
        self._state = "NEW"
        self._of_state: dict[str, list[_Side]] = {}
        for state in _STATES:
            # Later packets are told apart by nobody's frontends.
            named = expectation if state == "NEW" else replace(expectation, frontends=())
            sides = []
            for item, index in zip(prepared, indexed, strict=True):
                regions = Regions(index, named, apart=apart, everybodys=True)
                sides.append(_Side(item.rules, regions, Cutter(regions, state)))
            self._of_state[state] = sides
        self._sides = self._of_state["NEW"]

    def run(self, progress: Callable[[int, int], None] | None) -> None:
        """Fill the report."""
        if self._endless:
            reason = "a walk through the rules does not end; svcc verify names it"
            self._add(Finding(SAME, "all chains", self._family, "undecided", None, reason))
            return
        worst: dict[str, Finding] = {}
        for state, (one, two) in self._of_state.items():
            self._state, self._sides = state, [one, two]
            for number, (region, other) in enumerate(zip(one.regions, two.regions, strict=True)):
                if progress is not None and state == "NEW":
                    progress(number, len(one.regions))
                self._report.regions += 1
                finding = self._region(region, other)
                known = worst.get(finding.frontend)
                if known is None or is_worse(finding.verdict, known.verdict):
                    worst[finding.frontend] = finding
        for finding in worst.values():
            self._add(finding)

    def _add(self, finding: Finding) -> None:
        self._report.findings.append(finding)

    def _finding(self, region: Region, reason: str, code: str) -> Finding:
        return Finding(SAME, self._name(region), self._family, "undecided", None, reason, code)

    def _name(self, region: Region) -> str:
        what = _STATES[self._state]
        return f"{what} to {region.name}" if what and region.virtual_ip else what or region.name

    def _region(self, region: Region, other: Region) -> Finding:
        same = Finding(SAME, self._name(region), self._family, "proved")
        one, two = self._sides
        try:
            cuts = one.cutter.cut(region), two.cutter.cut(other)
        except SliceTooLargeError:
            reason = "too many rules touch these packets to be written out"
            return self._finding(region, reason, codes.TOO_MANY_RULES)
        if _equal(*cuts):
            return same
        key = (cuts[0].schema, cuts[1].schema, _relation(*cuts))
        known = self._known.get(key)
        if known is not None:
            verdict, values = known
            if verdict == "same":
                return same
            moved = self._shown(region, cuts, None, _moved(values))
            if moved is not None:
                return moved
        else:
            self._report.schemas += 1
        try:
            joint = Joint(*cuts)
        except SharesUndecidedError:
            reason = "shares depend on marks that chance sets"
            return self._finding(region, reason, codes.OUTSIDE_THE_MODEL)
        general = self._asked(region, joint, literal=False)
        if general is not None:
            general = self._asked(region, joint, literal=False, distinct=True)
        found = None if general is None else self._asked(region, joint, literal=True)
        if found is None:
            if joint.strangers_only:
                reason = "affinity is kept in other ways: only new clients could be compared"
                return self._finding(region, reason, codes.OUTSIDE_THE_MODEL)
            if general is None:
                self._known[key] = ("same", {})
            return same
        if isinstance(found, Undecided):
            return self._finding(region, "the solver gave up", codes.GAVE_UP)
        shown = self._shown(region, cuts, joint, found.values)
        if shown is None:
            mine, theirs = (cut.outside_the_model() for cut in cuts)
            if mine or theirs:
                said = [f"{rule_words(r, self._family)} (line {r.line})" for r in theirs[:4]]
                reason = "; ".join([OUTSIDE, *(f"against: {text}" for text in said)])
                undecided = self._finding(region, reason, codes.OUTSIDE_THE_MODEL)
                return replace(undecided, rules=mine)
            packet = packet_of(region, self._family, found)
            reason = f"the simulator sees no difference in {packet}"
            return self._finding(region, reason, codes.UNCONFIRMED)
        self._known[key] = ("differ", found.values)
        return shown

    # -- the solver --------------------------------------------------------------------

    def _asked(
        self,
        region: Region,
        joint: Joint,
        *,
        literal: bool,
        distinct: bool = False,
    ) -> Answer:
        """A difference; None: there is none."""
        for difference in (joint.outcomes, joint.shares):
            if difference.goal is FALSE:
                continue
            apart = [*joint.distinct(difference.script)] if distinct else []

            def asked(
                extra: Sequence[Term],
                difference: Difference = difference,
                apart: Sequence[Term] = apart,
            ) -> dict[str, Answer]:
                return {SAME: ask(joint, difference, [*apart, *extra], literal=literal)}

            regions, schema = self._sides[0].regions, joint.one.schema
            answers = refine(regions, region, schema, asked) if literal else asked(())
            if answers[SAME] is not None:
                return answers[SAME]
        return None

    # -- the simulator -----------------------------------------------------------------

    def _shown(
        self,
        region: Region,
        cuts: tuple[Cut, Cut],
        joint: Joint | None,
        values: Values,
    ) -> Finding | None:
        """The difference as the simulator sees it; None if it does not."""
        answers = [side_of(joint, values, prefix) for prefix in ("", OTHER)]
        packet = packet_of(region, self._family, answers[0])
        outcomes: list[Outcomes] = []
        results: list[dict[tuple[object, ...], Result]] = []
        for side, cut, answer in zip(self._sides, cuts, answers, strict=True):
            world = world_of(side.regions, cut.numbering, packet, answer)
            world = replace(world, state=self._state)
            try:
                ways = distribution(side.rules, packet, world)
            except UndecidableError:
                return None
            if joint is None and any(result.recorded for _, result in ways):
                return None
            lists = None
            if joint is not None and not joint.strangers_only:
                lists = joint.same_lists if side is self._sides[0] else {}
            shares: Outcomes = {}
            shown: dict[tuple[object, ...], Result] = {}
            for share, result in ways:
                outcome = _outcome(result, lists)
                shares[outcome] = shares.get(outcome, Fraction(0)) + share
                shown.setdefault(outcome, result)
            outcomes.append(shares)
            results.append(shown)
        zero = Fraction(0)
        differing = [
            outcome
            for outcome in outcomes[0].keys() | outcomes[1].keys()
            if abs(outcomes[0].get(outcome, zero) - outcomes[1].get(outcome, zero)) > FIVE_DIGITS
        ]
        if not differing:
            return None
        return self._difference(region, packet, outcomes, results, differing)

    def _difference(
        self,
        region: Region,
        packet: Packet,
        outcomes: Sequence[Outcomes],
        results: Sequence[Mapping[tuple[object, ...], Result]],
        differing: Iterable[tuple[object, ...]],
    ) -> Finding:
        first = min(differing, key=lambda o: (o not in results[0], str(o)))
        texts = [
            _described(packet, shares, shown)
            for shares, shown in zip(outcomes, results, strict=True)
        ]
        traces = [shown[first if first in shown else next(iter(shown))].trace for shown in results]
        return Finding(
            SAME,
            self._name(region),
            self._family,
            "violated",
            Counterexample(packet, traces[0], texts[1], texts[0], traces[1]),
            "",
            codes.NOT_THE_SAME,
            "is not treated the same",
            cause=self._parting(*traces),
        )

    def _parting(self, one: tuple[Step, ...], two: tuple[Step, ...]) -> Cause | None:
        """The rule where two ways part; it is of the one rule set or of the other."""
        step = parting(one, two)
        if step is None:
            return None
        side = 0 if any(step is each for each in one) else 1
        return of_step(step, self._sides[side].rules, self._sources[side])


def _described(
    packet: Packet, shares: Outcomes, results: Mapping[tuple[object, ...], Result]
) -> str:
    found: dict[str, Fraction] = {}
    for outcome, share in shares.items():
        text = describe_result(packet, results[outcome])
        found[text] = found.get(text, Fraction(0)) + share
    if len(found) == 1:
        return next(iter(found))
    parts = [f"{text} ({float(share):.6g})" for text, share in sorted(found.items())[:4]]
    return " or ".join(parts) + (" or …" if len(found) > 4 else "")


def _outcome(result: Result, lists: Mapping[str, str] | None) -> tuple[object, ...]:
    """What an outside observer sees, and what is remembered: ``lists`` renames that, None if
    the sides' lists cannot be compared: then it counts whether anything is.
    """
    if result.verdict != "passed":
        return (result.verdict,)
    recorded: object = bool(result.recorded)
    if lists is not None:
        recorded = frozenset(lists.get(name, name) for name in result.recorded)
    return (
        "passed", result.destination, result.destination_port, result.masqueraded, recorded,
    )  # fmt: skip


def _equal(one: Cut, two: Cut) -> bool:
    """The same rules are left of both, with the same numbers."""
    mine, theirs = one.numbering, two.numbering
    return (
        one.schema == two.schema
        and mine.hosts == theirs.hosts
        and mine.ports == theirs.ports
        and list(mine.lists.values()) == list(theirs.lists.values())
    )


def _relation(one: Cut, two: Cut) -> tuple[object, ...]:
    """Which numbers of the two stand for the same."""
    return tuple(
        tuple(sorted((left[value], right[value]) for value in left.keys() & right.keys()))
        for left, right in (
            (one.numbering.hosts, two.numbering.hosts),
            (one.numbering.ports, two.numbering.ports),
        )
    )


def _moved(values: Values) -> Values:
    """A packet that differed in another such region, for this region's addresses."""
    return {name: value for name, value in values.items() if name not in ("dst", "dport")}
