"""Each property asked about by itself, with the packet that people understand best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from svcc.verify.confirm.answers import Answer, Undecided, Violated
from svcc.verify.proof.strategies import MakeSolver
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.preferences import preferences
from svcc.verify.smt.script import Assertion, Command, Declaration, Definition, Script
from svcc.verify.smt.solver import Solver, Strategy
from svcc.verify.smt.term import BOOL, Term, constant, disjunction, implies, negate

SOLVER_TIMEOUT_MS = 60_000

_ANY = constant("violates_any", BOOL)
_MODELLED = constant("inside_the_model", BOOL)
_NONE_UNKNOWN = constant("no_unknown_match_is_true", BOOL)

Choices = Sequence[Sequence[Term]]
"""Groups of flags: of each, the first that is possible is to be had."""


def judge_each(
    solver_of: MakeSolver, encoding: Encoding, script: Script, goals: Mapping[str, Term]
) -> dict[str, Answer]:
    """The answers about properties, given as what would violate each."""
    answers: dict[str, Answer] = dict.fromkeys(goals)
    flags = {name: constant(f"violates_{name.replace('-', '_')}", BOOL) for name in goals}
    commands: list[Command] = [Definition(flags[name], goal) for name, goal in goals.items()]
    commands += [
        Definition(_ANY, disjunction(flags.values())),
        Definition(_MODELLED, negate(disjunction(encoding.unknown_met))),
        Definition(_NONE_UNKNOWN, negate(disjunction(_unknown(encoding)))),
    ]
    choices, prefer = flagged(preferences(encoding))
    solver = solver_of(
        script.extended([*commands, *prefer]), Strategy.SIMPLIFYING, SOLVER_TIMEOUT_MS
    )
    if solver.check([_ANY]) == "unsat":
        return answers
    for name, flag in flags.items():
        answers[name] = _judge(solver, encoding, choices, flag)
    return answers


def _judge(solver: Solver, encoding: Encoding, choices: Choices, flag: Term) -> Answer:
    """A violation that no rule outside the model has a part in comes first."""
    found = solver.check([flag, _MODELLED])
    if found == "sat":
        return _example(solver, encoding, choices, [flag, _MODELLED])
    if found == "unknown":
        return Undecided("solver")
    if solver.check([flag, _NONE_UNKNOWN]) == "sat":
        return Undecided("unknown rule", _example(solver, encoding, choices, [flag, _NONE_UNKNOWN]))
    if solver.check([flag]) != "unsat":
        return Undecided("unknown rule")
    return None


def _example(solver: Solver, encoding: Encoding, choices: Choices, chosen: list[Term]) -> Violated:
    """The packet that people understand best among those with the chosen flags."""
    choose(solver, chosen, choices)
    return Violated(
        solver.values(),
        dict(encoding.interfaces),
        {flag.symbol: pattern for pattern, flag in encoding.patterns.items()},
    )


def flagged(groups: Iterable[Sequence[Term]]) -> tuple[Choices, list[Command]]:
    """A flag for each term, and what makes the term hold where its flag is true."""
    choices = []
    commands: list[Command] = []
    for number, group in enumerate(groups):
        choices.append([constant(f"prefers_{number}_{place}", BOOL) for place in range(len(group))])
        for flag, term in zip(choices[-1], group, strict=True):
            commands += [Declaration(flag), Assertion(implies(flag, term))]
    return choices, commands


def choose(solver: Solver, chosen: list[Term], choices: Choices) -> None:
    """Have the solver find what is chosen and, of each group, the first that goes with that."""
    _choose(solver, chosen, choices)
    solver.check(chosen)


def _choose(solver: Solver, chosen: list[Term], choices: Choices) -> None:
    """Add the first of each group that is possible with all that is chosen before.

    What is possible together is found in one question: there are as many groups as backends.
    """
    firsts = [group[0] for group in choices if group]
    if firsts and solver.check([*chosen, *firsts]) == "sat":
        chosen += firsts
    elif len(choices) > 1:
        half = len(choices) // 2
        _choose(solver, chosen, choices[:half])
        _choose(solver, chosen, choices[half:])
    elif firsts:
        for other in choices[0][1:]:
            if solver.check([*chosen, other]) == "sat":
                chosen.append(other)
                break


def _unknown(encoding: Encoding) -> Iterator[Term]:
    return (flag for flag in encoding.free if flag.symbol.startswith("unknown"))
