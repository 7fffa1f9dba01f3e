"""Statements of a policy: proved for all packets, or refuted with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.policy import SourceWord, Statement
from svcc.verify.confirm.answers import Answer, Undecided, Violated
from svcc.verify.confirm.findings import (
    OUTSIDE,
    SHARES_BY_MARKS,
    Counterexample,
    Finding,
    VerdictName,
)
from svcc.verify.confirm.judge import Distribution, applies, describe_result
from svcc.verify.confirm.replay import packet_of, unconfirmed, world_of
from svcc.verify.policy.claims import Alternatives, Claim, Claims
from svcc.verify.proof.prover import Prover
from svcc.verify.proof.refinement import refine
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Allowances, Packet, Result, endpoint_text
from svcc.verify.slicing.cutter import Cut
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Schema
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.shares import SharesEncoding, SharesUndecidedError
from svcc.verify.smt.term import (
    ONE,
    TRUE,
    ZERO,
    Term,
    add,
    at_most,
    conjunction,
    disjunction,
    equal,
    greater,
    ite,
    negate,
    number,
)
from svcc.verify.spec import codes
from svcc.verify.spec.outcomes import Case
from svcc.verify.spec.properties import POLICY

MOST_FRONTENDS = 5
"""Where a statement is violated, no further frontends are looked for than that."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """What packets must see: no backend at all if ``never``; else some backend that fulfils the
    demands. ``astray`` are the numbers of addresses that are none of the wanted backends.
    """

    never: bool
    at_least: int = 0
    astray: frozenset[int] | None = None
    source: SourceWord = ""


@dataclass(slots=True)
class _State:
    """What is known of one statement so far."""

    verdict: VerdictName = "proved"
    matched: bool = False
    violated: list[str] = field(default_factory=list)
    """Names of frontends where a packet shows it, at most ``MOST_FRONTENDS``."""
    example: Counterexample | None = None
    reason: str = ""
    code: str = ""
    rules: tuple[Rule, ...] = ()
    """Those outside the model that may decide."""

    def done(self, frontend: str) -> bool:
        """Whether no more is to be learned at a frontend."""
        return frontend in self.violated or len(self.violated) >= MOST_FRONTENDS


class PolicyJudge:
    """Judges the statements on one family's rules, region by region."""

    def __init__(
        self,
        claims: Claims,
        regions: Regions,
        rules: RuleSet,
        prover: Prover,
    ) -> None:
        self._claims = claims
        self._states = {item: _State() for item in claims.placed}
        self._regions = regions
        self._rules = rules
        self._prover = prover

    def findings(self) -> Iterator[Finding]:
        """One finding for each statement that speaks of this family and matches frontends."""
        for item, state in self._states.items():
            if state.matched:
                family = self._regions.family
                name = str(item)
                violated = state.verdict == "violated"
                yield Finding(
                    POLICY, name, family, state.verdict, state.example, state.reason,
                    codes.POLICY if violated else state.code,
                    rules=() if violated else state.rules,
                )  # fmt: skip

    def speak_of(self, region: Region) -> bool:
        """Whether any statement has a say in a region."""
        return bool(region.frontend is not None and self._claims.of(region.frontend))

    def too_large(self, region: Region) -> None:
        """The region's rules could not be written out."""
        for claim in self._of(region):
            if claim.of(from_node=region.from_node):
                reason = "too many rules touch these packets to be written out"
                self._undecided(claim, region, reason, codes.TOO_MANY_RULES)

    def judge(self, region: Region, cut: Cut, allowances: Allowances) -> None:
        """See what the statements that speak of a region say of it."""
        for claim in self._of(region):
            alternatives = claim.of(from_node=region.from_node)
            if not alternatives or self._states[claim.placed].done(region.name):
                continue
            self._judge(claim, region, cut, alternatives, allowances)

    def _of(self, region: Region) -> list[Claim]:
        if region.frontend is None:
            return []
        found = self._claims.of(region.frontend)
        for claim in found:
            self._states[claim.placed].matched = True
        return found

    def _judge(
        self,
        claim: Claim,
        region: Region,
        cut: Cut,
        alternatives: Alternatives,
        allowances: Allowances,
    ) -> None:
        numbering = cut.numbering
        cases = numbering.cases(tuple(Case(condition, ()) for condition in alternatives))
        schema = replace(cut.schema, cases=cases)
        obligation = _obligation(claim.placed.statement, numbering)
        key = (self._prover.number(cut.schema), cases, obligation)
        settled = self._prover.settled.get(key)
        if settled is None:
            settled = self._for_all_numbers(schema, obligation)
            self._prover.settled[key] = settled
        if settled:
            return
        answer = refine(
            self._regions,
            region,
            schema,
            lambda extra: {POLICY: self._decide(schema, obligation, numbering, extra)},
        )[POLICY]
        if isinstance(answer, Undecided):
            reason, code = "the solver gave up", codes.GAVE_UP
            rules: tuple[Rule, ...] = ()
            if answer.reason == "unknown rule":
                code = codes.OUTSIDE_THE_MODEL
                rules = cut.outside_the_model()
                reason = OUTSIDE if rules else SHARES_BY_MARKS
            self._undecided(claim, region, reason, code, rules)
        elif answer is not None:
            self._confirm(claim, region, numbering, alternatives, answer, allowances)

    def _for_all_numbers(self, schema: Schema, obligation: Obligation) -> bool:
        try:
            return all(
                self._prover.excluded(encoding, POLICY, term)
                for encoding, term in _terms(schema, obligation)
            )
        except SharesUndecidedError:
            return False

    def _decide(
        self, schema: Schema, obligation: Obligation, numbering: Numbering, extra: Sequence[Term]
    ) -> Answer:
        undecided: Answer = None
        try:
            for encoding, term in _terms(schema, obligation):
                answer = self._prover.term(encoding, POLICY, term, numbering, extra)
                if isinstance(answer, Violated):
                    return answer
                undecided = undecided or answer
        except SharesUndecidedError:
            return undecided or Undecided("unknown rule")
        return undecided

    def _undecided(
        self, claim: Claim, region: Region, reason: str, code: str, rules: tuple[Rule, ...] = ()
    ) -> None:
        state = self._states[claim.placed]
        if state.verdict == "proved":
            state.verdict, state.reason = "undecided", f"at {region.name}: {reason}"
            state.code, state.rules = code, rules

    def _confirm(
        self,
        claim: Claim,
        region: Region,
        numbering: Numbering,
        alternatives: Alternatives,
        answer: Violated,
        allowances: Allowances,
    ) -> None:
        """Report the solver's packet if the plain reading agrees."""
        packet = packet_of(region, self._regions.family, answer)
        world = world_of(self._regions, numbering, packet, answer)
        world = replace(world, allowances=allowances)
        breach = None
        try:
            outcomes = distribution(self._rules, packet, world)
            fresh = outcomes
            if world.recent:
                fresh = distribution(self._rules, packet, replace(world, recent={}))
            if any(applies(condition, packet) for condition in alternatives):
                breach = broken(claim.placed.statement, packet, outcomes, fresh)
        except UndecidableError as undecidable:
            reason, rules = f"outside the model: {undecidable.what}", (undecidable.rule,)
            self._undecided(claim, region, reason, codes.OUTSIDE_THE_MODEL, rules)
            return
        if breach is None:
            self._undecided(claim, region, unconfirmed(packet), codes.UNCONFIRMED)
            return
        expected, got, result = breach
        state = self._states[claim.placed]
        state.violated.append(region.name)
        first, *others = state.violated
        state.verdict, state.reason = "violated", f"at {first}"
        if others:
            state.reason += f"; also at {', '.join(others)}"
        if len(state.violated) == MOST_FRONTENDS:
            state.reason += "; no more were looked for"
        state.example = state.example or Counterexample(packet, result.trace, expected, got)


def _obligation(statement: Statement, numbering: Numbering) -> Obligation:
    if statement.verb != "always":
        return Obligation(True)
    astray = None
    if statement.inside:
        astray = frozenset(
            number
            for value, number in numbering.hosts.items()
            if not any(value & network.mask == network.value for network in statement.inside)
        )
    return Obligation(False, statement.at_least, astray, statement.source)


def _terms(schema: Schema, obligation: Obligation) -> Iterator[tuple[Encoding, Term]]:
    """All that would violate an obligation.

    Raises:
        SharesUndecidedError: the shares depend on what is not modelled.
    """
    encoding = Encoding(schema)
    encoding.run()
    yield encoding, violation(encoding, schema, obligation)
    if obligation.at_least:
        shares = SharesEncoding(schema)
        shares.run()
        yield shares, too_few(shares, schema, obligation.at_least)


def violation(encoding: Encoding, schema: Schema, obligation: Obligation) -> Term:
    """The term that a packet sees something else, however random choices go."""
    served = disjunction([fires for fires, _, _ in encoding.dnat])
    reaches = conjunction([encoding.passed, served])
    if obligation.never:
        return conjunction([_sent(encoding, schema), reaches])
    wrong = [negate(reaches)]
    if obligation.astray is not None:
        away = [fires for fires, host, _ in encoding.dnat if host in obligation.astray]
        wrong.append(conjunction([encoding.passed, disjunction(away)]))
    if obligation.source == "kept":
        # A backend that is sent to itself would not see its own answer.
        others = [
            conjunction([fires, negate(equal(encoding.packet.src, encoding.host(host)))])
            for fires, host, _ in encoding.dnat
        ]
        wrong.append(conjunction([encoding.passed, disjunction(others), encoding.masqueraded]))
    elif obligation.source == "masqueraded":
        kept = conjunction([encoding.sent_out, negate(encoding.masqueraded)])
        wrong.append(conjunction([reaches, kept]))
    return conjunction([_sent(encoding, schema), disjunction(wrong)])


def too_few(shares: SharesEncoding, schema: Schema, at_least: int) -> Term:
    """The term that fewer backends than that have a share, for a client that no affinity binds."""
    weights: dict[tuple[int, int | None], list[Term]] = {}
    for weight, host, port in shares.weights:
        weights.setdefault((host, port), []).append(weight)
    chosen = [ite(greater(shares.total(parts), ZERO), ONE, ZERO) for parts in weights.values()]
    unbound = [negate(flag) for flag in shares.recent.values()]
    few = TRUE
    if len(chosen) >= at_least:
        few = at_most(add([ZERO, *chosen]), number(Fraction(at_least - 1)))
    return conjunction([_sent(shares, schema), *unbound, few])


def _sent(encoding: Encoding, schema: Schema) -> Term:
    return disjunction([encoding.condition(case.condition) for case in schema.cases])


def broken(
    statement: Statement, packet: Packet, outcomes: Distribution, fresh: Distribution
) -> tuple[str, str, Result] | None:
    """The plain reading of a statement, for a packet that it speaks of: expected, got, result.

    ``fresh`` are the outcomes for a client that no affinity binds. What another tool stops by its
    own marks and interfaces is not judged.
    """
    if any(r.verdict == "excused" and not r.placed for _, r in fresh):
        fresh = ()
    outcomes = [(share, result) for share, result in outcomes if result.verdict != "excused"]
    if statement.verb != "always":
        return _first("to reach no backend", packet, outcomes, _served)
    found = _first("to reach a backend", packet, outcomes, lambda result: not _served(result))
    if found is None and statement.inside:
        wanted = f"to reach only {', '.join(map(str, statement.inside))}"
        found = _first(
            wanted,
            packet,
            outcomes,
            lambda result: (
                not any(result.destination & n.mask == n.value for n in statement.inside)
            ),
        )
    if found is None and statement.source == "kept":
        found = _first(
            "not to be masqueraded",
            packet,
            outcomes,
            lambda result: result.masqueraded and packet.source != result.destination,
        )
    if found is None and statement.source == "masqueraded":
        found = _first(
            "to be masqueraded",
            packet,
            outcomes,
            lambda result: result.sent_out and not result.masqueraded,
        )
    backends = {(result.destination, result.destination_port) for _, result in fresh}
    if found is None and fresh and len(backends) < statement.at_least:
        shown = ", ".join(endpoint_text(packet.family, *place) for place in sorted(backends))
        wanted = f"to reach one of {statement.at_least} or more backends"
        found = (wanted, f"only {shown} can be reached", fresh[0][1])
    return found


def _first(
    expected: str, packet: Packet, outcomes: Distribution, wrong: Callable[[Result], bool]
) -> tuple[str, str, Result] | None:
    for _, result in outcomes:
        if wrong(result):
            return expected, describe_result(packet, result), result
    return None


def _served(result: Result) -> bool:
    """Whether the rules sent the packet on to some place, be it where it went anyway."""
    sent = result.translated or any(step.effect == "DNAT" for step in result.trace)
    return result.verdict == "passed" and sent
