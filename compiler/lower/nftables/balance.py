"""Which backend a packet is sent to.

Backends are elements: the random choice is part of the key of a map from frontends to backends.
There is a map and a chain for each number of backends, so that one endpoint more or less changes
a few elements. ``numgen random`` gives each number below its modulus the same chance (within
2**-32; nft_numgen.c), so no probability has to be rounded.

A Service port with affinity has a chain of its own, and each of its backends a chain and a set of
clients: a look-up in a map does not renew what it finds, ``update`` of a set does (nft_dynset.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from svcc.compiler.lower.nftables.table import TableWriter
from svcc.compiler.lower.nftables.terms import PORT, Terms, one_of, port, protocol
from svcc.compiler.lower.shared.names import digest
from svcc.compiler.resolve.forwarding import Backend, ServicePort
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Concatenation,
    DynamicSet,
    Element,
    Expression,
    Field,
    Goto,
    MapLookup,
    Match,
    Nat,
    Number,
    SetReference,
    Types,
    VerdictMap,
)

MAX_CLIENTS = 65535
"""Clients that each backend remembers; kube-proxy's number (pkg/proxy/nftables/proxier.go)."""


@dataclass(frozen=True, slots=True)
class FrontendKind:
    """How frontends of a kind are found: by which fields of a packet.

    ``prefix`` begins the names of what is theirs alone.
    """

    prefix: str
    fields: Concatenation
    types: Types


@dataclass(frozen=True, slots=True)
class Frontend:
    """A frontend as a key of maps."""

    kind: FrontendKind
    values: tuple[Expression, ...]

    @property
    def key(self) -> Concatenation:
        """As an element has it."""
        return Concatenation(self.values)


class Balance:
    """Writes the maps and chains that choose a backend, each once."""

    def __init__(self, table: TableWriter, terms: Terms) -> None:
        self._table = table
        self._terms = terms
        self._backend = Concatenation((terms.destination, PORT))

    def choose(
        self,
        frontend: Frontend,
        service: ServicePort,
        backends: Sequence[Backend],
        *,
        local: bool,
    ) -> Goto:
        """Where packets to a frontend go that are served by these backends.

        ``local``: they are those of Local policy, which a frontend may have beside the others.
        """
        if service.affinity_timeout is not None:
            return Goto(self._sticky(service, backends, service.affinity_timeout, local=local))
        kind = frontend.kind
        kind_of_map = f"{kind.prefix}{'local-' if local else ''}"
        name = f"{kind_of_map}backends-{len(backends)}"
        choice = Concatenation((*kind.fields.parts, one_of(len(backends))))
        found = self._table.collection(name, choice, self._backend)
        for number, backend in enumerate(backends):
            found.add(
                Concatenation((*frontend.values, Number(number))),
                Concatenation((self._terms.address(backend.address), port(backend.port))),
            )
        translate = Nat("dnat", self._terms.word, MapLookup(choice, SetReference(name)))
        return Goto(self._table.chain(f"{kind_of_map}balance-{len(backends)}", (translate,)))

    def _sticky(
        self, service: ServicePort, backends: Sequence[Backend], timeout: int, *, local: bool
    ) -> str:
        table = self._table
        name = f"sticky-{'local-' if local else ''}{digest(identity(service))}"
        if name in table.table.chains:
            return name
        ends = [self._remembering(service, backend, timeout) for backend in backends]
        returning = [
            (Match(self._terms.source, "==", SetReference(clients)), Goto(chain))
            for clients, chain in ends
        ]
        chances = tuple(Element(Number(i), Goto(chain)) for i, (_, chain) in enumerate(ends))
        first = VerdictMap(one_of(len(backends)), AnonymousSet(chances))
        comment = table.comment(f"{service.label} with affinity")
        return table.chain(name, *returning, (first,), comment=comment)

    def _remembering(self, service: ServicePort, backend: Backend, timeout: int) -> tuple[str, str]:
        """The clients of a backend, and the chain that sends a packet there and remembers it."""
        table, terms = self._table, self._terms
        address = terms.address(backend.address)
        number = digest(f"{identity(service)} {address} {backend.port}")
        clients, chain = f"clients-{number}", f"backend-{number}"
        if clients not in table.table.sets:
            made = table.collection(clients, Types((terms.address_type,)))
            made.flags = frozenset({"dynamic", "timeout"})
            made.size = MAX_CLIENTS
            made.timeout = timeout * 1000
        table.chain(
            chain,
            (DynamicSet("update", clients, terms.source),),
            (
                Match(Field("meta l4proto"), "==", protocol(service.protocol)),
                Nat("dnat", None, address, port(backend.port)),
            ),
            comment=table.comment(f"{service.label} backend"),
        )
        return clients, chain


def identity(service: ServicePort) -> str:
    """What tells a Service port from all others."""
    return f"{service.label}/{service.protocol}/{service.family.label}"
