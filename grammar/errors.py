"""Errors as data: where, what is wrong, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
"""An error stops what was asked; a warning is always told; a note is no more than that."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in an input; line and column are 1-based, 0 where there is none."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with an input; ``code`` is its number in docs/codes.md, if any."""

    position: Position
    message: str
    severity: Severity = "error"
    code: str = ""

    def __str__(self) -> str:
        code = f" [{self.code}]" if self.code else ""
        return f"{self.position}: {self.severity}: {self.message}{code}"


class InputError(Exception):
    """Bad input: every independent problem that was found, in file order.

    Warnings about the same input stand among them: they often tell why there is an error.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
