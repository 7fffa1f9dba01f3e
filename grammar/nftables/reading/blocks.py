"""What stands in blocks beside rules: hooks of chains, and all that sets are declared with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from svcc.grammar.nftables.datatypes import BY_NAME, GUESSED, Datatype, integer
from svcc.grammar.nftables.priorities import number_of
from svcc.grammar.nftables.program import (
    MAX_COMMENT,
    BaseChain,
    ChainType,
    Hook,
    Set,
    TableFamily,
    Types,
)
from svcc.grammar.nftables.reading.expressions import Datatypes
from svcc.grammar.nftables.reading.lists import Lists
from svcc.grammar.nftables.reading.shapes import TextError
from svcc.grammar.nftables.reading.statements import read_typeof
from svcc.grammar.nftables.times import read_time
from svcc.grammar.numbers import c_integer

NAME = r"[A-Za-z_.][\w./\\-]*"
SKIPPED = re.compile(r"(?:\s|;|\\\n|# handle \d+)*")
SEPARATOR = re.compile(r"[ \t]*(?:# handle \d+[ \t]*)?(?:\n|;|$)")
_BLOCK_TEXT = re.compile(r'[^{}"]*+(?:"[^"\n]*"[^{}"]*+)*+')

_BASE = re.compile(
    r"type\s+(\w+)\s+hook\s+(\w+)"
    r'(?:\s+devices?\s+(?:=\s*)?("[^"\n]*"|[\w.-]+|\{[^{}]*\}))?'
    r"\s+priority\s+(?:(-?\d+)|(\w+)(?:\s*([+-])\s*(\d+))?)[ \t]*(?=[;\n])"
)
_HOOKS: dict[str, frozenset[str]] = {
    "filter": frozenset(
        {"prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"}
    ),
    "nat": frozenset({"prerouting", "input", "output", "postrouting"}),
    "route": frozenset({"output"}),
}
_FAMILIES_OF = {"nat": ("ip", "ip6", "inet"), "route": ("ip", "ip6", "inet")}
_OF_DEVICES = ("ingress", "egress")
_SET_LINE = re.compile(
    r"(?P<word>type|typeof|flags|timeout|gc-interval|size|policy|auto-merge|comment|counter|limit|"
    r"quota|ct|last|elements)\b"
)
_REST = re.compile(r'(?:[^\n;{}"#\\]++|"[^"\n]*"|\\\n)*+')
_FLAGS = frozenset({"constant", "dynamic", "interval", "timeout"})
_OBJECTS = frozenset({"counter", "quota", "limit", "synproxy", "secmark", "ct helper"})
_KNOWN_TO_JSON = {**BY_NAME, "integer": integer(32)}
_OPTIONS = {
    "policy": re.compile(r"policy (?:memory|performance)"),
    "auto-merge": re.compile(r"auto-merge"),
    "counter": re.compile(r"counter"),
    "limit": re.compile(r"limit rate (?:over )?\d+(?: ?[kmg]?bytes)?/\w+(?: burst \d+ \w+)?"),
    "quota": re.compile(r"quota (?:over |until )?\d+ [kmg]?bytes"),
    "ct": re.compile(r"ct count (?:over )?\d+"),
    "last": re.compile(r"last"),
}


def text_until_separator(text: str, position: int) -> tuple[str, int]:
    """A line of a block, and where it ends.

    Raises:
        TextError: neither a new line nor ``;`` follows.
    """
    found = _REST.match(text, position)
    assert found is not None
    end = SEPARATOR.match(text, found.end())
    if end is None:
        if text[found.end() : found.end() + 1] == '"':
            raise TextError(found.end(), 'the quotation has no end; write " behind it')
        message = "this must end with its line or with ;"
        if text[found.end() : found.end() + 1] == "}":
            message += ", then comes }; write } on the next line"
        raise TextError(found.end(), message)
    return found[0].strip(), end.end()


def quoted(text: str, position: int) -> str:
    """A comment's text, from how it is written.

    Raises:
        TextError: it is too long, or not a quotation.
    """
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]
    plain = text[1:-1] if is_quoted else text
    if not is_quoted and not re.fullmatch(NAME, text):
        raise TextError(position, 'a comment is quoted: comment "TEXT"')
    if len(plain.encode()) > MAX_COMMENT:
        raise TextError(position, f"the comment is longer than {MAX_COMMENT} bytes")
    return plain


def skip_block(text: str, position: int) -> int:
    """Behind the end of a block, from behind its brace on.

    Raises:
        TextError: it has none.
    """
    depth, start = 1, position
    while depth:
        found = _BLOCK_TEXT.match(text, position)
        assert found is not None
        position = found.end() + 1
        match text[found.end() : position]:
            case "{":
                depth += 1
            case "}":
                depth -= 1
            case _:
                raise TextError(start, "the block has no end; close it with }")
    return position


def read_base(text: str, position: int, family: TableFamily) -> tuple[BaseChain, int]:
    """``type … hook … priority …``, and where it ends.

    Raises:
        TextError: nft would not take it.
    """
    found = _BASE.match(text, position)
    if found is None:
        message = "write type filter|nat|route hook HOOK priority NUMBER;"
        raise TextError(position, message)
    kind, hook, device, number, name, sign, difference = found.groups()
    if kind not in _HOOKS or family not in _FAMILIES_OF.get(kind, (family,)):
        raise TextError(found.start(1), f"no chain type {kind!r} in a table of family {family}")
    if hook not in _HOOKS[kind] or not _has_hook(family, hook):
        raise TextError(found.start(2), f"no hook {hook!r} for type {kind} in family {family}")
    if hook in _OF_DEVICES and device is None:
        raise TextError(found.start(2), f'hook {hook} is of a device; write device "NAME"')
    if hook not in _OF_DEVICES and device is not None:
        raise TextError(found.start(3), f"hook {hook} is of no device; remove it")
    try:
        priority = int(number) if number else number_of(name, cast(Hook, hook), family)
    except ValueError as error:
        raise TextError(found.start(5), str(error)) from None
    if sign:
        priority += int(difference) if sign == "+" else -int(difference)
    if not -(1 << 31) <= priority < 1 << 31:
        raise TextError(found.start(4), "a priority is a number of 32 bits")
    if kind == "nat" and priority <= -200:
        raise TextError(found.start(4), "a nat chain comes after connections are known: above -200")
    plain = None if device is None else device.strip('"')
    base = BaseChain(cast(ChainType, kind), cast(Hook, hook), priority, "accept", plain)
    return base, found.end()


def _has_hook(family: TableFamily, hook: str) -> bool:
    match family:
        case "arp":
            return hook in ("input", "output")
        case "netdev":
            return hook in _OF_DEVICES
        case "inet":
            return hook != "egress"
        case _:
            return hook not in _OF_DEVICES


@dataclass(slots=True)
class Declaration:
    """A set or map while its block is read.

    ``elements`` are offsets of its lists; ``of_json``: the type ``integer`` may be written.
    """

    item: Set
    is_map: bool
    family: TableFamily
    types: tuple[Datatypes, Datatypes | None] | None = None
    elements: tuple[int, ...] = ()
    of_json: bool = False

    def line(self, text: str, position: int, lists: Lists) -> int:
        """Read a line of the block; where it ends.

        Raises:
            TextError: nft would not take it.
        """
        found = _SET_LINE.match(text, position)
        if found is None:
            word = re.match(r"\S+", text[position:])
            shown = word[0] if word else "the end"
            raise TextError(position, f"cannot read {shown!r} in a set")
        word_text = found["word"]
        if word_text == "elements":
            return self._elements(text, found.end())
        rest, end = text_until_separator(text, found.end())
        at = found.end() + 1
        item = self.item
        try:
            match word_text:
                case "type":
                    self._type(rest, at)
                case "typeof":
                    self._typeof(rest, at, lists)
                case "flags":
                    given = frozenset(flag.strip() for flag in rest.split(","))
                    if unknown := sorted(given - _FLAGS):
                        raise TextError(
                            at, f"no flag {unknown[0]!r}; there are {', '.join(sorted(_FLAGS))}"
                        )
                    item.flags = given
                case "timeout":
                    item.timeout = read_time(rest)
                case "gc-interval":
                    item.gc_interval = read_time(rest)
                case "size":
                    item.size = c_integer(rest, 0, (1 << 32) - 1)
                case "comment":
                    item.comment = quoted(rest, at)
                case _:
                    option = " ".join(f"{word_text} {rest}".split())
                    if not _OPTIONS[word_text].fullmatch(option):
                        raise TextError(position, f"cannot read {option!r} in a set")
                    item.options = (*item.options, option)
        except ValueError as error:
            raise TextError(at, str(error)) from None
        return end

    def _elements(self, text: str, position: int) -> int:
        found = re.compile(r"\s*=\s*\{").match(text, position)
        if found is None:
            raise TextError(position, "write elements = { ELEMENT, … }")
        self.elements = (*self.elements, found.end())
        return skip_block(text, found.end())

    def _type(self, rest: str, at: int) -> None:
        key, colon, data = rest.partition(":")
        self.item.key, keys = self._types(key, at)
        if bool(colon) != self.is_map:
            raise TextError(at, _map_or_set(self.is_map))
        if not colon:
            self.types = (keys, None)
            return
        data = data.strip().removeprefix("interval ").strip()
        if data in _OBJECTS:
            self.item.data = Types((data,))
            self.types = (keys, (GUESSED,))
            return
        self.item.data, found = self._types(data, at + len(key) + 1)
        self.types = (keys, found)

    def _types(self, text: str, at: int) -> tuple[Types, Datatypes]:
        return types_named(text, at, _KNOWN_TO_JSON if self.of_json else BY_NAME)

    def _typeof(self, rest: str, at: int, lists: Lists) -> None:
        try:
            key, data = read_typeof(rest, self.family, lists.anonymous)
        except TextError as error:
            raise TextError(at + error.offset, error.message) from None
        if (data is not None) != self.is_map:
            raise TextError(at, _map_or_set(self.is_map))
        self.item.key = key[0]
        self.types = (key[1], None)
        if data is not None:
            self.item.data = Types(("verdict",)) if data[0] is None else data[0]
            self.types = (key[1], data[1])


def types_named(text: str, at: int, known: Mapping[str, Datatype]) -> tuple[Types, Datatypes]:
    """``ipv4_addr . inet_service``, and what that is.

    Raises:
        TextError: there is no such type.
    """
    names = tuple(name.strip() for name in text.split("."))
    found: list[Datatype] = []
    for name in names:
        datatype = known.get(name)
        if datatype is None or datatype is GUESSED:
            raise TextError(at, f"no type {name!r}; write one such as ipv4_addr or inet_service")
        found.append(datatype)
    return Types(names), tuple(found)


def _map_or_set(is_map: bool) -> str:
    if is_map:
        return "a map has the type of its data too: type KEY : DATA"
    return "a set has no data; declare a map for type KEY : DATA"
