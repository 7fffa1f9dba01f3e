"""JSON: values by the C parser, positions by a second reading of our own (RFC 8259)."""

from __future__ import annotations

import json
import re
from typing import Any

from svcc.compiler.load.text import KEY, MAX_DEPTH, Path, TextError, shorten

_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,\]}:]+', re.DOTALL)


def documents(text: str) -> list[Any]:
    """The JSON values of a text, one after the other.

    Raises:
        TextError: no JSON, an object with a key twice, or too deep.
    """
    found: list[Any] = []
    try:
        position = _skip(text, 0)
        decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
        while position < len(text):
            value, position = decoder.raw_decode(text, position)
            found.append(value)
            position = _skip(text, position)
    except json.JSONDecodeError as error:
        raise TextError(error.lineno, error.colno, f"not JSON: {error.msg}") from None
    except _RepeatedKeyError as error:
        line, column = _find_repeated(text, error.key)
        raise TextError(
            line, column, f"key {shorten(error.key)} stands twice in one object"
        ) from None
    except RecursionError:
        line, column = _too_deep(text)
        raise TextError(line, column, f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        line, column = _find_bad_number(text)
        raise TextError(line, column, f"not JSON: {str(error).split(';')[0]}") from None
    return found


class _RepeatedKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _place(text: str, offset: int) -> tuple[int, int]:
    line = text.count("\n", 0, offset) + 1
    return line, offset - text.rfind("\n", 0, offset)


_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def _too_deep(text: str) -> tuple[int, int]:
    """Where the text opens one bracket too many."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        token = match[0]
        if token in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return _place(text, match.start())
        elif token in "]}":
            depth -= 1
    return 1, 1


def _find_bad_number(text: str) -> tuple[int, int]:
    found = re.search(r"[-+]?\d{4000,}|\b-?(?:NaN|Infinity)\b", text)
    return _place(text, found.start() if found else 0)


def _find_repeated(text: str, key: str) -> tuple[int, int]:
    """Where a key stands in an object for the second time."""
    open_objects: list[set[str]] = []
    expect_key = False
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]', text, re.DOTALL):
        token = match[0]
        if token == "{":
            open_objects.append(set())
            expect_key = True
        elif token == "[":
            open_objects.append(set())
            expect_key = False
        elif token in "]}":
            if open_objects:
                open_objects.pop()
        elif token == ",":
            expect_key = True
        elif token == ":":
            expect_key = False
        elif expect_key and open_objects:
            if text[_skip(text, match.end()) : _skip(text, match.end()) + 1] != ":":
                continue
            name = json.loads(token)
            if name == key and name in open_objects[-1]:
                return _place(text, match.start())
            open_objects[-1].add(name)
    return 1, 1


def positions(text: str, asked: set[tuple[int, Path]]) -> dict[tuple[int, Path], tuple[int, int]]:
    """Line and column of the values at the asked (document, path)s that exist.

    With a path all that lead to it are asked for; what is at no asked path is skipped whole.
    """
    found: dict[tuple[int, Path], tuple[int, int]] = {}
    position = _skip(text, 0)
    document = 0
    lines = _Lines(text)
    while position < len(text) and len(found) < len(asked):
        position = _walk(text, position, document, asked, found, lines)
        position = _skip(text, position)
        document += 1
    return found


class _Lines:
    """Lines and columns of offsets that only grow: the text is counted through once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._offset = 0
        self._line = 1

    def place(self, offset: int) -> tuple[int, int]:
        self._line += self._text.count("\n", self._offset, offset)
        self._offset = offset
        return self._line, offset - self._text.rfind("\n", 0, offset)


_SKIPPER = json.JSONDecoder()


def _walk(
    text: str,
    position: int,
    document: int,
    asked: set[tuple[int, Path]],
    found: dict[tuple[int, Path], tuple[int, int]],
    lines: _Lines,
) -> int:
    """Pass over one value, noting the asked positions; the text has been parsed before."""
    path: list[str | int] = []
    lists: list[bool] = []

    def note(offset: int, *below: str) -> None:
        place = (document, (*path, *below))
        if place in asked and place not in found:
            found[place] = lines.place(offset)

    def key(offset: int) -> int:
        after = _key(text, offset, path)
        note(offset, KEY)
        return after

    while True:
        position = _skip(text, position)
        symbol = text[position]
        if (document, tuple(path)) not in asked:
            _, position = _SKIPPER.raw_decode(text, position)
        elif symbol in "{[":
            note(position)
            lists.append(symbol == "[")
            position = _skip(text, position + 1)
            if text[position] not in "]}":
                path.append(0)
                if symbol == "{":
                    position = key(position)
                continue
            lists.pop()
            position += 1
        else:
            note(position)
            match = _SCALAR.match(text, position)
            position = match.end() if match else position + 1
        while True:
            if not lists:
                return position
            position = _skip(text, position)
            if text[position] == ",":
                position = _skip(text, position + 1)
                if lists[-1]:
                    path[-1] = int(path[-1]) + 1
                else:
                    position = key(position)
                break
            lists.pop()
            path.pop()
            position += 1


def _key(text: str, position: int, path: list[str | int]) -> int:
    match = _SCALAR.match(text, position)
    end = match.end() if match else position + 1
    path[-1] = json.loads(text[position:end])
    return _skip(text, end) + 1
