"""Documents: parsed values, and where in the text each of them stands.

Values carry no positions, which would cost more than everything else in loading. When a
problem needs one the text is read a second time (:func:`locate`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from svcc.compiler.errors import Position, Problem

MAX_DEPTH = 100
"""Nesting of objects and lists; no Kubernetes object comes near it."""

Path = tuple[str | int, ...]


class TextError(Exception):
    """The text cannot be parsed: ``line`` and ``column`` are 1-based."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


@dataclass(frozen=True, slots=True)
class Source:
    """One input: its name in messages and its text."""

    name: str
    text: str

    @property
    def is_json(self) -> bool:
        """JSON begins with a brace or bracket."""
        return self.text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")

    def documents(self) -> list[Any]:
        """The values of all documents.

        Raises:
            TextError: the text is neither JSON nor YAML.
        """
        if self.is_json:
            from svcc.compiler import read_json

            try:
                return read_json.documents(self.text)
            except TextError as json_error:
                # A YAML document in flow style begins like JSON.
                from svcc.compiler import read_yaml

                try:
                    return read_yaml.documents(self.text)
                except TextError:
                    raise json_error from None
        from svcc.compiler import read_yaml

        return read_yaml.documents(self.text)

    def locate(self, wanted: Iterable[tuple[int, Path]]) -> dict[tuple[int, Path], Position]:
        """The position of each (document, path); of the nearest enclosing value if absent."""
        wanted = set(wanted)
        asked = {
            (document, path[:length])
            for document, path in wanted
            for length in range(len(path) + 1)
        }
        found: dict[tuple[int, Path], tuple[int, int]] = {}
        try:
            if self.is_json:
                from svcc.compiler import read_json

                found = read_json.positions(self.text, asked)
            if not found:
                from svcc.compiler import read_yaml

                found = read_yaml.positions(self.text, asked)
        except TextError:
            pass
        positions = {}
        for document, path in wanted:
            length = len(path)
            while length and (document, path[:length]) not in found:
                length -= 1
            line, column = found.get((document, path[:length]), (1, 1))
            positions[document, path] = Position(self.name, line, column)
        return positions


@dataclass(frozen=True, slots=True)
class Complaint:
    """A problem whose position is not known yet."""

    source: Source
    document: int
    path: Path
    message: str


def problems_of(complaints: Iterable[Complaint]) -> list[Problem]:
    """The complaints with their positions, each file read once."""
    by_source: dict[str, list[Complaint]] = {}
    for complaint in complaints:
        by_source.setdefault(complaint.source.name, []).append(complaint)
    problems = []
    for group in by_source.values():
        positions = group[0].source.locate((c.document, c.path) for c in group)
        problems += [Problem(positions[c.document, c.path], c.message) for c in group]
    return problems
