"""One question about two cuts of a region, put to the solver."""

from __future__ import annotations

from collections.abc import Sequence

import z3

from svcc.verify.confirm.answers import Values, Violated
from svcc.verify.equivalence.product import DECLARATION, NAME, OTHER, Joint
from svcc.verify.proof.prover import SOLVER_TIMEOUT_MS
from svcc.verify.slicing.cutter import Cut
from svcc.verify.smt.preferences import preferences


def ask(
    joint: Joint, lines: Sequence[str], goal: str, extra: Sequence[str], *, literal: bool
) -> Values | str | None:
    """The values with which a goal is met; None if it cannot be; else why there is no answer.

    ``literal``: with the numbers put back in; else for all numbers at once.
    """
    solver = z3.Solver()
    solver.set("timeout", SOLVER_TIMEOUT_MS)
    numbers = _literals((joint.one, joint.two), lines) if literal else []
    solver.from_string("\n".join([*lines, *numbers, *extra, f"(assert {goal})"]))
    answer = solver.check()
    if answer == z3.unsat:
        return None
    if answer != z3.sat:
        return "the solver gave up"
    if literal:
        _prefer(solver, joint, lines)
    return _values_of(solver.model())


def apart(joint: Joint, lines: Sequence[str]) -> list[str]:
    """That numbers of different values differ, as far as a text names them."""
    declared = _declared(lines)
    return [line for line in joint.distinct() if declared.issuperset(_named_in(line, joint))]


def _declared(lines: Sequence[str]) -> set[str]:
    return {found[1] for line in lines if (found := DECLARATION.match(line))}


def _literals(cuts: tuple[Cut, Cut], lines: Sequence[str]) -> list[str]:
    declared = _declared(lines)
    found = []
    for cut, prefix in zip(cuts, ("", OTHER), strict=True):
        width = cut.schema.family.bits
        for letter, numbers, bits in (
            ("H", cut.numbering.hosts, width),
            ("P", cut.numbering.ports, 16),
        ):
            for value, number in numbers.items():
                name = f"{prefix}{letter}{number}"
                if name in declared:
                    found.append(f"(assert (= {name} (_ bv{value} {bits})))")
        for value, number in cut.numbering.hosts.items():
            own = any(value & mask == address for address, mask in cut.schema.node_networks)
            flag = f"{prefix}backend_local{number}"
            if own and flag in declared:
                found.append(f"(assert {flag})")
    return found


def _prefer(solver: z3.Solver, joint: Joint, lines: Sequence[str]) -> None:
    """Plain values, where the difference leaves a choice."""
    declared = _declared(lines)
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


def _values_of(model: z3.ModelRef) -> Values:
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
