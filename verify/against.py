"""Do two rule sets do the same to every packet?

Every region is cut out of both. Equal schemas with equal numbers do the same; other pairs are
asked about together (:mod:`svcc.verify.joint`), once for all regions that are such a pair. A
difference counts only if the simulator sees it, too. What is compared: whether a packet passes,
is dropped or refused; where it is sent, with which share; whether its source is rewritten; what
affinity remembers. Marks are compared by what they do, source addresses by whether they change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import z3

from svcc.compiler.objects import Objects
from svcc.compiler.settings import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.program import Comment
from svcc.grammar.ruleset import RuleSet
from svcc.verify import codes
from svcc.verify.connmark import with_plain_marks
from svcc.verify.cut import Cut, Cutter
from svcc.verify.ends import check_ends
from svcc.verify.engine import LoadedRules
from svcc.verify.exclusion import MAX_EXCLUSIONS, outside
from svcc.verify.expectation import Expectation, Frontend, FrontendExpectation, expect
from svcc.verify.findings import Counterexample, Finding
from svcc.verify.joint import DECLARATION, NAME, OTHER, Joint
from svcc.verify.judge import describe_result
from svcc.verify.matching import UndecidableError
from svcc.verify.packet import Packet, Result
from svcc.verify.prefer import preferences
from svcc.verify.properties import SAME
from svcc.verify.prove import SOLVER_TIMEOUT_MS, Values, Violated
from svcc.verify.records import IndexedRules, Record, index_rules
from svcc.verify.redirects import with_redirects
from svcc.verify.regions import Region, Regions
from svcc.verify.replay import packet_of, world_of
from svcc.verify.report import Report
from svcc.verify.shares import FIVE_DIGITS, SharesUndecidedError
from svcc.verify.simulate import distribution
from svcc.verify.slices import SliceTooLargeError

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


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of the solver: ``lines``, and a goal that no packet may meet."""

    lines: Sequence[str]
    goal: str


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
        self._known: dict[object, tuple[str, Values]] = {}
        self._endless = False
        indexed = []
        for item in loaded:
            rules = item.rules
            report.rules += sum(
                len(chain.rules) for chains in rules.tables.values() for chain in chains.values()
            )
            with_plain_marks(rules)
            with_redirects(rules, settings.addresses)
            self._endless |= bool(check_ends(rules))
            indexed.append(index_rules(rules))
        expectation = _named(expect(objects, settings, family), indexed)
        apart = frozenset(
            address for rules in indexed if rules.virtual for address in rules.virtual.addresses
        )
        self._state = "NEW"
        self._of_state: dict[str, list[_Side]] = {}
        for state in _STATES:
            # Later packets are told apart by nobody's frontends.
            named = expectation if state == "NEW" else replace(expectation, frontends=())
            sides = []
            for item, index in zip(loaded, indexed, strict=True):
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
                if known is None or _RANK[finding.verdict] > _RANK[known.verdict]:
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
            moved = self._shown(region, cuts, None, _moved(values, region, cuts[0]))
            if moved is not None:
                return moved
        else:
            self._report.schemas += 1
        try:
            joint = Joint(*cuts)
        except SharesUndecidedError:
            reason = "shares depend on marks that chance sets"
            return self._finding(region, reason, codes.OUTSIDE_THE_MODEL)
        general = self._asked(region, cuts, joint, literal=False)
        if general is not None:
            general = self._asked(region, cuts, joint, literal=False, distinct=True)
        if general is None:
            if joint.strangers_only:
                reason = "affinity is kept in other ways: only new clients could be compared"
                return self._finding(region, reason, codes.OUTSIDE_THE_MODEL)
            self._known[key] = ("same", {})
            return same
        found = self._asked(region, cuts, joint, literal=True)
        if found is None:
            return same
        if isinstance(found, str):
            return self._finding(region, found, codes.GAVE_UP)
        shown = self._shown(region, cuts, joint, found)
        if shown is None:
            unknown = [*cuts[0].outside_the_model(), *cuts[1].outside_the_model()]
            if unknown:
                reason = "outside the model: " + "; ".join(unknown[:4])
                return self._finding(region, reason, codes.OUTSIDE_THE_MODEL)
            packet = packet_of(region, self._family, _violated(joint, found, ""))
            reason = f"the simulator sees no difference in {packet}"
            return self._finding(region, reason, codes.UNCONFIRMED)
        self._known[key] = ("differ", found)
        return shown

    # -- the solver --------------------------------------------------------------------

    def _asked(
        self,
        region: Region,
        cuts: tuple[Cut, Cut],
        joint: Joint,
        *,
        literal: bool,
        distinct: bool = False,
    ) -> Values | str | None:
        """The values of a difference; why there is no answer; None: there is none."""
        for lines, goal in (joint.outcomes, joint.shares):
            if goal == "false":
                continue
            apart = joint.distinct() if distinct else []
            declared = {found[1] for line in lines if (found := DECLARATION.match(line))}
            extra = [line for line in apart if declared.issuperset(_named_in(line, joint))]
            while len(extra) <= MAX_EXCLUSIONS:
                values = self._solved(lines, goal, cuts, joint, extra, literal=literal)
                if not isinstance(values, dict):
                    break
                answer = _violated(joint, values, "")
                left_out = outside(self._sides[0].regions, region, [answer], cuts[0].schema)
                if left_out is None:
                    return values
                extra.append(left_out)
            else:
                return "the solver gave up"
            if values is not None:
                return values
        return None

    def _solved(
        self,
        lines: Sequence[str],
        goal: str,
        cuts: tuple[Cut, Cut],
        joint: Joint,
        extra: Sequence[str],
        *,
        literal: bool,
    ) -> Values | str | None:
        solver = z3.Solver()
        solver.set("timeout", SOLVER_TIMEOUT_MS)
        numbers = _literals(cuts, lines) if literal else []
        solver.from_string("\n".join([*lines, *numbers, *extra, f"(assert {goal})"]))
        answer = solver.check()
        if answer == z3.unsat:
            return None
        if answer != z3.sat:
            return "the solver gave up"
        if literal:
            _prefer(solver, joint, lines)
        return _values(solver.model())

    # -- the simulator -----------------------------------------------------------------

    def _shown(
        self,
        region: Region,
        cuts: tuple[Cut, Cut],
        joint: Joint | None,
        values: Values,
    ) -> Finding | None:
        """The difference as the simulator sees it; None if it does not."""
        answers = [_violated(joint, values, prefix) for prefix in ("", OTHER)]
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
            lists = joint.same_lists if joint is not None and side is self._sides[0] else {}
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
        )


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


def _outcome(result: Result, lists: Mapping[str, str]) -> tuple[object, ...]:
    if result.verdict != "passed":
        return (result.verdict,)
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


def _moved(values: Values, region: Region, cut: Cut) -> Values:
    """A packet that differed in another such region, for this region's addresses."""
    return {name: value for name, value in values.items() if name not in ("dst", "dport")}


def _literals(cuts: tuple[Cut, Cut], lines: Sequence[str]) -> Iterator[str] | list[str]:
    text = "\n".join(lines)
    found = []
    for cut, prefix in zip(cuts, ("", OTHER), strict=True):
        width = cut.schema.family.bits
        for letter, numbers, bits in (
            ("H", cut.numbering.hosts, width),
            ("P", cut.numbering.ports, 16),
        ):
            for value, number in numbers.items():
                name = f"{prefix}{letter}{number}"
                if f"(declare-const {name} " in text:
                    found.append(f"(assert (= {name} (_ bv{value} {bits})))")
        for value, number in cut.numbering.hosts.items():
            own = any(value & mask == address for address, mask in cut.schema.node_networks)
            flag = f"{prefix}backend_local{number}"
            if own and f"(declare-const {flag} " in text:
                found.append(f"(assert {flag})")
    return found


def _prefer(solver: z3.Solver, joint: Joint, lines: Sequence[str]) -> None:
    """Plain values, where the difference leaves a choice."""
    declared = {found[1] for line in lines if (found := DECLARATION.match(line))}
    for group in preferences(joint.encoding):
        for term in group:
            if not declared.issuperset(_named_in(term, joint)):
                continue
            solver.push()
            solver.from_string(f"(assert {term})")
            if solver.check() == z3.sat:
                break
            solver.pop()
    solver.check()


def _values(model: z3.ModelRef) -> Values:
    values: Values = {}
    for declaration in model.decls():
        term = model[declaration]
        if z3.is_bv_value(term):
            values[declaration.name()] = term.as_long()
        elif z3.is_true(term) or z3.is_false(term):
            values[declaration.name()] = z3.is_true(term)
    return values


def _named_in(line: str, joint: Joint) -> list[str]:
    return [name for name in NAME.findall(line) if name in joint.names]


def _violated(joint: Joint | None, values: Values, prefix: str) -> Violated:
    """One side's values, by the names that they have there."""
    mine = dict(values)
    if prefix:
        mine = {name: value for name, value in values.items() if not name.startswith(prefix)}
        mine |= {
            name.removeprefix(prefix): value
            for name, value in values.items()
            if name.startswith(prefix)
        }
    if joint is None:
        return Violated(mine)
    patterns = joint.their_patterns if prefix else joint.patterns
    return Violated(mine, dict(joint.interfaces), patterns)


def _named(expectation: Expectation, indexed: Sequence[IndexedRules]) -> Expectation:
    """The expectation's frontends and those that only rules name; what is expected is left out."""
    frontends = {
        (f.frontend.address, f.frontend.protocol, f.frontend.port): f for f in expectation.frontends
    }
    full = (1 << expectation.family.bits) - 1
    for rules in indexed:
        for record in _records(rules):
            place = _place(record, full)
            if place is None or place in frontends:
                continue
            address, protocol, port = place
            comment = next(
                (m.text for m in record.rule.matches if isinstance(m, Comment)), record.rule.chain
            )
            kind = "node port" if address is None else "address"
            frontend = Frontend(expectation.family, address, protocol, port, comment, kind)
            frontends[place] = FrontendExpectation(frontend, (), True)
    unjudged = tuple(replace(item, cases=()) for item in frontends.values())
    return replace(expectation, frontends=unjudged, health_check_ports=())


def _records(rules: IndexedRules) -> Iterator[Record]:
    for chains in rules.tables.values():
        for chain in chains.values():
            yield from chain.records


def _place(record: Record, full_mask: int) -> tuple[int | None, int, int] | None:
    """The one address (None: any), protocol and port that a rule is about."""
    known = {c[0]: c[1:] for c in record.conditions if c[0] in ("dst", "proto", "dport")}
    if "dport" not in known or "proto" not in known:
        return None
    (protocol, other_protocols), (first, last, other_ports) = known["proto"], known["dport"]
    if other_protocols or other_ports or first != last or protocol not in (6, 17, 132):
        return None
    address, mask, others = known.get("dst", (None, full_mask, False))
    return None if others or mask != full_mask else (address, protocol, first)


_RANK = {"proved": 0, "undecided": 1, "violated": 2}
