"""Documents: parsed values, and where in the text each of them stands.

Values carry no positions, which would cost more than everything else in loading. When a
problem needs one the text is read a second time (:meth:`Source.locate`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from svcc.compiler.load import read_json, read_yaml
from svcc.compiler.load.text import Path, TextError
from svcc.grammar.errors import Position, Problem, Severity


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One input: its name in messages, which no other input has, and its text."""

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
            try:
                return read_json.documents(self.text)
            except TextError as json_error:
                # A YAML document in flow style begins like JSON.
                try:
                    return read_yaml.documents(self.text)
                except TextError:
                    raise json_error from None
        return read_yaml.documents(self.text)

    def locate(self, wanted: Iterable[tuple[int, Path]]) -> dict[tuple[int, Path], Position]:
        """The position of each (document, path); of the nearest enclosing value if absent."""
        wanted = set(wanted)
        asked = {
            (document, path[:length])
            for document, path in wanted
            for length in range(len(path) + 1)
        }
        found = self._places(asked)
        positions = {}
        for document, path in wanted:
            length = len(path)
            while length and (document, path[:length]) not in found:
                length -= 1
            line, column = found.get((document, path[:length]), (1, 1))
            positions[document, path] = Position(self.name, line, column)
        return positions

    def _places(self, asked: set[tuple[int, Path]]) -> dict[tuple[int, Path], tuple[int, int]]:
        """Line and column of the asked values that exist; nothing of a text that is broken."""
        if self.is_json:
            try:
                read_json.documents(self.text)
            except TextError:
                pass
            else:
                return read_json.positions(self.text, asked)
        try:
            return read_yaml.positions(self.text, asked)
        except TextError:
            return {}


@dataclass(frozen=True, slots=True)
class Place:
    """A value in a document of an input."""

    source: Source
    document: int = 0
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Complaint:
    """A problem whose position is not known yet.

    Where it names a second place, that place's position stands between ``message`` and
    ``rest``. Of complaints that are ``alike`` only the first few are told, and how many more
    there are: what is unusual in one object of a cluster is often so in thousands.
    """

    place: Place
    message: str
    other: Place | None = None
    rest: str = ""
    severity: Severity = "error"
    alike: str = ""
    code: str = ""


def positions_of(places: Iterable[Place]) -> dict[Place, Position]:
    """The positions of places, each input read once."""
    by_source: dict[str, list[Place]] = {}
    for place in places:
        by_source.setdefault(place.source.name, []).append(place)
    found: dict[Place, Position] = {}
    for group in by_source.values():
        positions = group[0].source.locate((place.document, place.path) for place in group)
        for place in group:
            found[place] = positions[place.document, place.path]
    return found


MAX_ALIKE = 5


def few_of_each(complaints: Iterable[Complaint]) -> list[Complaint]:
    """The complaints, of those that are alike the first few with the number of the others."""
    counts: dict[str, int] = {}
    last: dict[str, int] = {}
    found: list[Complaint] = []
    for complaint in complaints:
        if complaint.alike:
            count = counts[complaint.alike] = counts.get(complaint.alike, 0) + 1
            if count > MAX_ALIKE:
                continue
            last[complaint.alike] = len(found)
        found.append(complaint)
    for alike, index in last.items():
        if (more := counts[alike] - MAX_ALIKE) > 0:
            again = found[index]
            found[index] = replace(again, rest=f"{again.rest} (and {more} more like this)")
    return found


def problems_of(complaints: Sequence[Complaint]) -> list[Problem]:
    """The complaints with their positions."""
    others = [complaint.other for complaint in complaints if complaint.other is not None]
    positions = positions_of([complaint.place for complaint in complaints] + others)
    problems = []
    for complaint in complaints:
        message = complaint.message
        if complaint.other is not None:
            message += str(positions[complaint.other])
        message += complaint.rest
        problems.append(
            Problem(positions[complaint.place], message, complaint.severity, complaint.code)
        )
    return problems
