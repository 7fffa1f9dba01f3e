"""Z3 decides each schema; a schema that does not hold for all numbers is decided for its own."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from svcc.verify.confirm.answers import Answer, Undecided
from svcc.verify.proof.examples import SOLVER_TIMEOUT_MS, judge_each
from svcc.verify.proof.obligations import Obligations, obligations, obligations_on_shares
from svcc.verify.proof.strategies import (
    MakeSolver,
    none_at_all,
    none_of_affinity,
    none_of_backends,
)
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.schema import Schema
from svcc.verify.slicing.schema_conditions import NumberedServe
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.literals import literals
from svcc.verify.smt.script import Script
from svcc.verify.smt.shares import SharesEncoding, SharesUndecidedError
from svcc.verify.smt.solver import Listener, Question, Solver, Strategy
from svcc.verify.smt.term import FALSE, Term, conjunction, disjunction, negate
from svcc.verify.spec.properties import FAIR


@dataclass(slots=True)
class Statistics:
    """What the proof took."""

    regions: int = 0
    schemas: int = 0
    solver_calls: int = 0


class Prover:
    """Proves regions, remembering the schemas that hold for all numbers.

    ``hear`` is told each question that Z3 is asked, with its answer.
    """

    def __init__(self, hear: Listener | None = None) -> None:
        self.statistics = Statistics()
        self._hear = hear
        self._general: dict[Schema, dict[str, Answer]] = {}
        self._numbers: dict[Schema, int] = {}
        self.settled: dict[Hashable, bool] = {}
        """Whether what others asked of a schema holds for all numbers, by what they like."""

    def region(
        self,
        schema: Schema,
        numbering: Numbering,
        extra: Sequence[Term] = (),
        boxes: Sequence[Box] | None = None,
    ) -> dict[str, Answer]:
        """Every property's answer for one region.

        ``extra`` holds of the packet as well (regions that leave others out); with it nothing
        is remembered. Nor with ``boxes``, where its packets were thought to be sent: that
        nothing goes elsewhere is one more answer.
        """
        self.statistics.regions += 1
        if boxes is not None:
            self.statistics.schemas += 1
            return self._decide(schema, numbering, extra, boxes)
        if not extra:
            general = self.general(schema)
            if not any(general.values()):
                return general
        return self._decide(schema, numbering, extra)

    def general(self, schema: Schema) -> dict[str, Answer]:
        """Every property's answer for all numbers at once; a violation need not be one for all."""
        known = self._general.get(schema)
        if known is None:
            self.statistics.schemas += 1
            known = self._general[schema] = self._decide(schema)
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
        term: Term,
        numbering: Numbering | None = None,
        extra: Sequence[Term] = (),
    ) -> Answer:
        """One property, given as the term that would violate it.

        Without ``numbering``, for all numbers; ``extra`` as for :meth:`region`.
        """
        return self._answers(encoding, Obligations({name: [term]}), numbering, extra)[name]

    def excluded(self, encoding: Encoding, name: str, term: Term) -> bool:
        """Whether a term, which would violate a property, holds for no numbers at all: asked
        without looking for an example.
        """
        solver_of = self._solver_about([name])
        goal = conjunction([term, _judged(encoding)])
        if none_at_all(solver_of, encoding.script.copy(), goal):
            return True
        script = encoding.script.requiring([*encoding.distinct, goal])
        return solver_of(script, Strategy.SIMPLIFYING, SOLVER_TIMEOUT_MS).check() == "unsat"

    def _decide(
        self,
        schema: Schema,
        numbering: Numbering | None = None,
        extra: Sequence[Term] = (),
        boxes: Sequence[Box] | None = None,
    ) -> dict[str, Answer]:
        encoding = Encoding(schema)
        encoding.run()
        answers = self._answers(encoding, obligations(encoding, schema, boxes), numbering, extra)
        if not any(isinstance(case.allowed[0], NumberedServe) for case in schema.cases):
            return answers
        try:
            shares = SharesEncoding(schema)
            shares.run()
        except SharesUndecidedError:
            answers[FAIR] = answers[FAIR] or Undecided("unknown rule")
            return answers
        of_shares = obligations_on_shares(shares, schema)
        for name, answer in self._answers(shares, of_shares, numbering, extra).items():
            answers[name] = answers[name] or answer
        return answers

    def _answers(
        self,
        encoding: Encoding,
        asked: Obligations,
        numbering: Numbering | None,
        extra: Sequence[Term],
    ) -> dict[str, Answer]:
        """Each property's answer."""
        judged = _judged(encoding)
        goals = {
            name: conjunction([disjunction(terms), judged]) for name, terms in asked.terms.items()
        }
        answers: dict[str, Answer] = dict.fromkeys(goals)
        goals = {name: goal for name, goal in goals.items() if goal is not FALSE}
        if not goals:
            return answers
        known: list[Term] = []
        if numbering is not None:
            known += literals(encoding.schema, numbering, encoding.declared)
        known += extra
        solver_of = self._solver_about(goals)
        if _none_holds(solver_of, encoding.script.requiring(known), asked, judged):
            return answers
        script = encoding.script.requiring([*encoding.distinct, *known])
        return answers | judge_each(solver_of, encoding, script, goals)

    def _solver_about(self, properties: Iterable[str]) -> MakeSolver:
        about = tuple(properties)

        def solver_of(script: Script, strategy: Strategy, timeout_ms: int) -> Solver:
            return Solver(
                script, strategy=strategy, timeout_ms=timeout_ms, about=about, hear=self._asked
            )

        return solver_of

    def _asked(self, question: Question) -> None:
        self.statistics.solver_calls += 1
        if self._hear is not None:
            self._hear(question)


def _judged(encoding: Encoding) -> Term:
    """No rule that is not the service proxy's ended the packet."""
    return negate(disjunction(encoding.excused))


def _none_holds(solver_of: MakeSolver, script: Script, asked: Obligations, judged: Term) -> bool:
    """Whether no obligation can be violated, asked the quick ways."""

    def goals(terms: Iterable[Term]) -> list[Term]:
        return [conjunction([term, judged]) for term in terms]

    return (
        none_at_all(solver_of, script, conjunction([asked.of_rules(), judged]))
        and none_of_backends(solver_of, script, goals(asked.of_backends))
        and none_of_affinity(solver_of, script, goals(asked.of_affinity))
    )
