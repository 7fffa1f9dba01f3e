"""What Z3 has answered in this run of the tests, shared by all of its processes.

A question is known by all that was asserted, as SMT-LIB, and what is assumed. The folder is made
when a run begins and goes when it ends: each run proves everything once. An answer that a clock
decided (``unknown``) is not kept.
"""

from __future__ import annotations

import marshal
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from svcc.verify.smt.script import Assertion, Command, Script
from svcc.verify.smt.solver import Listener, Outcome, Question, Solver, Strategy
from svcc.verify.smt.term import Term

VARIABLE = "TESTS_ANSWERS"
"""Names the folder; the command line tells of variables of SVCC that it does not know."""

Values = dict[str, int | bool]


def share() -> None:
    """Make the folder, unless this process belongs to a run that has one."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="svcc-answers-")
        _made.append(Path(os.environ[VARIABLE]))


def forget() -> None:
    """Remove the folder, if this process made it."""
    while _made:
        shutil.rmtree(_made.pop(), ignore_errors=True)
        del os.environ[VARIABLE]


_made: list[Path] = []
_known: dict[bytes, tuple[Outcome, Values | None]] = {}


def _find(key: bytes) -> tuple[Outcome, Values | None] | None:
    known = _known.get(key)
    if known is None and VARIABLE in os.environ:
        try:
            content = Path(os.environ[VARIABLE], key.hex()).read_bytes()
        except OSError:
            return None
        known = _known[key] = marshal.loads(content)
    return known


def _keep(key: bytes, outcome: Outcome, values: Values | None = None) -> None:
    if outcome == "unknown":
        return
    _known[key] = (outcome, values)
    if VARIABLE in os.environ:
        path = Path(os.environ[VARIABLE], key.hex())
        own = path.with_suffix(f".{os.getpid()}")
        own.write_bytes(marshal.dumps(_known[key]))
        own.replace(path)


class RememberingSolver(Solver):
    """As :class:`svcc.verify.smt.solver.Solver`; Z3 reads a script when it has something to say."""

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
        self._given, self._timeout, self._strategy = script, timeout_ms, strategy
        self._asserted: list[str] = []
        self._state = sha256(f"{strategy} {script}".encode()).digest()
        self._is_reading = False
        self._asked: tuple[bytes, tuple[Term, ...]] | None = None
        self._found_in: bytes | None = None

    def check(self, assumed: Iterable[Term] = ()) -> Outcome:
        """As the solver's own."""
        goals = tuple(assumed)
        key = self._key("assumed", *(goal.symbol for goal in goals))
        self._asked = (key, goals)
        known = _find(key)
        if known is None:
            outcome = self._quiet().check(goals)
            self._found_in = key
            _keep(key, outcome)
        else:
            outcome = known[0]
        return self._heard(goals, outcome)

    def check_goal(self, goal: Term, *, last: bool = False) -> Outcome:
        """As the solver's own."""
        text = str(Assertion(goal))
        key = self._key("goal", text)
        known = _find(key)
        if known is None:
            outcome = self._quiet().check_goal(goal, last=last)
            self._found_in = key
            _keep(key, outcome)
        else:
            outcome = known[0]
            if last and self._is_reading:
                self._solver.from_string(text)
        if last:
            self._assert(text)
            self._asked = (key, ())
        return self._heard((goal,), outcome)

    def extend(self, commands: Sequence[Command]) -> None:
        """As the solver's own."""
        self._script = self._script.extended(commands)
        text = "\n".join(map(str, commands))
        if self._is_reading:
            self._solver.from_string(text)
        self._assert(text)

    def values(self) -> Values:
        """As the solver's own."""
        assert self._asked is not None
        key, goals = self._asked
        outcome, values = _find(key) or ("unknown", None)
        if values is None:
            if self._found_in != key:
                outcome = self._quiet().check(goals)
            values = self._quiet().values()
            _keep(key, outcome, values)
        return values

    def _key(self, *words: str) -> bytes:
        return sha256(self._state + "\0".join(words).encode()).digest()

    def _assert(self, text: str) -> None:
        self._asserted.append(text)
        self._state = self._key("asserted", text)

    def _heard(self, goals: tuple[Term, ...], outcome: Outcome) -> Outcome:
        if self._hear is not None:
            self._hear(Question(self._about, self._script, goals, outcome))
        return outcome

    def _quiet(self) -> Solver:
        """Z3, which has read everything by then, and tells nobody."""
        if not self._is_reading:
            self._real = Solver(self._given, timeout_ms=self._timeout, strategy=self._strategy)
            self._solver = self._real._solver
            for text in self._asserted:
                self._solver.from_string(text)
            self._is_reading = True
        return self._real
