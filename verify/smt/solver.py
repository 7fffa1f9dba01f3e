"""Z3, asked whether a script can be met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import z3

from svcc.verify.smt.decode import decode
from svcc.verify.smt.script import Assertion, Command, Script
from svcc.verify.smt.term import Term

Outcome = Literal["sat", "unsat", "unknown"]
_OUTCOMES: dict[str, Outcome] = {"sat": "sat", "unsat": "unsat", "unknown": "unknown"}


class Strategy(Enum):
    """How Z3 goes about a script."""

    SIMPLIFYING = "simplifying"
    """All of it is simplified before the search, which is best for most scripts."""
    PLAIN = "plain"
    """Nothing is: ten times faster where a term looks at one backend after the other."""
    BIT_BLASTING = "bit-blasting"
    """All becomes one propositional problem; nothing but bit vectors is understood."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a solver was asked, and what it said: can all goals be met while the script holds?"""

    about: tuple[str, ...]
    """The properties that the goals would violate."""
    script: Script
    goals: tuple[Term, ...]
    outcome: Outcome

    def __str__(self) -> str:
        """The question as a script that is whole, for any solver."""
        return self.script.whole(self.goals)


Listener = Callable[[Question], None]


class Solver:
    """A script that Z3 has read, asked about one goal after the other.

    Args:
        script: what holds.
        timeout_ms: milliseconds for each question; None: as long as it takes.
        about: the properties that the goals would violate, for the listener.
        hear: is told each question with its answer.
    """

    def __init__(
        self,
        script: Script,
        *,
        timeout_ms: int | None = None,
        strategy: Strategy = Strategy.SIMPLIFYING,
        about: Sequence[str] = (),
        hear: Listener | None = None,
    ) -> None:
        self._script, self._about, self._hear = script, tuple(about), hear
        self._solver = _MAKERS[strategy]()
        if timeout_ms is not None:
            self._solver.set("timeout", timeout_ms)
        self._solver.from_string(str(script))

    def check(self, assumed: Iterable[Term] = ()) -> Outcome:
        """Whether the script can be met while some names are true."""
        goals = tuple(assumed)
        return self._told(goals, self._solver.check(*(z3.Bool(goal.symbol) for goal in goals)))

    def check_goal(self, goal: Term, *, last: bool = False) -> Outcome:
        """Whether a goal can be met; unless it is the ``last``, it is forgotten afterwards."""
        if not last:
            self._solver.push()
        self._solver.from_string(str(Assertion(goal)))
        outcome = self._told((goal,), self._solver.check())
        if not last:
            self._solver.pop()
        return outcome

    def extend(self, commands: Sequence[Command]) -> None:
        """Let more hold."""
        self._script = self._script.extended(commands)
        self._solver.from_string("\n".join(map(str, commands)))

    def values(self) -> dict[str, int | bool]:
        """How the last question can be met, by name."""
        return decode(self._solver.model())

    def _told(self, goals: tuple[Term, ...], answer: z3.CheckSatResult) -> Outcome:
        outcome = _OUTCOMES[str(answer)]
        if self._hear is not None:
            self._hear(Question(self._about, self._script, goals, outcome))
        return outcome


_MAKERS: dict[Strategy, Callable[[], z3.Solver]] = {
    Strategy.SIMPLIFYING: z3.Solver,
    Strategy.PLAIN: z3.SimpleSolver,
    Strategy.BIT_BLASTING: lambda: z3.SolverFor("QF_BV"),
}
