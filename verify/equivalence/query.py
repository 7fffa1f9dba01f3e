"""One question about two cuts of a region, put to the solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from svcc.verify.confirm.answers import Answer, Undecided, Values, Violated
from svcc.verify.equivalence.product import OTHER, Difference, Joint
from svcc.verify.proof.examples import SOLVER_TIMEOUT_MS, choose, flagged
from svcc.verify.smt.literals import literals
from svcc.verify.smt.preferences import preferences
from svcc.verify.smt.script import Script
from svcc.verify.smt.solver import Solver
from svcc.verify.smt.term import Term
from svcc.verify.spec.properties import SAME


def ask(joint: Joint, difference: Difference, extra: Sequence[Term], *, literal: bool) -> Answer:
    """What shows a difference, with the values of both sides; None if nothing does.

    ``literal``: with the numbers put back in; else for all numbers at once.
    """
    script = difference.script
    numbers = _literals(joint, script) if literal else []
    script = script.requiring([*numbers, *extra, difference.goal])
    solver = Solver(script, timeout_ms=SOLVER_TIMEOUT_MS, about=[SAME])
    outcome = solver.check()
    if outcome == "unsat":
        return None
    if outcome != "sat":
        return Undecided("solver")
    if literal:
        _prefer_plain_values(solver, joint, script)
    return side_of(joint, solver.values(), "")


def _literals(joint: Joint, script: Script) -> Iterator[Term]:
    for cut, prefix in ((joint.one, ""), (joint.two, OTHER)):
        yield from literals(cut.schema, cut.numbering, script.declared, prefix)


def _prefer_plain_values(solver: Solver, joint: Joint, script: Script) -> None:
    """Where the difference leaves a choice."""
    known = ([t for t in group if script.knows(t)] for group in preferences(joint.encoding))
    choices, commands = flagged(known)
    solver.extend(commands)
    choose(solver, [], choices)


def side_of(joint: Joint | None, values: Values, prefix: str) -> Violated:
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
