"""Counterexamples that a person can read: plain values wherever the violation leaves a choice."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.verify.model.conditions import AnyOf, Destination, Source
from svcc.verify.simulator.packet import DOCUMENTATION_SOURCE, EPHEMERAL_PORT, HTTP_ALTERNATE, TCP
from svcc.verify.slicing.schema import Schema, SchemaItem
from svcc.verify.slicing.schema_conditions import SchemaCondition
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.term import (
    Term,
    has_value,
    negate,
)

_OTHER_INTERFACE = 65535
MAX_CANDIDATES = 24


def preferences(encoding: Encoding) -> Iterator[list[Term]]:
    """Groups of terms: of each, the first that is possible is to be had."""
    schema, packet, declared = encoding.schema, encoding.packet, encoding.declared
    yield [has_value(packet.mark0, schema.mark if schema.marked else 0)]
    yield [negate(packet.local)]
    for symbol in sorted(declared):
        if symbol.startswith(("backend_local", "recent")):
            yield [negate(declared[symbol])]
    if "own_source" in declared:
        own_source = declared["own_source"]
        yield [has_value(own_source, value) for value in _own_addresses(schema)]
    yield [has_value(packet.src, value) for value in _sources(schema)]
    if not schema.fixed_destination:
        wanted = [*_own_addresses(schema), DOCUMENTATION_SOURCE[schema.family] + 1]
        wanted += _mentioned(schema, Destination)
        yield [has_value(packet.dst, value) for value in wanted[:MAX_CANDIDATES]]
    if schema.protocol is None:
        yield [has_value(packet.proto, TCP)]
    if not schema.fixed_port:
        yield [has_value(packet.dport, HTTP_ALTERNATE)]
    yield [has_value(packet.sport, EPHEMERAL_PORT)]
    for interface in (packet.iif, packet.oif0, packet.oif1):
        yield [has_value(interface, _OTHER_INTERFACE)]


def _sources(schema: Schema) -> list[int]:
    values = _own_addresses(schema) if schema.from_node else []
    values.append(DOCUMENTATION_SOURCE[schema.family])
    values += _mentioned(schema, Source)
    return list(dict.fromkeys(values))[:MAX_CANDIDATES]


def _own_addresses(schema: Schema) -> list[int]:
    full = (1 << schema.family.bits) - 1
    return [value for value, mask in schema.node_networks if mask == full and value > 1]


def _mentioned(schema: Schema, kind: type[Source | Destination]) -> Iterator[int]:
    """An address inside each network of a kind that the rules or the expectation name."""
    full = (1 << schema.family.bits) - 1

    def of(condition: SchemaCondition) -> Iterator[int]:
        if isinstance(condition, AnyOf):
            for part in condition.parts:
                yield from of(part)
        elif isinstance(condition, kind):
            yield condition.address if condition.mask == full else condition.address + 1

    def walk(items: tuple[SchemaItem, ...]) -> Iterator[int]:
        for item in items:
            for condition in item.conditions:
                yield from of(condition)
            yield from walk(item.body)

    for case in schema.cases:
        for condition in case.condition:
            yield from of(condition)
    for hook in (*schema.rewriting, *schema.inward, *schema.onward):
        yield from walk(hook.items)
