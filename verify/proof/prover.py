"""Z3 decides each schema; a schema that does not hold for all numbers is decided for its own."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import z3

from svcc.verify.confirm.answers import Answer, Undecided, Values, Violated
from svcc.verify.proof.obligations import (
    captures_nothing_else,
    fair,
    masquerades_exactly,
    never_reached,
    reaches_exactly,
    refuses_exactly,
    remembers,
    returns,
)
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.schema import Numbering, Schema
from svcc.verify.smt.cone_of_influence import cone
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.preferences import preferences
from svcc.verify.smt.shares import SharesEncoding, SharesUndecidedError, tolerance
from svcc.verify.smt.terms import conjunction, disjunction, negate
from svcc.verify.spec.properties import CAPTURES, FAIR, LEFT_OUT, MASQUERADES, REACHES, REFUSES

SOLVER_TIMEOUT_MS = 60_000
QUICK_TIMEOUT_MS = 10_000


@dataclass(slots=True)
class Statistics:
    """What the proof took."""

    regions: int = 0
    schemas: int = 0
    solver_calls: int = 0


class Prover:
    """Proves regions, remembering the schemas that hold for all numbers."""

    def __init__(self) -> None:
        self.statistics = Statistics()
        self._general: dict[Schema, dict[str, Answer]] = {}
        self._numbers: dict[Schema, int] = {}
        self.settled: dict[Hashable, bool] = {}
        """Whether what others asked of a schema holds for all numbers, by what they like."""

    def region(
        self,
        schema: Schema,
        numbering: Numbering,
        extra: list[str] | None = None,
        boxes: Sequence[Box] | None = None,
    ) -> dict[str, Answer]:
        """Every property's answer for one region.

        ``extra`` are further SMT-LIB constraints on the packet (regions that leave others
        out); with them nothing is remembered. Nor with ``boxes``, where its packets were
        thought to be sent: that nothing goes elsewhere is one more answer.
        """
        self.statistics.regions += 1
        if boxes is not None:
            self.statistics.schemas += 1
            return self._decide(schema, numbering, extra or [], boxes)
        if extra is None:
            general = self.general(schema)
            if not any(general.values()):
                return general
        return self._decide(schema, numbering, extra or [])

    def general(self, schema: Schema) -> dict[str, Answer]:
        """Every property's answer for all numbers at once; a violation need not be one for all."""
        known = self._general.get(schema)
        if known is None:
            self.statistics.schemas += 1
            known = self._general[schema] = self._decide(schema, None, [])
        return known

    def knows(self, schema: Schema) -> bool:
        """Whether a schema was met before."""
        return schema in self._general

    def number(self, schema: Schema) -> int:
        """A short name of a schema."""
        number = self._numbers.get(schema)
        if number is None:
            number = self._numbers[schema] = len(self._numbers)
            self.statistics.schemas += schema not in self._general
        return number

    def term(
        self,
        encoding: Encoding,
        name: str,
        term: str,
        numbering: Numbering | None = None,
        extra: Sequence[str] = (),
    ) -> Answer:
        """One property, given as the term that would violate it.

        Without ``numbering``, for all numbers; ``extra`` as for :meth:`region`.
        """
        return self._answers(encoding, {name: [term]}, encoding.schema, numbering, [*extra])[name]

    def excluded(self, encoding: Encoding, term: str) -> bool:
        """Whether a term holds for no numbers at all, asked without looking for an example."""
        goal = conjunction([term, negate(disjunction(encoding.excused), True)])
        if self._none_holds(z3.Solver(), "\n".join(encoding.lines), [goal]):
            return True
        solver = z3.Solver()
        solver.set("timeout", SOLVER_TIMEOUT_MS)
        lines = [*encoding.lines, *encoding.distinct, f"(assert {goal})"]
        solver.from_string("\n".join(lines))
        return bool(self._check(solver) == z3.unsat)

    def _decide(
        self,
        schema: Schema,
        numbering: Numbering | None,
        extra: list[str],
        boxes: Sequence[Box] | None = None,
    ) -> dict[str, Answer]:
        encoding = Encoding(schema)
        encoding.run()
        terms = {
            REACHES: reaches_exactly(encoding, schema),
            FAIR: (affinity := remembers(encoding, schema) + returns(encoding, schema)),
            MASQUERADES: masquerades_exactly(encoding, schema),
            REFUSES: refuses_exactly(encoding, schema),
            CAPTURES: captures_nothing_else(encoding, schema),
        }
        if boxes is not None:
            terms[LEFT_OUT] = [negate(disjunction([encoding.sent_to(b) for b in boxes]), True)]
        parts = (terms[MASQUERADES], affinity)
        answers = self._answers(encoding, terms, schema, numbering, extra, parts)
        if not any(case[1][0][0] == "serve" for case in schema.cases):
            return answers
        try:
            shares = SharesEncoding(schema)
            shares.run()
            share_terms = {
                REACHES: never_reached(shares, schema),
                FAIR: fair(shares, schema, tolerance(schema)),
            }
        except SharesUndecidedError:
            answers[FAIR] = answers[FAIR] or Undecided("unknown rule")
            return answers
        for name, answer in self._answers(shares, share_terms, schema, numbering, extra).items():
            answers[name] = answers[name] or answer
        return answers

    def _answers(
        self,
        encoding: Encoding,
        terms: dict[str, list[str]],
        schema: Schema,
        numbering: Numbering | None,
        extra: list[str],
        parts: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> dict[str, Answer]:
        """Each property's answer; ``parts`` are terms that speak of one backend at a time, and
        those of affinity.
        """
        judged = negate(disjunction(encoding.excused), True)
        goals = {name: conjunction([disjunction(parts), judged]) for name, parts in terms.items()}
        answers: dict[str, Answer] = dict.fromkeys(goals)
        open_goals = [name for name, goal in goals.items() if goal != "false"]
        if not open_goals:
            return answers
        literals = [] if numbering is None else _literals(schema, numbering, encoding)
        text = "\n".join([*encoding.lines, *literals, *extra])
        together = disjunction(
            [t for name in open_goals for t in terms[name] if t not in {*parts[0], *parts[1]}]
        )
        of_backends, of_affinity = (
            [conjunction([term, judged]) for term in terms] for terms in parts
        )
        if (
            self._none_holds(z3.Solver(), text, [conjunction([together, judged])])
            and self._none_holds(z3.SimpleSolver(), text, of_backends)
            and self._affinity_holds(text, of_affinity)
        ):
            return answers
        lines = [*encoding.lines, *encoding.distinct, *literals, *extra]
        flags = {name: f"violates_{name.replace('-', '_')}" for name in open_goals}
        for name, flag in flags.items():
            lines.append(f"(declare-const {flag} Bool)(assert (= {flag} {goals[name]}))")
        for flag, term in (
            (_ANY, disjunction(list(flags.values()))),
            (_MODELLED, f"(not {disjunction(encoding.unknown_met)})"),
            (_NONE_UNKNOWN, negate(disjunction(_unknown(encoding)), True)),
        ):
            lines.append(f"(declare-const {flag} Bool)(assert (= {flag} {term}))")
        groups = [
            [(f"prefers_{number}_{place}", term) for place, term in enumerate(group)]
            for number, group in enumerate(preferences(encoding))
        ]
        for flag, term in (pair for group in groups for pair in group):
            lines.append(f"(declare-const {flag} Bool)(assert (=> {flag} {term}))")
        solver = z3.Solver()
        solver.set("timeout", SOLVER_TIMEOUT_MS)
        solver.from_string("\n".join(lines))
        if self._check(solver, _ANY) == z3.unsat:
            return answers
        for name, flag in flags.items():
            # A violation that no rule outside the model has a part in comes first.
            found = self._check(solver, flag, _MODELLED)
            if found == z3.sat:
                answers[name] = self._example(solver, encoding, groups, [flag, _MODELLED])
            elif found == z3.unknown:
                answers[name] = Undecided("solver")
            elif (found := self._check(solver, flag, _NONE_UNKNOWN)) == z3.sat:
                example = self._example(solver, encoding, groups, [flag, _NONE_UNKNOWN])
                answers[name] = Undecided("unknown rule", example)
            elif self._check(solver, flag) != z3.unsat:
                answers[name] = Undecided("unknown rule")
        return answers

    def _example(
        self,
        solver: z3.Solver,
        encoding: Encoding,
        groups: list[list[tuple[str, str]]],
        chosen: list[str],
    ) -> Violated:
        """The packet that people understand best among those with the chosen flags."""
        self._prefer(solver, chosen, [[name for name, _ in group] for group in groups])
        self._check(solver, *chosen)
        return Violated(
            _values(solver.model()),
            dict(encoding.interfaces),
            {name: pattern for pattern, name in encoding.patterns.items()},
        )

    def _prefer(self, solver: z3.Solver, chosen: list[str], groups: list[list[str]]) -> None:
        """Add the first of each group that is possible with all that is chosen before.

        What is possible together is found in one question: there are as many groups as backends.
        """
        firsts = [group[0] for group in groups if group]
        if firsts and self._check(solver, *chosen, *firsts) == z3.sat:
            chosen += firsts
        elif len(groups) > 1:
            half = len(groups) // 2
            self._prefer(solver, chosen, groups[:half])
            self._prefer(solver, chosen, groups[half:])
        elif firsts:
            for other in groups[0][1:]:
                if self._check(solver, *chosen, other) == z3.sat:
                    chosen.append(other)
                    break

    def _affinity_holds(self, text: str, goals: list[str]) -> bool:
        """As :meth:`_none_holds`, for goals of which each is about one backend's clients.

        Of the few terms that ask and fill recent lists, a SAT solver goes through one after the
        other a hundred times faster.
        """
        if not goals:
            return True
        return self._none_holds(z3.SolverFor("QF_BV"), cone(text, goals), [disjunction(goals)])

    def _none_holds(self, solver: z3.Solver, text: str, goals: list[str]) -> bool:
        """Whether no goal can be met, asked the quick way, each in one question.

        ``z3.Solver`` simplifies the whole text before it searches, which is best for most;
        where a term looks at one backend after the other ``z3.SimpleSolver`` is ten times faster.
        """
        goals = [goal for goal in goals if goal != "false"]
        if not goals:
            return True
        solver.set("timeout", QUICK_TIMEOUT_MS)
        solver.from_string(text)
        for goal in goals:
            self.statistics.solver_calls += 1
            if len(goals) > 1:
                solver.push()
            solver.from_string(f"(assert {goal})")
            if solver.check() != z3.unsat:
                return False
            if len(goals) > 1:
                solver.pop()
        return True

    def _check(self, solver: z3.Solver, *flags: str) -> z3.CheckSatResult:
        self.statistics.solver_calls += 1
        return solver.check(*(z3.Bool(flag) for flag in flags))


_ANY = "violates_any"
_MODELLED = "inside_the_model"
_NONE_UNKNOWN = "no_unknown_match_is_true"


def _unknown(encoding: Encoding) -> list[str]:
    return [name for name in encoding.free if name.startswith("unknown")]


def _literals(schema: Schema, numbering: Numbering, encoding: Encoding) -> list[str]:
    """The numbers put back in."""
    lines = []
    for value, number in numbering.hosts.items():
        if f"H{number}" in encoding.declared:
            lines.append(f"(assert (= H{number} {encoding.address(value)}))")
        flag = f"backend_local{number}"
        if flag in encoding.declared and any(
            value & mask == address for address, mask in schema.node_networks
        ):
            lines.append(f"(assert {flag})")
    for value, number in numbering.ports.items():
        if f"P{number}" in encoding.declared:
            lines.append(f"(assert (= P{number} (_ bv{value} 16)))")
    return lines


def _values(model: z3.ModelRef) -> Values:
    values: Values = {}
    for declaration in model.decls():
        term = model[declaration]
        if z3.is_bv_value(term) or z3.is_int_value(term):
            values[declaration.name()] = term.as_long()
        elif z3.is_true(term) or z3.is_false(term):
            values[declaration.name()] = z3.is_true(term)
    return values
