"""A file before it is parsed: comments taken out, variables put in, places kept."""

from __future__ import annotations

import re
from bisect import bisect_right

from svcc.grammar.errors import Position, Problem

_COMMENT = re.compile(r'"[^"\n]*"|#[^\n]*')
_HANDLE = re.compile(r"# handle \d+\s*$")
_OF_IPTABLES = re.compile(
    r"^table ip6? (?:filter|nat|mangle|raw|security) \{[^\n]*\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
_VARIABLE = re.compile(
    r'"[^"\n]*"|#[^\n]*|[{}]|\$(\w+)|'
    r"(?:^|(?<=[;{\s]))(?:(define|redefine)\s+(\w+)\s*=\s*|(undefine)\s+(\w+))",
    re.MULTILINE,
)
_VALUE = re.compile(r'(?:[^\n;{}"#\\]++|"[^"\n]*"|\\\n|\{(?:[^{}"]++|"[^"\n]*"|\{[^{}]*\})*+\})*+')


class Source:
    """The text that is parsed, and the places of its characters in the file."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self._file = text.removeprefix("\ufeff").replace("\r\n", "\n")
        self._starts: list[int] = []
        self._moved = [0]
        self._moved_from = [0]
        self._variables: list[dict[str, str]] = [{}]
        text = _without_comments(self._file) if "#" in self._file else self._file
        self.text = self._expanded(text) if "$" in text or "define" in text else text
        if not self.text.endswith("\n"):
            self.text += "\n"

    def position(self, offset: int) -> Position:
        """Where an offset of :attr:`text` is in the file."""
        offset = self._in_file(offset)
        line = self._line(offset)
        return Position(self.name, line, offset - self._starts[line - 1] + 1)

    def line(self, offset: int) -> int:
        """The line of an offset of :attr:`text`, from 1."""
        return self._line(offset if len(self._moved) == 1 else self._in_file(offset))

    def line_of_text(self, number: int) -> tuple[str, int]:
        """A line of :attr:`text`, which has the lines of the file, and where it begins."""
        start = 0
        for _ in range(number - 1):
            start = self.text.find("\n", start) + 1
        return self.text[start : self.text.find("\n", start)], start

    def _in_file(self, offset: int) -> int:
        index = bisect_right(self._moved, offset) - 1
        new, old = self._moved[index], self._moved_from[index]
        if index % 2:
            # Inside of what a variable stood for.
            return old
        return min(old + offset - new, len(self._file))

    def _line(self, offset: int) -> int:
        if not self._starts:
            self._starts = [0, *(m.end() for m in re.finditer("\n", self._file))]
        return bisect_right(self._starts, offset)

    def _expanded(self, text: str) -> str:
        """The text with variables' values in their places, and without definitions."""
        pieces: list[str] = []
        length, last = 0, 0

        def put(piece: str) -> None:
            nonlocal length
            pieces.append(piece)
            length += len(piece)

        position = 0
        while (found := _VARIABLE.search(text, position)) is not None:
            position = found.end()
            if found[0] == "{":
                self._variables.append({})
            elif found[0] == "}" and len(self._variables) > 1:
                self._variables.pop()
            elif found[1]:
                put(text[last : found.start()])
                value = self._value(found[1], found.start())
                value = _inside(value, pieces)
                self._move(length, found.start())
                put(value)
                self._move(length, found.end())
                last = position
            elif found[2] or found[4]:
                put(text[last : found.start()])
                position = self._define(text, found)
                # The lines stay, so that places do.
                put(re.sub(r"[^\n]", " ", text[found.start() : position]))
                last = position
        return "".join(pieces) + text[last:]

    def _move(self, new: int, old: int) -> None:
        self._moved.append(new)
        self._moved_from.append(old)

    def _define(self, text: str, found: re.Match[str]) -> int:
        name = found[3] or found[5]
        scope = self._variables[-1]
        if found[4] or found[2] == "redefine":
            if not any(name in known for known in self._variables):
                self._problem(found.start(), f"{name!r} is not defined before this")
        elif name in scope:
            self._problem(found.start(3), f"{name!r} is defined already; write redefine")
        if found[4]:
            scope.pop(name, None)
            return found.end()
        value = _VALUE.match(text, found.end())
        assert value is not None
        shown = re.sub(r"\\?\n", " ", value[0]).strip()
        if not shown:
            self._problem(found.end(), f"{name!r} has no value; write define {name} = VALUE")
        scope[name] = re.sub(
            r'"[^"\n]*"|\$(\w+)',
            lambda m: self._value(m[1], found.end() + m.start()) if m[1] else m[0],
            shown,
        )
        return value.end()

    def _value(self, name: str, offset: int) -> str:
        for scope in reversed(self._variables):
            if name in scope:
                return scope[name]
        self._problem(offset, f"${name} is not defined before this; write define {name} = VALUE")
        return f"${name}"

    def _problem(self, offset: int, message: str) -> None:
        line = self._line(offset)
        place = Position(self.name, line, offset - self._starts[line - 1] + 1)
        self.problems.append(Problem(place, message))


def _inside(value: str, before: list[str]) -> str:
    """A list within a list is its elements."""
    if not value.startswith("{"):
        return value
    for piece in reversed(before):
        if stripped := piece.rstrip():
            inside = stripped[-1] in "{," and not stripped.endswith("map {")
            return value.strip("{} \t") if inside else value
    return value


def _without_comments(text: str) -> str:
    """The text with blanks for comments; handles stay, and what nft could not print.

    An nft without the extensions of iptables prints ``# xt_NAME`` for a match or target of
    iptables-nft (nftables, src/xt.c), one with them ``# `` and what the extension prints.
    """
    areas = [found.span(1) for found in _OF_IPTABLES.finditer(text)]

    def blank(found: re.Match[str]) -> str:
        comment = found[0]
        if comment[0] == '"' or _HANDLE.match(comment):
            return comment
        if comment.startswith("# xt_"):
            return comment
        line_start = text.rfind("\n", 0, found.start()) + 1
        if any(start <= found.start() < end for start, end in areas) and re.search(
            r"\bcounter packets \d+ bytes \d+\b", text[line_start : found.start()]
        ):
            return comment
        return " " * len(comment)

    return _COMMENT.sub(blank, text)
