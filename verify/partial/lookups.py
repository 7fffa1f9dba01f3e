"""Whether rules look elements up by what these name: addresses and destination ports of packets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.grammar.nftables.program import (
    Chain,
    Concatenation,
    DynamicSet,
    Expression,
    Field,
    MapLookup,
    Match,
    Nat,
    Operation,
    SetField,
    SetReference,
    Statement,
    Table,
    Types,
    VerdictMap,
)

PORTS = frozenset({"th dport", "tcp dport", "udp dport", "sctp dport", "ct original proto-dst"})
"""Fields that are the port that a packet is sent to, or was."""
_ADDRESSES = frozenset(
    f"{prefix}{family} {side}addr"
    for prefix in ("", "ct original ")
    for family in ("ip", "ip6")
    for side in ("s", "d")
)
_OF_ADDRESSES = frozenset({"ipv4_addr", "ipv6_addr"})


def are_ports(key: Types | Expression) -> Iterator[bool]:
    """For each part of a set's keys, whether it is held against a port of the packet."""
    match key:
        case Types():
            yield from (name == "inet_service" for name in key.names)
        case _:
            for part in _parts(key):
                yield isinstance(part, Field) and part.name in PORTS


def look_up_as_named(table: Table, chains: Iterable[Chain]) -> bool:
    """Whether every rule of some chains looks up addresses as addresses of the packet, sent or
    original, and ports as the port that it is sent to. Nothing else can be told from an element.
    """
    return all(
        _is_as_named(table, name, key)
        for chain in chains
        for rule in chain.rules
        for statement in rule.statements
        for name, key in _lookups(statement)
    )


def _is_as_named(table: Table, name: str, key: Expression) -> bool:
    item = table.sets.get(name)
    if item is None:
        return False
    for part, is_port, is_address in zip(
        _parts(key), are_ports(item.key), _are_addresses(item.key), strict=False
    ):
        if is_port and not (isinstance(part, Field) and part.name in PORTS):
            return False
        if is_address and not (isinstance(part, Field) and part.name in _ADDRESSES):
            return False
    return True


def _are_addresses(key: Types | Expression) -> Iterator[bool]:
    match key:
        case Types():
            yield from (name in _OF_ADDRESSES for name in key.names)
        case _:
            for part in _parts(key):
                yield isinstance(part, Field) and part.name.endswith(("saddr", "daddr"))


def _parts(key: Expression) -> tuple[Expression, ...]:
    return key.parts if isinstance(key, Concatenation) else (key,)


def _lookups(statement: Statement) -> Iterator[tuple[str, Expression]]:
    """The sets that a statement looks something up in, and by what."""
    match statement:
        case Match():
            if isinstance(statement.right, SetReference):
                yield statement.right.name, statement.left
            yield from _inside(statement.left)
        case VerdictMap():
            if isinstance(statement.elements, SetReference):
                yield statement.elements.name, statement.key
            yield from _inside(statement.key)
        case Nat():
            for expression in (statement.address, statement.port):
                if expression is not None:
                    yield from _inside(expression)
        case SetField():
            yield from _inside(statement.value)
        case DynamicSet():
            yield from _inside(statement.key)
        case _:
            return


def _inside(expression: Expression) -> Iterator[tuple[str, Expression]]:
    match expression:
        case MapLookup():
            if isinstance(expression.elements, SetReference):
                yield expression.elements.name, expression.key
            yield from _inside(expression.key)
        case Concatenation():
            for part in expression.parts:
                yield from _inside(part)
        case Operation():
            yield from _inside(expression.left)
            yield from _inside(expression.right)
        case _:
            return
