"""Frontends that rules name, whether objects declare them or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from svcc.grammar.iptables.program import Comment
from svcc.verify.model.rules import IndexedRules, Record
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation


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
    known = {c[0]: c[1:] for c in record.conditions if c[0] in ("dst", "proto", "dport")}
    if "dport" not in known or "proto" not in known:
        return None
    (protocol, other_protocols), (first, last, other_ports) = known["proto"], known["dport"]
    if other_protocols or other_ports or first != last or protocol not in (6, 17, 132):
        return None
    address, mask, others = known.get("dst", (None, full_mask, False))
    return None if others or mask != full_mask else (address, protocol, first)
