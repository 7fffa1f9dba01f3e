"""What the readers of JSON and YAML share: paths, limits, and what is wrong with a text."""

from __future__ import annotations

MAX_DEPTH = 100
"""Nesting of objects and lists; no Kubernetes object comes near it."""

Path = tuple[str | int, ...]
"""The keys and indexes that lead from a document's root to a value."""

KEY = "\0key"
"""Behind a field's name in a path: where the name stands, not its value."""


class TextError(Exception):
    """The text cannot be parsed: ``line`` and ``column`` are 1-based."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


def shorten(text: str) -> str:
    """A text in quotes, safe to print and not too long."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
