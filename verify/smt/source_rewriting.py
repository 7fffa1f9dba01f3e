"""The source of a packet behind the rules that rewrite it."""

from __future__ import annotations

from svcc.grammar.address import Family
from svcc.verify.slicing.schema import Schema
from svcc.verify.smt.packet_variables import PORT
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    Term,
    bit_vector,
    bits,
    conjunction,
    equal,
    implies,
    in_network,
    ite,
    negate,
)
from svcc.verify.smt.terms import Terms


class SourceRewriting(Terms):
    """Terms, with what is known of a rewritten source."""

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        self._rewrites: list[tuple[Term, str | int, str | int]] = []
        """(fires, address, port) of every rule that rewrites the source."""

    def _rewrite_source(self) -> None:
        """Name the packet's source as it is when it comes in on loopback."""
        if not self._rewrites:
            return
        packet = self.packet
        source, port, local = packet.src, packet.sport, self._source_local
        for fires, address, new_port in self._rewrites:
            if isinstance(address, int):
                new = self.address(address)
                if not any(address & mask == n for n, mask in self.schema.node_networks):
                    local = ite(fires, self._declare(f"own_at_{address}", BOOL), local)
            else:
                new = self._some_source(address)
            source = ite(fires, new, source)
            if isinstance(new_port, int):
                port = ite(fires, bits(new_port, 16), port)
            elif new_port == "any":
                port = ite(fires, self._declare("any_port", PORT), port)
        any_port = self.declared.get("any_port")
        if any_port is not None:
            self._assert(negate(equal(any_port, packet.sport)))
        self._source = self.define(source)
        self._source_port = self.define(port)
        self._source_local = self.define(local)
        self._moved = self.define(negate(equal(self._source, packet.src)))
        unchanged = conjunction([negate(self._moved), equal(self._source_port, packet.sport)])
        self._new_source = self.define(negate(unchanged))

    def _some_source(self, of: str) -> Term:
        """A source that is not known: one of the node's own, or any other."""
        symbol = f"{of}_source"
        known = self.declared.get(symbol)
        if known is None:
            known = self._declare(symbol, bit_vector(self.width))
            if of == "own":
                loopback = self.schema.node_networks[0]
                self._assert(implies(in_network(known, *loopback), self._loops()))
        return known

    def _loops(self) -> Term:
        """MASQUERADE may choose loopback: IPv4 never does (inet_select_addr), IPv6 on the way to
        ::1 (RFC 6724, rule 1)."""
        if self.schema.family is Family.IPV4:
            return FALSE
        return in_network(self._destination, *self.schema.node_networks[0])
