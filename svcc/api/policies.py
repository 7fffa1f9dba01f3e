"""Statements of the operator's own about who reaches which Services (docs/policy.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from svcc.api.inputs import named_texts
from svcc.grammar.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from svcc.grammar.policy import Placed, PlacedRange


def read_policies(
    *paths: str | os.PathLike[str], text: str | Mapping[str, str] = ""
) -> tuple[Placed | PlacedRange, ...]:
    """Statements such as ``never external -> service kube-system/*``, one a line.

    Args:
        paths: files.
        text: a text of statements, or several by the names that messages call them.

    Raises:
        InputError: a file cannot be read, or a line is no statement.
    """
    from svcc.grammar.policy import parse

    found: list[Placed | PlacedRange] = []
    problems: list[Problem] = []
    texts = named_texts(text)
    for given in paths:
        path = os.fspath(given)
        try:
            texts.append((path, Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            problems.append(Problem(Position(path), f"cannot read: {reason}"))
    for name, content in texts:
        try:
            policy = parse(content, source=name)
            found += [*policy.statements, *policy.ranges]
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return tuple(found)
