"""Rules that ask for two protocols, which nft refuses ("conflicting protocols specified").

nft keeps every protocol that the statements before have asked for, those of a set too, and takes a
header only where there is no other among them (src/payload.c, payload_expr_complete and
src/evaluate.c, meta_match_postprocess).
"""

from __future__ import annotations

from collections.abc import Iterator

from svcc.grammar.nftables.datatypes import INET_PROTO
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Concatenation,
    DynamicSet,
    Expression,
    Field,
    Jhash,
    MapLookup,
    Match,
    Nat,
    Number,
    Operation,
    Reject,
    SetField,
    Statement,
    Symbol,
    VerdictMap,
)

_ASKED = frozenset({"meta l4proto", "ip protocol", "ip6 nexthdr"})
_HEADERS = {
    "tcp": 6, "udp": 17, "udplite": 136, "sctp": 132, "dccp": 33, "icmp": 1, "icmpv6": 58,
    "igmp": 2, "esp": 50, "ah": 51, "comp": 108,
}  # fmt: skip
_TCP_RESET = Reject("tcp reset")


def may_conflict(statements: tuple[Statement, ...]) -> bool:
    """Whether rules with such statements can ask for two protocols, whatever their values are."""
    mentions = sum(1 for statement in statements for _ in _mentions(statement))
    return mentions > 1 or (mentions == 1 and _TCP_RESET in statements)


def conflict(statements: tuple[Statement, ...]) -> tuple[int, str] | None:
    """The statement that asks for another protocol than one before it, and what is wrong."""
    known: set[int] = set()
    for place, statement in enumerate(statements):
        if statement == _TCP_RESET and known - {6}:
            return place, "only tcp is refused with tcp reset, and another protocol is asked before"
        for field in _mentions(statement):
            number = _header(field)
            if number is None:
                known |= _values(statement)
                continue
            if known - {number}:
                header = field.name.split()[0]
                message = f"{field.name} is of {header} alone, and another protocol is asked before"
                return place, f"{message}; ask for {header} only, or write th in its place"
            known.add(number)
    return None


def _mentions(statement: Statement) -> Iterator[Field]:
    """The fields by which a statement asks for a protocol, in their order."""
    match statement:
        case Match():
            yield from _fields(statement.left)
        case VerdictMap():
            yield from _fields(statement.key)
        case SetField():
            yield from _fields(statement.field)
            yield from _fields(statement.value)
        case DynamicSet():
            yield from _fields(statement.key)
        case Nat() if statement.address is not None:
            yield from _fields(statement.address)
        case _:
            return


def _fields(expression: Expression) -> Iterator[Field]:
    match expression:
        case Field(name):
            if name in _ASKED or _header(expression) is not None:
                yield expression
        case Concatenation(parts):
            for part in parts:
                yield from _fields(part)
        case Operation():
            yield from _fields(expression.left)
        case Jhash():
            yield from _fields(expression.expression)
        case MapLookup():
            yield from _fields(expression.key)
        case _:
            return


def _header(field: Field) -> int | None:
    return _HEADERS.get(field.name.split(" ", 1)[0]) if " option " not in field.name else None


def _values(statement: Statement) -> set[int]:
    """The protocols that a match lets through; none where it says what is not."""
    if not isinstance(statement, Match) or statement.operator != "==":
        return set()
    if not isinstance(statement.left, Field):
        return set()
    right = statement.right
    values = [e.key for e in right.elements] if isinstance(right, AnonymousSet) else [right]
    found = set()
    for value in values:
        if isinstance(value, Number | Symbol):
            number = INET_PROTO.number(value)
            if number is not None:
                found.add(number)
    return found
