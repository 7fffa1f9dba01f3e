"""Terms over a packet's destination: address, protocol, port, and whether it is local."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple, assert_never

from svcc.verify.model.conditions import (
    AnyOf,
    Bpf,
    Condition,
    Connection,
    Destination,
    DestinationLocal,
    DestinationPort,
    InInterface,
    InSet,
    Mark,
    Never,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    OutInterface,
    PortList,
    Probability,
    Protocol,
    Recent,
    SentByIpvs,
    Source,
    SourceLocal,
    SourcePort,
    State,
    Unknown,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.regions import Regions
from svcc.verify.smt.packet_variables import PORT, packet_variables
from svcc.verify.smt.script import Declaration, Script
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    Term,
    between,
    bit_vector,
    bits,
    boolean,
    bvule,
    conjunction,
    constant,
    disjunction,
    has_value,
    implies,
    in_network,
    negate,
)

Flags = tuple[bool, bool]
"""Whether node ports, and whether virtual IPs, are judged elsewhere."""


class _Destination(NamedTuple):
    address: Term
    port: Term
    local: Term


class BoxTerms:
    """Terms on ``dst``, ``proto``, ``dport`` and ``local``; ``odst``, ``odport`` and ``olocal``
    are the destination before translation.
    """

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._width = regions.family.bits
        packet = packet_variables(self._width)
        self._protocol = packet.proto
        self._present = _Destination(packet.dst, packet.dport, packet.local)
        self._original = _Destination(
            constant("odst", bit_vector(self._width)),
            constant("odport", PORT),
            constant("olocal", BOOL),
        )
        self._ports: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for address, protocol, port in regions.addresses:
            self._ports[address].append((protocol, port))

    def script(self) -> Script:
        """The declarations."""
        constants = (*self._present, *self._original, self._protocol)
        return Script(Declaration(constant) for constant in constants)

    def boxes(self, boxes: Iterable[Box]) -> Term:
        """The packet is in one of the boxes."""
        return disjunction([self.box(box) for box in boxes])

    def box(self, box: Box) -> Term:
        """The packet is in a box."""
        return self._box(box, self._present)

    def came_as(self, original: Box) -> Term:
        """The packet was in a box before it was translated."""
        return self._box(original, self._original)

    def came_for(self, addresses: Iterable[int]) -> list[Term]:
        """The packet was addressed to one of them before it was translated."""
        full = (1 << self._width) - 1
        return [in_network(self._original.address, address, full) for address in addresses]

    def _box(self, box: Box, destination: _Destination) -> Term:
        parts = []
        if box.mask:
            parts.append(in_network(destination.address, box.address, box.mask))
        if box.protocol is not None:
            parts.append(has_value(self._protocol, box.protocol))
        if (box.first_port, box.last_port) != (0, 65535):
            parts.append(between(destination.port, box.first_port, box.last_port))
        if box.local is not None:
            parts.append(negate(destination.local, not box.local))
        return conjunction(parts)

    def at_least(self, address: int) -> Term:
        """The destination is not below an address."""
        return bvule(bits(address, self._width), self._present.address)

    def at_most(self, address: int) -> Term:
        """The destination is not above an address."""
        return bvule(self._present.address, bits(address, self._width))

    def condition(self, condition: Condition, state: str) -> Term | None:
        """A rule's condition; None if it is about something else."""
        match condition:
            case Never():
                return FALSE
            case Destination(address, mask, negated):
                return negate(in_network(self._present.address, address, mask), negated)
            case OriginalDestination(address, mask, negated):
                return negate(in_network(self._original.address, address, mask), negated)
            case DestinationPort(first, last, negated):
                return negate(between(self._present.port, first, last), negated)
            case OriginalPort(first, last, negated):
                return negate(between(self._original.port, first, last), negated)
            case Protocol(number, negated):
                return negate(has_value(self._protocol, number), negated)
            case DestinationLocal(negated):
                return negate(self._present.local, negated)
            case State(states, negated):
                if not self._regions.rules.tracks_all:
                    return None
                if state in states:
                    return boolean(not negated)
                return boolean(negated) if not {"DNAT", "SNAT"} & set(states) else None
            case AnyOf(parts, negated):
                terms = [self.condition(part, state) for part in parts]
                known = [term for term in terms if term is not None]
                return negate(disjunction(known), negated) if len(known) == len(terms) else None
            case (
                Source()
                | SourcePort()
                | SourceLocal()
                | OriginalSource()
                | InInterface()
                | OutInterface()
                | Mark()
                | Probability()
                | PortList()
                | Connection()
                | Recent()
                | InSet()
                | Bpf()
                | SentByIpvs()
                | VirtualDestination()
                | VirtualPort()
                | Unknown()
            ):
                return None
            case _:
                assert_never(condition)

    def locality(self, addresses: Collection[int]) -> list[Term]:
        """What is assumed of addresses that are the node's or are not, where these are named."""
        return [
            *self._locality(addresses, self._present),
            *self._locality(addresses, self._original),
        ]

    def _locality(self, addresses: Collection[int], destination: _Destination) -> list[Term]:
        regions, full = self._regions, (1 << self._width) - 1
        facts = [
            implies(in_network(destination.address, value, mask), destination.local)
            for value, mask in regions.node_networks
        ]
        for address in addresses:
            at = in_network(destination.address, address, full)
            if address in regions.virtual_ips:
                facts.append(implies(at, destination.local))
            elif regions.never_local(address):
                facts.append(implies(at, negate(destination.local)))
        return facts

    def judged_elsewhere(
        self, addresses: Collection[int], ports: Collection[int], flags: Flags
    ) -> list[Term]:
        """The packets that have regions of their own, where addresses or ports are named."""
        regions, full = self._regions, (1 << self._width) - 1
        node_ports, virtual_ips = flags
        found = []
        for address in addresses:
            at = in_network(self._present.address, address, full)
            if virtual_ips and address in regions.apart:
                found.append(at)
                continue
            found += [
                self.box(Box(address, full, protocol, port, port))
                for protocol, port in self._ports.get(address, ())
            ]
        if node_ports:
            found += [
                self.box(Box(0, 0, protocol, port, port, local=True))
                for protocol, port in regions.node_ports
                if port in ports
            ]
        return found
