"""Files of independent lines, each a command: lark reads the first line of a shape.

Later lines of the same shape are cut at blanks; the same code builds the object from the same
words, so the two ways cannot read a line differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from svcc.grammar.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from lark import Lark

MAX_PROBLEMS = 100


class WordError(Exception):
    """A word of a line is wrong; ``index`` is its place, past the end for a missing one."""

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index
        self.message = message


Value = TypeVar("Value")


def read_word(index: int, read: Callable[..., Value], *arguments: object) -> Value:
    """What a function that raises ValueError makes of the word at ``index``.

    Raises:
        WordError: it raised one.
    """
    try:
        return read(*arguments)
    except ValueError as error:
        raise WordError(index, str(error)) from None


Shape = Callable[[list[str]], Hashable]
Build = Callable[[list[str], int], None]


def read_lines(text: str, *, grammar: Path, source: str, shape: Shape, build: Build) -> None:
    """Read a whole file.

    Args:
        text: the file.
        grammar: the lark file, for one line.
        source: the file's name, for messages.
        shape: what lines must share so that one that lark took vouches for the others.
        build: makes the object of a line from its words and number.

    Raises:
        InputError: lines that the tool would not take, with line and column.
    """
    problems: list[Problem] = []
    known: set[Hashable] = set()
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if not words or words[0].startswith("#") or words == ["COMMIT"]:
            continue
        try:
            key = shape(words)
            if key not in known:
                _check(grammar, line)
                known.add(key)
            build(words, number)
        except WordError as error:
            problems.append(
                Problem(Position(source, number, _column(line, error.index)), error.message)
            )
            if len(problems) >= MAX_PROBLEMS:
                message = "too many errors; the rest of the file was not read"
                problems.append(Problem(Position(source, number, 1), message))
                break
    if problems:
        raise InputError(problems)


def _column(line: str, index: int) -> int:
    found = [match.start() + 1 for match in re.finditer(r"\S+", line)]
    return found[index] if index < len(found) else len(line.rstrip()) + 1


@lru_cache(maxsize=4)
def _lark(grammar: Path) -> Lark:
    from lark import Lark

    return Lark(grammar.read_text(encoding="utf-8"), parser="lalr", propagate_positions=False)


def _check(grammar: Path, line: str) -> None:
    """Let lark judge a line.

    Raises:
        WordError: the line is none that the grammar knows.
    """
    from lark import UnexpectedCharacters, UnexpectedInput

    try:
        _lark(grammar).parse(line.rstrip())
    except UnexpectedInput as error:
        column = error.column if isinstance(error.column, int) and error.column > 0 else len(line)
        index = len(line[: column - 1].split())
        words = line.split()
        if isinstance(error, UnexpectedCharacters) and index < len(words):
            raise WordError(index, f"cannot read {words[index]!r} here") from None
        token = str(getattr(error, "token", ""))
        what = f"{token!r} cannot stand here" if token else "the line ends too early"
        raise WordError(index, what) from None
