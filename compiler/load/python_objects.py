"""Objects that a Python program has: dicts as API clients and parsers of YAML give them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from svcc.compiler.load.document import Source
from svcc.compiler.load.fields import field_name
from svcc.compiler.load.text import MAX_DEPTH, Path
from svcc.grammar.errors import InputError, Position, Problem

NAME = "<objects>"


@dataclass(frozen=True, slots=True, eq=False)
class PythonObjects(Source):
    """An input that has no text: places in it are an object's number, kind and name."""

    values: tuple[Any, ...] = field(kw_only=True)
    numbered: bool = field(default=True, kw_only=True)
    """Whether messages say which of the values it is."""

    def documents(self) -> list[Any]:
        """The objects."""
        return list(self.values)

    def locate(self, wanted: Iterable[tuple[int, Path]]) -> dict[tuple[int, Path], Position]:
        """The object that each (document, path) is in."""
        return {(number, path): self._place(number, path) for number, path in set(wanted)}

    def _place(self, number: int, path: Path) -> Position:
        value, kind = self.values[number], ""
        place = f"{self.name}[{number}]" if self.numbered else self.name
        while len(path) > 1 and path[0] == "items" and isinstance(path[1], int):
            # The items of a typed list do not say what they are.
            kind = str(value.get("kind", "")).removesuffix("List")
            value = value["items"][path[1]]
            place += f".items[{path[1]}]"
            path = path[2:]
        return Position(f"{place}{_identity(value, kind)}")


def python_objects(
    objects: Iterable[Any], name: str = NAME, *, numbered: bool = True
) -> PythonObjects:
    """Objects as an input.

    Mappings and sequences are taken as JSON's objects and lists, dates (which parsers of YAML
    make) as their text. ``name`` is what messages call the input, ``numbered`` whether they say
    which of the objects it is.

    Raises:
        InputError: a value is none that JSON has.
    """
    problems: list[Problem] = []
    found = []
    for number, item in enumerate(objects):
        try:
            found.append(_plain(item, ()))
        except _NoJsonError as error:
            place = f"{name}[{number}]" if numbered else name
            problems.append(Problem(Position(f"{place}{_identity(item)}"), str(error)))
    if problems:
        raise InputError(problems)
    return PythonObjects(name, "", values=tuple(found), numbered=numbered)


class _NoJsonError(ValueError):
    pass


def _plain(value: Any, path: Path) -> Any:
    match value:
        case None | bool():
            return value
        # An enumeration's member is the text or number that it is besides.
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case date():
            return value.isoformat()
    if len(path) > MAX_DEPTH:
        raise _NoJsonError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise _NoJsonError(f"{_shown(path)}the key {key!r:.60} is no string")
        return {str(key): _plain(item, (*path, str(key))) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*path, index)) for index, item in enumerate(value)]
    kind = type(value)
    message = f"{_shown(path)}a {kind.__module__}.{kind.__qualname__} is nothing that JSON has"
    if not path:
        message += "; give dicts as the API has them (ApiClient().sanitize_for_serialization)"
    raise _NoJsonError(message)


def _shown(path: Path) -> str:
    return f"{field_name(path)}: " if path else ""


def _identity(value: Any, kind: str = "") -> str:
    """`` (Service shop/web)`` for an object that tells kind and name, else empty."""
    if not isinstance(value, Mapping) or not isinstance(value.get("metadata"), Mapping):
        return ""
    meta = value["metadata"]
    namespace, name = meta.get("namespace"), meta.get("name")
    asked = (value.get("kind") or kind, name)
    words = [text for text in asked if isinstance(text, str) and text and text.isprintable()]
    if len(words) != 2:
        return ""
    prefix = f"{namespace:.63}/" if isinstance(namespace, str) and namespace.isprintable() else ""
    return f" ({words[0]:.63} {prefix}{words[1]:.63})"
