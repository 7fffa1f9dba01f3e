"""Schemas: what is left of a region's rules and expectation when the numbers are taken out.

Addresses and ports of backends, the frontend's own address and the names of recent lists are
numbered by first use. Regions with equal schemas need one proof, which holds for all values
of the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from svcc.grammar.address import Family
from svcc.verify.model.rules import Condition
from svcc.verify.slicing.slicer import Item, RunItems
from svcc.verify.spec.outcomes import Case, Discard, Doomed, Outcome, Refuse, Serve
from svcc.verify.spec.packet_conditions import (
    Atom,
    DestinationIn,
    FromNode,
    FromPod,
    PortIn,
    ProtocolIn,
    SourceIn,
)


class SchemaItem(NamedTuple):
    """An item of a slice with its numbers taken out."""

    conditions: tuple[Condition, ...]
    action: tuple[Any, ...]
    body: tuple[SchemaItem, ...]


class SharedItems(tuple[SchemaItem, ...]):
    """Items that the schemas of many regions share: hashed once."""

    def __hash__(self) -> int:
        found: int | None = self.__dict__.get("hash")
        if found is None:
            found = self.__dict__["hash"] = tuple.__hash__(self)
        return found


class Hook(NamedTuple):
    """One base chain: ``drops`` if its policy is DROP."""

    table: str
    chain: str
    items: tuple[SchemaItem, ...]
    drops: bool


class SchemaCase(NamedTuple):
    """A case of the expectation, its networks and backends numbered."""

    condition: tuple[tuple[Any, ...], ...]
    allowed: tuple[tuple[Any, ...], ...]


class Schema(NamedTuple):
    """A region as the solver sees it.

    ``rewriting`` are the hooks up to nat, ``inward`` those of a packet that ends on the node,
    ``onward`` those of one that leaves it (all of OUTPUT and POSTROUTING for the node's own
    packets, which pass ``inward`` afterwards if they end on the node).
    ``fixed_destination``: host 0 is the destination; else it is any. ``fixed_port``: port 0 is
    the destination port; else it is any. ``protocol`` None: any.
    ``local``: whether the destination is an address of the node, None if it may be.
    """

    family: Family
    from_node: bool
    rewriting: tuple[Hook, ...]
    inward: tuple[Hook, ...]
    onward: tuple[Hook, ...]
    cases: tuple[SchemaCase, ...]
    fixed_destination: bool
    fixed_port: bool
    protocol: int | None
    local: bool | None
    mark: int
    node_networks: tuple[tuple[int, int], ...]
    """(address, mask) of what is known to be local."""
    state: str = "NEW"
    """The packets' conntrack state."""
    facts: tuple[tuple[int, int, tuple[bool, ...]], ...] = ()
    """(address, mask, whether each numbered host lies inside) of the networks that conditions
    on the destination name: true of every region that has this schema."""
    marked: bool = False
    """Whether the packets arrive with the masquerade mark; else without."""
    balanced: tuple[SchemaItem, ...] = ()
    """The virtual servers that the packet may meet."""
    resent: tuple[Hook, ...] = ()
    """The hooks that what IPVS sends on passes once more, POSTROUTING aside."""
    local_hosts: tuple[int, ...] = ()
    """Numbered hosts that are known to be the node's own."""
    foreign_marks: tuple[tuple[int, int], ...] = ()
    """Marks (value, mask) with which no packet arrives."""


@dataclass(slots=True)
class Numbering:
    """The numbers that were taken out: value → number, in order of first use."""

    full_mask: int
    hosts: dict[int, int] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    lists: dict[str, int] = field(default_factory=dict)
    networks: dict[tuple[int, int], None] = field(default_factory=dict)
    """Networks that conditions on the destination name, in order of first use."""
    default_port: int | None = None
    """The region's one port: what DNAT without a port leaves in place."""
    _known: dict[int, tuple[tuple[Item, ...], tuple[SchemaItem, ...]]] = field(default_factory=dict)

    def host(self, value: int) -> int:
        """The number of an address."""
        return self.hosts.setdefault(value, len(self.hosts))

    def port(self, value: int) -> int:
        """The number of a port."""
        return self.ports.setdefault(value, len(self.ports))

    def items(self, items: tuple[Item, ...]) -> tuple[SchemaItem, ...]:
        """A slice with its numbers taken out."""
        known = self._known.get(id(items))
        if known is not None:
            return known[1]
        if isinstance(items, RunItems):
            if items.numbered is None:
                items.numbered = SharedItems(SchemaItem(i.conditions, i.action, ()) for i in items)
            assert isinstance(items.numbered, SharedItems)
            return items.numbered
        found = []
        for item in items:
            conditions = item.conditions
            action = item.action
            found.append(
                SchemaItem(
                    tuple([self._condition(c) for c in conditions]) if conditions else (),
                    self._action(action) if action[0] in _NUMBERED_ACTIONS else action,
                    self.items(item.body) if item.body else (),
                )
            )
        result = tuple(found)
        self._known[id(items)] = (items, result)
        return result

    def shared_items(
        self, items: tuple[Item, ...], places: Sequence[tuple[int, int]]
    ) -> SharedItems:
        """A slice that other regions share: it names no address or port of this one.

        ``places`` are the numbers of address and port of each box that the slice is of.
        """
        values = {number: value for value, number in self.hosts.items()}
        ports = {number: value for value, number in self.ports.items()}
        own = [(h, values[h], p, ports[p]) for h, p in dict.fromkeys(places)]

        def shared(condition: Condition) -> Condition:
            kind = condition[0]
            if kind == "dst":
                _, address, mask, negated = condition
                inside = [h for h, value, _, _ in own if value & mask == address]
                return ("dst_in", tuple(dict.fromkeys(inside)), negated)
            if kind == "dport":
                _, first, last, negated = condition
                inside = [p for _, _, p, value in own if first <= value <= last]
                return ("dport_in", tuple(dict.fromkeys(inside)), negated)
            return condition

        def walk(items: tuple[Item, ...]) -> tuple[SchemaItem, ...]:
            return tuple(
                SchemaItem(tuple(map(shared, i.conditions)), i.action, walk(i.body)) for i in items
            )

        return SharedItems(walk(items))

    def _condition(self, condition: Condition) -> Condition:
        kind = condition[0]
        if kind in ("src", "dst", "osrc", "odst", "vdst"):
            _, address, mask, negated = condition
            if mask == self.full_mask and address in self.hosts:
                return (kind + "_host", self.hosts[address], negated)
            if kind in ("dst", "vdst"):
                self.networks[address, mask] = None
        elif kind in ("dport", "odport", "vport"):
            _, first, last, negated = condition
            if first == last and first in self.ports:
                return (kind + "_number", self.ports[first], negated)
        elif kind == "place":
            _, places, negated = condition
            numbered = tuple(
                (None if address is None else self.host(address), self.port(port))
                for address, port in places
            )
            return (kind, numbered, negated)
        elif kind == "members":
            _, members, negated = condition
            return (kind, tuple(self._member(*member) for member in members), negated)
        elif kind == "recent":
            _, operation, name, seconds, negated = condition
            number = self.lists.setdefault(name, len(self.lists))
            return (kind, operation, number, seconds, negated)
        return condition

    def _member(
        self, address: int, mask: int, protocol: int, port: int, source: int, source_mask: int
    ) -> tuple[Any, ...]:
        def block(kind: str, value: int, bits: int) -> Condition | None:
            if not bits:
                return None
            if bits == self.full_mask and value in self.hosts:
                return (kind + "_host", self.hosts[value], False)
            return (kind, value, bits, False)

        number: Condition | None = ("dport", port, port, False) if port >= 0 else None
        if port in self.ports:
            number = ("dport_number", self.ports[port], False)
        protocols = {-1: None, 0: (6, 17)}.get(protocol, (protocol,))
        of = None if protocols is None else tuple(("proto", n, False) for n in protocols)
        return (
            block("dst", address, mask),
            None if of is None else ("any", of, False),
            number,
            block("src", source, source_mask),
        )

    def _action(self, action: tuple[Any, ...]) -> tuple[Any, ...]:
        if action[0] == "dnat":
            return ("dnat", *self._place(action[1], action[2]))
        _, choices, timeout = action
        numbered = tuple((*self._place(a, p), weight) for a, p, weight in choices)
        return ("balance", numbered, timeout)

    def _place(self, address: int, port: int | None) -> tuple[int, int | None]:
        port = self.default_port if port is None else port
        return self.host(address), None if port is None else self.port(port)

    def facts(self) -> tuple[tuple[int, int, tuple[bool, ...]], ...]:
        """Which hosts lie in which of the networks; see :attr:`Schema.facts`."""
        return tuple(
            (address, mask, tuple(host & mask == address for host in self.hosts))
            for address, mask in self.networks
        )

    def cases(self, cases: tuple[Case, ...]) -> tuple[SchemaCase, ...]:
        """An expectation with its numbers taken out."""
        return tuple(
            SchemaCase(
                tuple(self._atom(atom) for atom in case.condition),
                tuple(self._outcome(outcome) for outcome in case.allowed),
            )
            for case in cases
        )

    def _atom(self, atom: Atom) -> tuple[Any, ...]:
        if isinstance(atom, FromNode):
            return ("node", atom.negated)
        if isinstance(atom, FromPod):
            return ("iif", atom.interface, atom.negated)
        if isinstance(atom, ProtocolIn):
            return ("any", tuple(("proto", n, False) for n in atom.numbers), atom.negated)
        if isinstance(atom, PortIn):
            ports = tuple(("odport", n, n, False) for n in atom.numbers)
            return ("any", ports, atom.negated)
        kind = "src" if isinstance(atom, SourceIn) else "dst"
        assert isinstance(atom, SourceIn | DestinationIn)
        parts: list[tuple[Any, ...]] = []
        for network in atom.networks:
            if network.mask == self.full_mask and network.value in self.hosts:
                parts.append((kind + "_host", self.hosts[network.value], False))
            else:
                parts.append((kind, network.value, network.mask, False))
        return ("any", tuple(parts), atom.negated)

    def _outcome(self, outcome: Outcome) -> tuple[Any, ...]:
        if isinstance(outcome, Serve):
            backends = ((self.host(b.address), self.port(b.port)) for b in outcome.backends)
            return ("serve", tuple(sorted(backends)), outcome.masquerade, outcome.affinity_timeout)
        if isinstance(outcome, Refuse):
            return ("refuse",)
        if isinstance(outcome, Discard):
            return ("discard",)
        if isinstance(outcome, Doomed):
            return ("doomed", outcome.mark)
        own = outcome.masqueraded_sources
        return ("untouched", outcome.mark_may_stay, self._atom(SourceIn(own)) if own else None)


_NUMBERED_ACTIONS = frozenset({"dnat", "balance"})
