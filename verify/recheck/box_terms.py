"""SMT-LIB terms over a packet's destination: address, protocol, port, and whether it is local."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from svcc.verify.model.rules import Condition
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.regions import Regions
from svcc.verify.smt.terms import between, conjunction, disjunction, negate

Flags = tuple[bool, bool]
"""Whether node ports, and whether virtual IPs, are judged elsewhere."""


class BoxTerms:
    """Terms on ``dst``, ``proto``, ``dport`` and ``local``; ``odst``, ``odport`` and ``olocal``
    are the destination before translation.
    """

    def __init__(self, regions: Regions) -> None:
        self._regions = regions
        self._width = regions.family.bits
        self._ports: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for address, protocol, port in regions.addresses:
            self._ports[address].append((protocol, port))

    def header(self) -> list[str]:
        """The declarations."""
        address, port = f"(_ BitVec {self._width})", "(_ BitVec 16)"
        sorts = {"dst": address, "odst": address, "proto": "(_ BitVec 8)", "local": "Bool"}
        sorts |= {"dport": port, "odport": port, "olocal": "Bool"}
        return [f"(declare-const {name} {sort})" for name, sort in sorts.items()]

    def boxes(self, boxes: Iterable[Box]) -> str:
        """The packet is in one of the boxes."""
        return disjunction([self.box(box) for box in boxes])

    def box(self, box: Box, before: str = "") -> str:
        """The packet is in a box."""
        parts = [self.inside(f"{before}dst", box.address, box.mask)] if box.mask else []
        if box.protocol is not None:
            parts.append(f"(= proto (_ bv{box.protocol} 8))")
        if (box.first_port, box.last_port) != (0, 65535):
            parts.append(between(f"{before}dport", box.first_port, box.last_port))
        if box.local is not None:
            parts.append(negate(f"{before}local", not box.local))
        return conjunction(parts)

    def came_as(self, original: Box) -> str:
        """The packet was in a box before it was translated."""
        return self.box(original, "o")

    def inside(self, variable: str, address: int, mask: int) -> str:
        """An address is in a network."""
        full = (1 << self._width) - 1
        value = f"(_ bv{address & mask} {self._width})"
        if mask == full:
            return f"(= {variable} {value})"
        return f"(= (bvand {variable} (_ bv{mask} {self._width})) {value})"

    def at_least(self, address: int) -> str:
        """The destination is not below an address."""
        return f"(bvule (_ bv{address} {self._width}) dst)"

    def at_most(self, address: int) -> str:
        """The destination is not above an address."""
        return f"(bvule dst (_ bv{address} {self._width}))"

    def condition(self, condition: Condition, state: str) -> str | None:
        """A rule's condition; None if it is about something else."""
        kind, *rest = condition
        if kind == "never":
            return "false"
        if kind in ("dst", "odst"):
            address, mask, negated = rest
            return negate(self.inside(kind, address, mask), negated)
        if kind in ("dport", "odport"):
            first, last, negated = rest
            return negate(between(kind, first, last), negated)
        if kind == "proto":
            return negate(f"(= proto (_ bv{rest[0]} 8))", rest[1])
        if kind == "dstlocal":
            return negate("local", rest[0])
        if kind == "state" and self._regions.rules.tracks_all:
            states, negated = rest
            if state in states:
                return negate("true", negated)
            return negate("false", negated) if not {"DNAT", "SNAT"} & set(states) else None
        if kind == "any":
            parts = [self.condition(part, state) for part in rest[0]]
            known = [part for part in parts if part is not None]
            return negate(disjunction(known), rest[1]) if len(known) == len(parts) else None
        return None

    def locality(self, addresses: Collection[int]) -> list[str]:
        """What is assumed of addresses that are the node's or are not, where these are named."""
        return [*self._locality(addresses, ""), *self._locality(addresses, "o")]

    def _locality(self, addresses: Collection[int], before: str) -> list[str]:
        regions, full = self._regions, (1 << self._width) - 1
        variable, local = f"{before}dst", f"{before}local"
        facts = [
            f"(=> {self.inside(variable, value, mask)} {local})"
            for value, mask in regions.node_networks
        ]
        for address in addresses:
            at = self.inside(variable, address, full)
            if address in regions.virtual_ips:
                facts.append(f"(=> {at} {local})")
            elif regions.never_local(address):
                facts.append(f"(=> {at} (not {local}))")
        return facts

    def judged_elsewhere(
        self, addresses: Collection[int], ports: Collection[int], flags: Flags
    ) -> list[str]:
        """The packets that have regions of their own, where addresses or ports are named."""
        regions, full = self._regions, (1 << self._width) - 1
        node_ports, virtual_ips = flags
        found = []
        for address in addresses:
            at = self.inside("dst", address, full)
            if virtual_ips and address in regions.virtual_ips:
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
