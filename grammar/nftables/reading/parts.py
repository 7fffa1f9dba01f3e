"""What is read alike in rules and elements: verdicts, comments, values, the sets they name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from svcc.grammar.nftables import symbols
from svcc.grammar.nftables.program import (
    MAX_COMMENT,
    AnonymousSet,
    AnyVerdict,
    Counter,
    Expression,
    Goto,
    Jump,
    Limit,
    Log,
    OtherStatement,
    SetReference,
    Statement,
    TableFamily,
    Verdict,
)
from svcc.grammar.nftables.reading.expressions import (
    Datatypes,
    Expressions,
    ReadBody,
)
from svcc.grammar.nftables.reading.shapes import (
    Holes,
    Made,
    combined,
    fixed,
)

if TYPE_CHECKING:
    from lark import Token, Tree

    Node = Tree[Token]

_Verdict = Literal["accept", "drop", "continue", "return"]

SetTypes = Mapping[str, tuple[Datatypes, Datatypes | None]]
"""Sets and maps that are known so far: types of their keys and data."""


@dataclass(slots=True, frozen=True)
class SetUse:
    """How a text uses a named set: its keys' types, and those of the data wanted of a map.

    ``data`` empty: any data. ``is_dynamic``: elements are added by packets.
    """

    keys: Datatypes
    data: Datatypes | None
    is_dynamic: bool = False


@dataclass(slots=True)
class Shape:
    """What texts of one shape have in common beside the object."""

    holes: Holes
    tokens: list[Token]
    sets: list[tuple[int, SetUse]] = field(default_factory=list)
    """Which values are names of sets, and how those are used."""


RuleParts = tuple[tuple[Statement, ...], str | None]


class Parts:
    """Makes parts of one text; ``family`` is that of its table."""

    def __init__(
        self, holes: Holes, shape: Shape, family: TableFamily, read_body: ReadBody
    ) -> None:
        self.holes = holes
        self.family = family
        self.of = Expressions(holes, family, read_body)
        self._shape = shape

    def verdict(self, node: Node) -> Made[AnyVerdict]:
        """``accept``, ``jump CHAIN`` and so on."""
        token = cast("Token", node.children[0])
        match node.data:
            case "jump":
                return self.holes.read(token, Jump)
            case "goto":
                return self.holes.read(token, Goto)
            case _:
                return fixed(Verdict(cast("_Verdict", str(token))))

    def comment(self, node: Node) -> Made[str | None]:
        """``comment "TEXT"``."""
        return self.holes.read(cast("Token", node.children[0]), _comment_text)

    def counter(self, node: Node) -> Made[Statement]:
        """``counter [packets N bytes N]``."""
        numbers = [self.holes.read(cast("Token", t), int) for t in node.children]
        return combined(Counter, *numbers)

    def elements(
        self, node: Node, keys: Datatypes, data: Datatypes | None
    ) -> Made[AnonymousSet | SetReference]:
        """``@NAME`` or ``{ … }``, and that it is asked for."""
        self.use(node, keys, data)
        return self.of.elements(node, keys, data)

    def assigned(self, node: Node, types: Datatypes) -> Made[Expression]:
        """What something of given types is made: an expression, a mapping or flags."""
        if node.data == "mapping":
            key, elements = cast("list[Node]", node.children)
            self.use(elements, self.of.types(key), types)
            return self.of.mapping(node, types)
        if types[0].is_bitmask and node.data in ("single", "flags"):
            return fixed(self.of.flags(node, types[0]))
        return self.of.general(node, types)

    def use(self, node: Node, keys: Datatypes, data: Datatypes | None) -> None:
        """Note how elements are used, where they are of a named set."""
        token = cast("Token", node.children[0])
        if token.type == "SET_REFERENCE":
            index = self.holes.by_offset[token.start_pos or 0]
            self._shape.sets.append((index, SetUse(keys, data)))

    def fills(self, reference: Token, use: SetUse) -> None:
        """Note that packets fill a named set."""
        self._shape.sets.append((self.holes.by_offset[reference.start_pos or 0], use))


def _comment_text(text: str) -> str:
    plain = text[1:-1] if text[:1] == '"' else text
    if text in symbols.KEYWORDS:
        raise ValueError(f'{text!r} is a word of nft; write "{text}"')
    if len(plain.encode()) > MAX_COMMENT:
        raise ValueError(f"the comment is longer than {MAX_COMMENT} bytes")
    return plain


def as_text(node: Node) -> Statement:
    """A statement that is kept as its text."""
    text = " ".join(str(node.children[0]).split())
    match node.data:
        case "limit":
            return Limit(_limit(text.removeprefix("limit ")))
        case "log":
            # A warning is what nft logs anyway, and does not list.
            return Log(re.sub(r'("[^"]*")|\s+level warn\b|\s+', _of_log, text[3:]).strip())
        case _:
            return OtherStatement(str(node.children[0]).strip())


def _of_log(found: re.Match[str]) -> str:
    return found[1] or ("" if "level" in found[0] else " ")


def _limit(text: str) -> str:
    """A rate as nft lists it: without the burst that it has anyway."""
    text = re.sub(r"\s*/\s*", "/", text.replace("until ", ""))
    return text.removesuffix(" burst 5 packets").removesuffix(" burst 0 bytes")
