"""YAML as Kubernetes reads it: PyYAML's C parser for the events, scalars its own way.

The API machinery converts YAML to JSON with sigs.k8s.io/yaml, whose scalars are those of
goyaml.v2/resolve.go: YAML 1.1 booleans (``yes``, ``on``), no base-60 numbers, dates stay
strings, octal with a leading zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from svcc.compiler.load.text import KEY, MAX_DEPTH, Path, TextError, shorten

MAX_ALIASED = 1_000_000
"""Values that the aliases of a document may stand for."""

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z")
_MAX_DIGITS = 400
"""Longer numbers fit no field, and take long to convert."""


def plain_scalar(text: str) -> Any:
    """The value of an unquoted scalar."""
    first = text[:1]
    if first.isalpha() or first in ("", "~"):
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        return None if text in _NULL else text
    if first in "-+.0123456789":
        return _number(text)
    return text


def _number(text: str) -> Any:
    plain = text.replace("_", "") if text[0] != "." else text
    match = _INTEGER.match(plain)
    if match:
        value = _integer(match[2]) if len(plain) <= _MAX_DIGITS else float("inf")
        return -value if match[1] == "-" else value
    if _FLOAT.match(plain):
        return float(plain)
    if text in _NOT_A_NUMBER or _INFINITY.match(text):
        return float(text.replace(".", "", 1).lower())
    return text


def _integer(digits: str) -> float:
    prefix = digits[:2].lower()
    if prefix == "0x":
        return int(digits, 16)
    if prefix == "0b":
        return int(digits, 2)
    if prefix == "0o":
        return int(digits[2:], 8)
    return int(digits, 8) if digits.startswith("0") and digits != "0" else int(digits)


def documents(text: str) -> list[Any]:
    """The values of all documents of a YAML text.

    Raises:
        TextError: no YAML, a key twice in one mapping, too deep, or too large when the
            aliases are written out.
    """
    return [builder.value for builder in _build(text, None)]


def positions(text: str, asked: set[tuple[int, Path]]) -> dict[tuple[int, Path], tuple[int, int]]:
    """Line and column of the values at the asked (document, path)s that exist."""
    by_document: dict[int, set[Path]] = {}
    for number, path in asked:
        by_document.setdefault(number, set()).add(path)
    found: dict[tuple[int, Path], tuple[int, int]] = {}
    for number, builder in enumerate(_build(text, by_document)):
        for path, place in builder.places.items():
            found[number, path] = place
        by_document.pop(number, None)
        if not by_document:
            break
    return found


class _Open:
    """A mapping or list that is being filled."""

    __slots__ = ("anchor", "is_mapping", "key", "merges", "value", "weight")

    def __init__(self, is_mapping: bool, anchor: str | None) -> None:
        self.is_mapping = is_mapping
        self.value: Any = {} if is_mapping else []
        self.anchor = anchor
        self.key: Any = _NO_KEY
        self.weight = 1
        self.merges: list[Any] = []


_NO_KEY = object()
_MERGE = object()


class _Builder:
    """One document from its events."""

    def __init__(self, asked: set[Path] | None) -> None:
        self.value: Any = None
        self.places: dict[Path, tuple[int, int]] = {}
        self._asked = asked
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0

    def start(self, is_mapping: bool, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise _error(event, f"nested deeper than {MAX_DEPTH} levels")
        self._note(event)
        if self._stack and self._stack[-1].is_mapping and self._stack[-1].key is _NO_KEY:
            raise _error(event, "a key must be a plain value, not a mapping or list")
        self._stack.append(_Open(is_mapping, event.anchor))

    def end(self, event: Any) -> None:
        done = self._stack.pop()
        for merged in done.merges:
            for key, value in merged.items():
                done.value.setdefault(key, value)
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, done.weight)
        self._add(done.value, done.weight, event)

    def scalar(self, event: Any) -> None:
        value: Any = event.value
        tag = event.tag
        if tag is None:
            if event.implicit[0]:
                value = plain_scalar(value)
        elif tag != "!" and tag != "tag:yaml.org,2002:str":
            value = _tagged(event, tag)
        parent = self._stack[-1] if self._stack else None
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        if parent is not None and parent.is_mapping and parent.key is _NO_KEY:
            self._take_key(parent, value, event)
            return
        self._note(event)
        self._add(value, 1, event)

    def alias(self, event: Any) -> None:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise _error(event, f"alias {shorten(event.anchor)} has no anchor before it")
        parent = self._stack[-1] if self._stack else None
        if parent is not None and parent.is_mapping and parent.key is _NO_KEY:
            self._take_key(parent, known[0], event)
            return
        self._note(event)
        self._aliased += known[1]
        if self._aliased > MAX_ALIASED:
            raise _error(event, f"the aliases stand for more than {MAX_ALIASED} values")
        self._add(*known, event)

    def _take_key(self, parent: _Open, value: Any, event: Any) -> None:
        if value == "<<" and getattr(event, "implicit", (False,))[0]:
            parent.key = _MERGE
            return
        if isinstance(value, dict | list):
            raise _error(event, "a key must be a plain value, not a mapping or list")
        key = _key_text(value)
        if key in parent.value:
            raise _error(event, f"key {shorten(key)} stands twice in one mapping")
        parent.key = key
        self._note(event, KEY)

    def _add(self, value: Any, weight: int, event: Any) -> None:
        if not self._stack:
            self.value = value
            return
        parent = self._stack[-1]
        parent.weight += weight
        if not parent.is_mapping:
            parent.value.append(value)
            return
        if parent.key is _MERGE:
            merged = value if isinstance(value, list) else [value]
            if not all(isinstance(item, dict) for item in merged):
                raise _error(event, "<< merges mappings only")
            parent.merges.extend(merged)
        else:
            parent.value[parent.key] = value
        parent.key = _NO_KEY

    def _note(self, event: Any, *below: str) -> None:
        if self._asked is None:
            return
        path = (
            *((str(frame.key) if frame.is_mapping else len(frame.value)) for frame in self._stack),
            *below,
        )
        if path in self._asked:
            mark = event.start_mark
            self.places.setdefault(path, (mark.line + 1, mark.column + 1))


def _key_text(value: Any) -> str:
    """A key as JSON has it: text."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _tagged(event: Any, tag: str) -> Any:
    kind = tag.removeprefix("tag:yaml.org,2002:")
    value = plain_scalar(event.value)
    if kind == "float" and type(value) is int:
        return float(value)
    wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(kind)
    if wanted is None or type(value) is not wanted:
        raise _error(event, f"tag {shorten(tag)} is not supported here; leave it out")
    return value


def _error(event: Any, message: str) -> TextError:
    mark = event.start_mark
    return TextError(mark.line + 1, mark.column + 1, message)


def _build(text: str, asked: dict[int, set[Path]] | None) -> Iterator[_Builder]:
    """A builder for each document; with ``asked`` paths of documents, not beyond the last."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(None)
    number = -1
    try:
        for event in yaml.parse(text, Loader=loader):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                builder.scalar(event)
            elif kind is yaml.MappingStartEvent:
                builder.start(True, event)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                builder.end(event)
            elif kind is yaml.SequenceStartEvent:
                builder.start(False, event)
            elif kind is yaml.AliasEvent:
                builder.alias(event)
            elif kind is yaml.DocumentStartEvent:
                number += 1
                builder = _Builder(asked.get(number) if asked else None)
            elif kind is yaml.DocumentEndEvent:
                yield builder
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = f"not YAML: {error.problem or error.context}"
        if mark and text[mark.index : mark.index + 1] == "\t":
            message = "not YAML: a tab; indent with blanks"
        raise TextError(line, column, message) from None
    except yaml.reader.ReaderError as error:
        # The C parser counts bytes.
        before = text.encode()[: error.position].decode(errors="ignore")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise TextError(line, column, f"not YAML: {error.reason}") from None
    except yaml.YAMLError as error:
        raise TextError(1, 1, f"not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise TextError(1, 1, f"not YAML: {error}") from None
