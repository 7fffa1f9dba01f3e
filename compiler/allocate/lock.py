"""The lock file: which Service has which number, a line each, sorted.

Lines that say the same are the same text, whoever wrote them, so that two branches merge line by
line and sorting mends their order. A range is a line too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from svcc.compiler.allocate.ranges import RANGES, Ranges, default_ranges, with_range
from svcc.grammar.address import Address, Family, parse_address
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.lines import WordError, read_word
from svcc.grammar.numbers import decimal, decimal_port

Kind = Literal["cluster-ip", "health-check-node-port", "load-balancer-ip", "node-port"]
Number = Address | int
"""An address, or a node port."""

HEADING = (
    "# Numbers of Services, given by svcc allocate. Keep this file beside the manifests.\n"
    "# A line for each number, sorted; after a merge conflict keep the lines of both sides.\n"
)
_KINDS: tuple[Kind, ...] = get_args(Kind)
_FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
_OWNER = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?/[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MARKERS = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")


class Slot(NamedTuple):
    """What a Service has one number for.

    ``owner`` is ``namespace/name``. ``part`` is the family of an address (``ipv4``), the port of
    a node port (``80``, whatever the protocols) and "" of a health check node port.
    """

    owner: str
    kind: Kind
    part: str = ""

    @property
    def family(self) -> Family | None:
        """Of an address."""
        return _FAMILIES.get(self.part)

    def __str__(self) -> str:
        return " ".join(filter(None, self))


class Pool(NamedTuple):
    """What numbers are taken from: no two slots of one pool have the same number."""

    name: Literal["cluster-ip", "load-balancer-ip", "node-port"]
    family: Family | None = None


def pool_of(slot: Slot) -> Pool:
    """The pool of a slot; health check node ports are node ports, as in the API server."""
    if slot.kind == "health-check-node-port":
        return Pool("node-port")
    return Pool(slot.kind, slot.family)


@dataclass(frozen=True, slots=True)
class Lock:
    """What is in a lock file. ``freed`` are numbers whose Service is gone: they rest.

    ``lines`` has the line of each slot, for messages; ``source`` is the file's name.
    """

    ranges: Ranges = field(default_factory=default_ranges)
    given: Mapping[Slot, Number] = field(default_factory=dict)
    freed: Mapping[Slot, Number] = field(default_factory=dict)
    source: str = ""
    lines: Mapping[Slot, int] = field(default_factory=dict, compare=False)

    def place(self, slot: Slot) -> Position:
        """Where a slot stands; the file where it does not."""
        line = self.lines.get(slot, 0)
        return Position(self.source, line, 1 if line else 0)


def write_lock(lock: Lock) -> str:
    """The text of a lock file, which :func:`read_lock` reads as the same lock."""
    lines = [f"range {name} {text}" for name, text in lock.ranges.texts.items()]
    lines += [f"given {slot} {number}" for slot, number in lock.given.items()]
    lines += [f"freed {slot} {number}" for slot, number in lock.freed.items()]
    return HEADING + "".join(f"{line}\n" for line in sorted(lines))


def read_lock(text: str, *, source: str) -> Lock:
    """Read a lock file; the order of its lines says nothing.

    Args:
        text: the file.
        source: its name, for messages.

    Raises:
        InputError: lines that are none, and numbers that are given twice, with line and column.
    """
    reader = _Reader(source)
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            reader.line(line, words, number)
    return reader.finish()


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source
        self._problems: list[Problem] = []
        self._ranges = default_ranges()
        self._range_lines: dict[str, int] = {}
        self._given: dict[Slot, Number] = {}
        self._freed: dict[Slot, Number] = {}
        self._lines: dict[Slot, int] = {}

    def line(self, line: str, words: list[str], number: int) -> None:
        try:
            if line.startswith(_MARKERS):
                message = (
                    "a merge conflict; keep the lines of both sides, remove this one, and run "
                    "svcc allocate"
                )
                raise WordError(0, message)
            if words[0] == "range":
                self._range(words, number)
            elif words[0] in ("given", "freed"):
                self._entry(words, number)
            else:
                raise WordError(0, f"{words[0]!r:.60} is no word of a lock; given, freed or range")
        except WordError as error:
            places = [match.start() + 1 for match in re.finditer(r"\S+", line)]
            column = places[error.index] if error.index < len(places) else len(line.rstrip()) + 1
            self._wrong(number, column, error.message)

    def finish(self) -> Lock:
        self._refuse_doubles()
        if self._problems:
            raise InputError(self._problems)
        freed = {slot: value for slot, value in self._freed.items() if slot not in self._given}
        return Lock(self._ranges, self._given, freed, self._source, self._lines)

    def _wrong(self, line: int, column: int, message: str) -> None:
        self._problems.append(Problem(Position(self._source, line, column), message))

    def _range(self, words: list[str], number: int) -> None:
        if len(words) != 3:
            raise WordError(len(words), "write: range NAME RANGE")
        name, text = words[1:]
        if name not in RANGES:
            raise WordError(1, f"{name!r:.60} is no range; {', '.join(RANGES)}")
        before = self._range_lines.setdefault(name, number)
        if before != number and self._ranges.texts[name] != text:
            raise WordError(1, f"line {before} has another {name}; keep one of them")
        self._ranges = read_word(2, with_range, self._ranges, name, text)

    def _entry(self, words: list[str], number: int) -> None:
        slot, index = _slot(words)
        if len(words) != index + 1:
            message = "a number is missing" if len(words) <= index else "the line ends before this"
            raise WordError(min(len(words), index + 1), message)
        value: Number
        if slot.family is None:
            value = read_word(index, decimal_port, words[index])
        else:
            value = read_word(index, parse_address, words[index])
            if value.family is not slot.family:
                raise WordError(index, f"this is no {slot.part} address")
        if not value:
            raise WordError(index, "0 is no port")
        entries = self._given if words[0] == "given" else self._freed
        if entries.setdefault(slot, value) != value and entries is self._given:
            raise WordError(
                1,
                f"{slot} stands here for the second time, first in line {self._lines[slot]}; "
                "remove one of them",
            )
        if words[0] == "given":
            self._lines.setdefault(slot, number)

    def _refuse_doubles(self) -> None:
        """A merge can bring one number to two Services; nobody but people can say whose it is."""
        owners: dict[tuple[Pool, Number], Slot] = {}
        for slot, number in self._given.items():
            other = owners.setdefault((pool_of(slot), number), slot)
            if other is not slot:
                first, second = sorted((other, slot), key=self._lines.__getitem__)
                self._wrong(
                    self._lines[second],
                    1,
                    f"{shown(number)} is given to {second.owner} ({second.kind}), and in line "
                    f"{self._lines[first]} to {first.owner} ({first.kind}); remove one of the "
                    "lines and run svcc allocate",
                )


def shown(number: Number) -> str:
    """A number in a message."""
    return f"port {number}" if isinstance(number, int) else f"address {number}"


def _slot(words: list[str]) -> tuple[Slot, int]:
    """The slot that a line names, and where its number stands."""
    if len(words) < 3:
        raise WordError(len(words), f"write: {words[0]} NAMESPACE/NAME KIND NUMBER")
    if not _OWNER.fullmatch(words[1]):
        raise WordError(1, f"{words[1]!r:.60} is no Service; write NAMESPACE/NAME")
    kind = next((kind for kind in _KINDS if kind == words[2]), None)
    if kind is None:
        raise WordError(2, f"{words[2]!r:.60} is not known; {', '.join(_KINDS)}")
    if kind == "health-check-node-port":
        return Slot(words[1], kind), 3
    if len(words) < 4:
        raise WordError(
            len(words), f"{'a port' if kind == 'node-port' else 'ipv4 or ipv6'} missing"
        )
    if kind == "node-port":
        return Slot(words[1], kind, str(read_word(3, decimal, words[3], 1, 65535))), 4
    if words[3] not in _FAMILIES:
        raise WordError(3, f"{words[3]!r:.60} is no family; ipv4 or ipv6")
    return Slot(words[1], kind, words[3]), 4
