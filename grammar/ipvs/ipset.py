"""Sets of addresses and ports: what ipset prints and reads (ipset(8)).

Source: ipset 7.17, lib/parse.c and lib/ipset_hash_*.c; the kernel's net/netfilter/ipset.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from svcc.grammar.address import Family, Network, format_address, parse_address, prefix_mask
from svcc.grammar.lines import WordError, read_lines, read_word
from svcc.grammar.numbers import TRANSPORTS, c_integer, port

_GRAMMAR = Path(__file__).with_name("ipset.lark")

MAX_NAME = 31
DEFAULT_MAX_ENTRIES = 65536
"""Of hash sets."""
KINDS = {
    "hash:ip": ("host",),
    "hash:net": ("net",),
    "hash:ip,port": ("host", "port"),
    "hash:net,port": ("net", "port"),
    "hash:ip,port,ip": ("host", "port", "host"),
    "hash:ip,port,net": ("host", "port", "net"),
    "bitmap:port": ("number",),
}
"""What the entries of each known type consist of."""

_PROTOCOL_NAMES = {number: name for name, number in TRANSPORTS.items()}


class PortOf(NamedTuple):
    """A port of one protocol (IANA number)."""

    protocol: int
    port: int


Part = Network | PortOf | int
"""An address block, a port of a protocol, or (``bitmap:port``) a bare port."""


class Entry(NamedTuple):
    """One entry: what it matches, and what it maps to or excepts.

    ``mark``: (value, mask) that ``--map-mark`` gives the packet, None without ``skbmark``.
    """

    parts: tuple[Part, ...]
    mark: tuple[int, int] | None = None
    no_match: bool = False


@dataclass(slots=True, kw_only=True)
class Set:
    """A set. ``family`` None: a bitmap, which is of none.

    ``entries`` are by parts. ``options`` has those of ``create`` that say nothing of what
    the set matches (``hashsize``, ``initval``, …), as they were written; they and ``line``
    do not take part in comparison. ``is_plain`` False: an entry or option that changes what
    matches is not known to svcc (a ``timeout``, a ``comment`` is), or the type is not. ``line`` is
    where it was created, 0 if it was not read, ``lines`` where its entries were added.
    """

    name: str
    kind: str
    family: Family | None = None
    entries: dict[tuple[Part, ...], Entry] = field(default_factory=dict)
    max_entries: int = DEFAULT_MAX_ENTRIES
    maps_marks: bool = False
    options: tuple[str, ...] = field(default=(), compare=False)
    is_plain: bool = True
    line: int = field(default=0, compare=False)
    lines: dict[tuple[Part, ...], int] = field(default_factory=dict, compare=False)

    def add(self, *parts: Part, mark: tuple[int, int] | None = None) -> None:
        """Add an entry; one with the same parts is replaced."""
        self.entries[parts] = Entry(parts, mark)


Sets = dict[str, Set]


def host(family: Family, address: int) -> Network:
    """One address as part of an entry."""
    return Network(family, address, family.bits)


# -- writing -------------------------------------------------------------------------------


def write(sets: Sets) -> str:
    """What ``ipset restore`` loads, spelled as ``ipset save`` prints it.

    Sets are in the order of their names, entries in their own.
    """
    lines: list[str] = []
    for name in sorted(sets):
        lines.append(f"create {name} {definition(sets[name])}")
        lines += [f"add {name} {entry_words(entry)}" for entry in sets[name].entries.values()]
    return "".join(f"{line}\n" for line in lines)


def definition(item: Set) -> str:
    """Type and options, as ``create`` takes them."""
    words = [item.kind]
    if item.kind == "bitmap:port":
        words.append("range 0-65535")
    else:
        words.append(f"family {'inet6' if item.family is Family.IPV6 else 'inet'}")
        words.append(f"maxelem {item.max_entries}")
    if item.maps_marks:
        words.append("skbinfo")
    return " ".join(words)


def entry_words(entry: Entry) -> str:
    """An entry, as ``add`` takes it."""
    words = key_words(entry.parts)
    if entry.no_match:
        words += " nomatch"
    if entry.mark is not None:
        value, mask = entry.mark
        words += f" skbmark {value:#x}" if mask == 0xFFFFFFFF else f" skbmark {value:#x}/{mask:#x}"
    return words


def key_words(parts: tuple[Part, ...]) -> str:
    """What ``del`` takes."""
    return ",".join(_part_text(part) for part in parts)


@lru_cache(maxsize=1 << 14)
def _part_text(part: Part) -> str:
    if isinstance(part, int):
        return str(part)
    if isinstance(part, PortOf):
        return f"{_PROTOCOL_NAMES[part.protocol]}:{part.port}"
    text = format_address(part.family, part.value)
    return text if part.prefix_length == part.family.bits else f"{text}/{part.prefix_length}"


# -- reading -------------------------------------------------------------------------------

_CREATE_VALUES = frozenset({"family", "hashsize", "maxelem", "bucketsize", "initval", "range",
                            "timeout", "netmask", "markmask", "size", "bitmask"})  # fmt: skip
_CREATE_FLAGS = frozenset({"counters", "comment", "skbinfo", "forceadd", "wildcard"})
_ADD_VALUES = frozenset({"timeout", "packets", "bytes", "comment", "skbmark", "skbprio",
                         "skbqueue"})  # fmt: skip
_ADD_FLAGS = frozenset({"nomatch", "wildcard"})
_KNOWN_CREATE = frozenset({"family", "hashsize", "maxelem", "bucketsize", "initval", "range",
                           "counters", "comment", "skbinfo", "forceadd"})  # fmt: skip
_KNOWN_ADD = frozenset({"packets", "bytes", "comment", "skbmark", "nomatch"})


def parse(text: str, *, source: str) -> Sets:
    """Read ``ipset save`` output or ``ipset restore`` input.

    Raises:
        InputError: lines that ipset would not take, with line and column.
    """
    sets: Sets = {}

    def build(words: list[str], line: int) -> None:
        if len(words) < 3:
            raise WordError(len(words), "the line ends too early")
        name = words[1]
        if words[0] in ("create", "-N", "n"):
            if name in sets:
                raise WordError(1, f"the set {name} exists already")
            if len(name) > MAX_NAME:
                raise WordError(1, f"the name {name!r} is longer than {MAX_NAME} characters")
            sets[name] = _create(words, line)
            return
        known = sets.get(name)
        if known is None:
            raise WordError(1, f"no set {name} before this line; create it")
        _add(known, words, line)

    read_lines(text, grammar=_GRAMMAR, source=source, shape=_shape, build=build)
    return sets


def _shape(words: list[str]) -> Hashable:
    return (words[0], len(words), *(w for w in words[3:] if w in _CREATE_VALUES | _ADD_VALUES))


def _pairs(
    words: list[str], values: frozenset[str], flags: frozenset[str]
) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    index = 3
    while index < len(words):
        name = words[index]
        if name in found:
            raise WordError(index, f"{name} is given twice")
        if name in values:
            if index + 1 >= len(words):
                raise WordError(index, f"{name} needs a value")
            found[name] = (index + 1, words[index + 1])
            index += 2
        elif name in flags:
            found[name] = (index, "")
            index += 1
        else:
            raise WordError(index, f"{name!r} is no option that goes here")
    return found


def _create(words: list[str], line: int) -> Set:
    kind = words[2]
    if not re.fullmatch(r"(bitmap|hash|list):[a-z]+(,[a-z]+)*", kind):
        raise WordError(2, f"{kind!r} is not a set type")
    options = _pairs(words, _CREATE_VALUES, _CREATE_FLAGS)
    item = Set(name=words[1], kind=kind, line=line)
    if kind.startswith("hash:"):
        item.family = Family.IPV4
    if "family" in options:
        index, text = options["family"]
        if text not in ("inet", "inet6"):
            raise WordError(index, f"{text!r} is neither inet nor inet6")
        item.family = Family.IPV6 if text == "inet6" else Family.IPV4
    if "maxelem" in options:
        index, text = options["maxelem"]
        item.max_entries = read_word(index, c_integer, text, 1, 0xFFFFFFFF)
    item.maps_marks = "skbinfo" in options
    whole_range = kind != "bitmap:port" or options.get("range", (0, ""))[1] == "0-65535"
    item.is_plain = kind in KINDS and whole_range and not options.keys() - _KNOWN_CREATE
    item.options = tuple(words[3:])
    return item


def _add(item: Set, words: list[str], line: int) -> None:
    options = _pairs(words, _ADD_VALUES, _ADD_FLAGS) if len(words) > 3 else {}
    if item.kind not in KINDS or options.keys() - _KNOWN_ADD:
        item.is_plain = False
        return
    mark = None
    if "skbmark" in options:
        index, text = options["skbmark"]
        value, slash, mask = text.partition("/")
        mark = (_hex(value, index), _hex(mask, index) if slash else 0xFFFFFFFF)
        if not item.maps_marks:
            raise WordError(index, f"the set {item.name} was created without skbinfo")
    parts = _parts(item.kind, item.family, words[2])
    if parts in item.entries:
        raise WordError(2, f"{words[2]} is in the set already")
    item.entries[parts] = Entry(parts, mark, "nomatch" in options)
    item.lines[parts] = line


def _parts(kind: str, family: Family | None, text: str) -> tuple[Part, ...]:
    kinds = KINDS[kind]
    texts = text.split(",")
    if len(texts) != len(kinds):
        raise WordError(2, f"an entry of {kind} has {len(kinds)} part(s), this has {len(texts)}")
    return tuple([_part(k, family, t) for k, t in zip(kinds, texts, strict=True)])


@lru_cache(maxsize=1 << 14)
def _part(kind: str, family: Family | None, text: str) -> Part:
    if kind == "number":
        return read_word(2, port, text)
    if kind == "port":
        name, colon, number = text.partition(":")
        if not colon:
            return PortOf(TRANSPORTS["tcp"], read_word(2, port, name))
        protocol = TRANSPORTS.get(name)
        if protocol is None:
            raise WordError(2, f"{name!r}: only tcp, udp and sctp ports are known to svcc")
        return PortOf(protocol, read_word(2, port, number))
    address_text, slash, length_text = text.partition("/")
    address = read_word(2, parse_address, address_text)
    if address.family is not family:
        raise WordError(2, f"{address_text} is of another family than the set")
    bits = address.family.bits
    if not slash:
        return Network(address.family, address.value, bits)
    if not re.fullmatch(r"[0-9]{1,3}", length_text) or not 1 <= int(length_text) <= bits:
        raise WordError(2, f"{text!r}: a prefix length is 1 to {bits}")
    length = int(length_text)
    if kind == "host" and length != bits:
        raise WordError(2, f"{text!r} is a block of addresses; list each")
    return Network(address.family, address.value & prefix_mask(address.family, length), length)


def _hex(text: str, index: int) -> int:
    """A mark or mask; unlike other numbers it must be hexadecimal (lib/parse.c)."""
    if not re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text):
        raise WordError(index, f"{text!r} is not a mark; write it like 0x4000, with 32 bits")
    return int(text, 16)
