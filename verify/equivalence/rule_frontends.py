"""Frontends that rules name, whether objects declare them or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from svcc.grammar.iptables.program import Comment
from svcc.verify.model.conditions import Destination, DestinationPort, Protocol
from svcc.verify.model.rules import IndexedRules, Record
from svcc.verify.spec.expectation import (
    PROTOCOL_NUMBER,
    Expectation,
    Frontend,
    FrontendExpectation,
)


def with_named(expectation: Expectation, indexed: Sequence[IndexedRules]) -> Expectation:
    """The expectation's frontends and those that only rules name; what is expected is left out."""
    frontends = {
        (f.frontend.address, f.frontend.protocol, f.frontend.port): f for f in expectation.frontends
    }
    full = (1 << expectation.family.bits) - 1
    for rules in indexed:
        for record in _records(rules):
            place = _place(record, full)
            if place is None or place in frontends:
                continue
            address, protocol, port = place
            comment = next(
                (m.text for m in record.rule.matches if isinstance(m, Comment)), record.rule.chain
            )
            kind = "node port" if address is None else "address"
            frontend = Frontend(expectation.family, address, protocol, port, comment, kind)
            frontends[place] = FrontendExpectation(frontend, (), True)
    unjudged = tuple(replace(item, cases=()) for item in frontends.values())
    return replace(expectation, frontends=unjudged, health_check_ports=())


def _records(rules: IndexedRules) -> Iterator[Record]:
    for chains in rules.tables.values():
        for chain in chains.values():
            yield from chain.records


def _place(record: Record, full_mask: int) -> tuple[int | None, int, int] | None:
    """The one address (None: any), protocol and port that a rule is about."""
    protocol: Protocol | None = None
    port: DestinationPort | None = None
    destination: Destination | None = None
    for condition in record.conditions:
        match condition:
            case Protocol():
                protocol = condition
            case DestinationPort():
                port = condition
            case Destination():
                destination = condition
    if port is None or protocol is None:
        return None
    if protocol.negated or port.negated or port.first != port.last:
        return None
    if protocol.number not in PROTOCOL_NUMBER.values():
        return None
    if destination is None:
        return None, protocol.number, port.first
    if destination.negated or destination.mask != full_mask:
        return None
    return destination.address, protocol.number, port.first
