"""Proofs in one question or few: whether none of some goals can be met.

Each is the quickest for terms of one kind. What none of them settles is asked about in full
(:mod:`svcc.verify.proof.examples`): here an answer other than yes means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from svcc.verify.smt.cone_of_influence import cone
from svcc.verify.smt.script import Script
from svcc.verify.smt.solver import Solver, Strategy
from svcc.verify.smt.term import FALSE, Term, disjunction

QUICK_TIMEOUT_MS = 10_000

MakeSolver = Callable[[Script, Strategy, int], Solver]
"""Makes the solver of a script, with milliseconds for each question."""


def none_at_all(solver_of: MakeSolver, script: Script, goal: Term) -> bool:
    """Whether a goal that speaks of all rules cannot be met."""
    return _none(solver_of, script, [goal], Strategy.SIMPLIFYING)


def none_of_backends(solver_of: MakeSolver, script: Script, goals: Sequence[Term]) -> bool:
    """Whether none can be met of goals that look at one backend after the other."""
    return _none(solver_of, script, goals, Strategy.PLAIN)


def none_of_affinity(solver_of: MakeSolver, script: Script, goals: Sequence[Term]) -> bool:
    """Whether none can be met of goals of which each is about one backend's clients.

    Of the few terms that ask and fill recent lists, a SAT solver goes through one after the
    other a hundred times faster.
    """
    if not goals:
        return True
    return _none(solver_of, cone(script, goals), [disjunction(goals)], Strategy.BIT_BLASTING)


def _none(solver_of: MakeSolver, script: Script, goals: Iterable[Term], strategy: Strategy) -> bool:
    goals = [goal for goal in goals if goal is not FALSE]
    if not goals:
        return True
    solver = solver_of(script, strategy, QUICK_TIMEOUT_MS)
    only = len(goals) == 1
    return all(solver.check_goal(goal, last=only) == "unsat" for goal in goals)
