"""Reading fields of API objects: types as the API server has them, every mistake reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from svcc.compiler.load.addresses import LegacySpelling
from svcc.compiler.load.document import Complaint, Place, Source
from svcc.compiler.load.text import KEY, Path, shorten
from svcc.grammar.errors import Severity

Value = TypeVar("Value")

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\Z"
)

_DIGITS = re.compile(r"\d+")
_QUOTED = re.compile(r"'[^']*'|\S*\d\S*")
"""What differs between messages that say the same of different objects."""

_JSON_TYPES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class Report:
    """Collects complaints about one document."""

    def __init__(self, source: Source, document: int, complaints: list[Complaint]) -> None:
        self.source = source
        self.document = document
        self._complaints = complaints
        self.errors = 0

    def wrong(self, path: Path, message: str, other: Place | None = None, rest: str = "") -> None:
        """Note a problem at a path; ``other`` and ``rest`` as in a Complaint."""
        place = Place(self.source, self.document, path)
        self._complaints.append(Complaint(place, message, other, rest))
        self.errors += 1

    def say(self, path: Path, message: str, alike: str, *, severity: Severity = "warning") -> None:
        """Note what is no error; ``alike`` as in a Complaint."""
        place = Place(self.source, self.document, path)
        self._complaints.append(Complaint(place, message, severity=severity, alike=alike))


class Fields:
    """An object of the API: fields by name, with the path that leads to them."""

    __slots__ = ("_report", "_value", "path")

    def __init__(self, value: dict[str, Any], path: Path, report: Report) -> None:
        self._value = value
        self.path = path
        self._report = report

    def wrong(self, key: str | None, message: str) -> None:
        """Note a problem with a field (or the whole object)."""
        path = self.path if key is None else (*self.path, key)
        shown = field_name(path)
        self._report.wrong(path, f"{shown}: {message}" if shown else message)

    def warn(
        self,
        key: str | None,
        message: str,
        *,
        at_name: bool = False,
        severity: Severity = "warning",
    ) -> None:
        """Note what is unusual about a field (or the whole object), but no error.

        ``at_name``: it is about the field's name, not its value.
        """
        path = self.path if key is None else (*self.path, key)
        shown = field_name(path)
        alike = f"{severity} {_DIGITS.sub('', shown)} {_QUOTED.sub('', message)}"
        self._report.say(
            (*path, KEY) if at_name else path,
            f"{shown}: {message}" if shown else message,
            alike,
            severity=severity,
        )

    def unknown(self, below: Path, kind: str, meant: str | None, elsewhere: str | None) -> None:
        """Warn of a field that the API has not, at a path from this object."""
        path = (*self.path, *below)
        shown = field_name(path)
        hint = f"; did you mean {meant}?" if meant else ""
        if elsewhere:
            hint = f"; it belongs to {elsewhere}"
        self._report.say(
            (*path, KEY),
            f"{shown}: {kind} has no such field, so it is passed over{hint}",
            f"unknown {_DIGITS.sub('', shown)}",
        )

    def _legacy(self, path: Path, error: LegacySpelling) -> Any:
        shown = field_name(path)
        alike = f"legacy {_DIGITS.sub('', shown)}"
        self._report.say(path, f"{shown}: {error}", alike)
        return error.value

    def _get(self, key: str, kind: type, default: Any) -> Any:
        value = self._value.get(key)
        if value is None:
            return default
        if type(value) is not kind:
            self.wrong(key, wrong_type(value, kind))
            return default
        return value

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._value.get(key) is not None

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        return str(self._get(key, str, default))

    def flag(self, key: str, default: bool) -> bool:
        """A boolean."""
        return bool(self._get(key, bool, default))

    def number(self, key: str, low: int, high: int, default: int) -> int:
        """An integer within bounds."""
        value = self._value.get(key)
        if value is None:
            return default
        if type(value) is float and value.is_integer() and abs(value) < 1 << 53:
            # 80.0 reaches the API server as 80.
            value = int(value)
        if type(value) is float:
            wrong = "is out of range" if abs(value) > high else "is no whole number"
            self.wrong(key, f"{value:g} {wrong}; write {low} to {high}")
            return default
        if type(value) is not int:
            self.wrong(key, wrong_type(value, int))
            return default
        if not low <= value <= high:
            shown = str(value) if abs(value) < 10**20 else "this number"
            self.wrong(key, f"{shown} is out of range; write {low} to {high}")
            return default
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        value = self.text(key, default)
        if value not in choices:
            known = " or ".join(filter(None, choices))
            self.wrong(key, f"{shorten(value)} is not known; write {known}")
            return default
        return value

    def name(self, key: str, *, what: str = "label", default: str = "") -> str:
        """A DNS label (RFC 1123), or with ``what`` "subdomain" several with dots."""
        value = self.text(key, default)
        if value and not is_name(value, what):
            self.wrong(
                key,
                f"{shorten(value)} is not a valid name; use lower case letters, digits"
                f"{', hyphens and dots' if what == 'subdomain' else ' and hyphens'}",
            )
            return default
        return value

    def object(self, key: str) -> Fields:
        """A nested object; empty where there is none."""
        return Fields(self._get(key, dict, {}), (*self.path, key), self._report)

    def objects(self, key: str) -> Iterator[Fields]:
        """A list of objects."""
        for index, item in enumerate(self._get(key, list, [])):
            if isinstance(item, dict):
                yield Fields(item, (*self.path, key, index), self._report)
            elif item is not None:
                path = (*self.path, key, index)
                self._report.wrong(path, f"{field_name(path)}: {wrong_type(item, dict)}")

    def texts(self, key: str, read: Callable[[str], Value]) -> list[Value]:
        """A list of strings, each read by a function that raises ValueError."""
        found = []
        for index, item in enumerate(self._get(key, list, [])):
            path = (*self.path, key, index)
            if not isinstance(item, str):
                self._report.wrong(path, f"{field_name(path)}: {wrong_type(item, str)}")
                continue
            try:
                found.append(read(item))
            except LegacySpelling as legacy:
                found.append(self._legacy(path, legacy))
            except ValueError as error:
                self._report.wrong(path, f"{field_name(path)}: {error}")
        return found

    def read(self, key: str, read: Callable[[str], Value]) -> Value | None:
        """A string read by a function that raises ValueError; None if absent, empty or wrong."""
        value = self.text(key)
        if not value:
            return None
        try:
            return read(value)
        except LegacySpelling as legacy:
            found: Value = self._legacy((*self.path, key), legacy)
            return found
        except ValueError as error:
            self.wrong(key, str(error))
            return None

    def string_map(self, key: str) -> dict[str, str]:
        """A map of strings (labels, annotations)."""
        value = self._get(key, dict, {})
        for name, item in value.items():
            if type(item) is not str:
                path = (*self.path, key, name)
                self._report.wrong(path, f"{field_name(path)}: {wrong_type(item, str)}")
                return {}
        return dict(value)

    def raw(self, key: str) -> Any:
        """A field as it stands, of any type."""
        return self._value.get(key)

    def names(self) -> list[str]:
        """The names of all fields that are there."""
        return list(self._value)


def field_name(path: Path) -> str:
    """``spec.ports[0].port``, without the list that the object stands in."""
    start = 0
    while start + 1 < len(path) and path[start] == "items" and isinstance(path[start + 1], int):
        start += 2
    text = ""
    for part in path[start:]:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part if len(part) <= 60 and part.isprintable() else shorten(part)
            text += f".{shown}" if text else shown
    return text


def is_name(text: str, what: str) -> bool:
    """Whether a text is a DNS label or subdomain."""
    return bool((_SUBDOMAIN if what == "subdomain" else _LABEL).match(text))


def wrong_type(value: Any, wanted: type) -> str:
    """What to say of a value of the wrong type."""
    kind = _JSON_TYPES.get(type(value), "something else")
    need = _JSON_TYPES[wanted]
    if isinstance(value, str) and wanted is int and value.isascii() and value.isdigit():
        return f"{shorten(value)} is a string; write {value[:20]} without quotes"
    if isinstance(value, str) and wanted is bool and value in ("true", "false"):
        return f"{shorten(value)} is a string; write {value} without quotes"
    if wanted is str and isinstance(value, bool | int | float):
        return f"this is {kind} where a string belongs; put it in quotes"
    return f"this is {kind} where {need} belongs"
