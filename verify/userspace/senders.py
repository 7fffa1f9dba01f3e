"""Who connects: addresses that nothing in a frontend's case or in its server tells apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from svcc.grammar.address import LOOPBACK, Address, Family, Network
from svcc.verify.simulator.packet import DOCUMENTATION_SOURCE
from svcc.verify.spec.outcomes import Case
from svcc.verify.spec.packet_conditions import (
    DestinationIn,
    FromNode,
    FromPod,
    PacketCondition,
    PortIn,
    ProtocolIn,
    SourceIn,
)
from svcc.verify.userspace.evaluate import Evaluator
from svcc.verify.userspace.intervals import (
    Interval,
    cells,
    first_in_both,
    united,
    without,
)
from svcc.verify.userspace.model import Geo, Listener, Map, ProxyModel
from svcc.verify.userspace.words import network, variables


class Sender(NamedTuple):
    """One of those whom nothing tells apart."""

    source: int
    from_node: bool
    in_interface: str


def networks_of(cases: Iterable[Case], *, destinations: bool = False) -> set[Network]:
    """The networks that cases ask about."""
    kind = DestinationIn if destinations else SourceIn
    return {
        network
        for case in cases
        for atom in case.condition
        if isinstance(atom, kind)
        for network in atom.networks
    }


class Senders:
    """Who can send to frontends of one family.

    Whatever comes from a wire has no address of the node as its source: the kernel drops it
    (fib_validate_source, martian sources). Processes of the node send from the address that they
    send to, as the kernel chooses it for a local destination, or from one of the node's.
    """

    def __init__(
        self,
        model: ProxyModel,
        evaluator: Evaluator,
        family: Family,
        own: Sequence[int],
        virtual: Iterable[int],
    ) -> None:
        self._model = model
        self._evaluator = evaluator
        self._family = family
        self._own = own
        local = {Network(family, value, family.bits) for value in (*own, *virtual)}
        self._local = sorted({*local, LOOPBACK[family]})
        self._parts: dict[tuple[str, ...], list[list[Interval]]] = {}

    def of(self, listener: Listener | None, cases: Sequence[Case], to: int) -> Iterator[Sender]:
        """Senders to an address, one of each kind."""
        if not LOOPBACK[self._family].holds(Address(self._family, to)):
            yield from self._from_wires(listener, cases)
        yield from self._processes(to)

    def _from_wires(self, listener: Listener | None, cases: Sequence[Case]) -> Iterator[Sender]:
        interfaces = {
            atom.interface
            for case in cases
            for atom in case.condition
            if isinstance(atom, FromPod)
        }  # fmt: skip
        networks = networks_of(cases)
        names: tuple[str, ...] = ()
        if listener is not None:
            access = listener.server.access
            networks |= {rule.network for rule in access if rule.network is not None}
            names = tuple(sorted(set(variables(listener.server.target))))
        for parts in self._told_apart(names):
            for cell in sorted(cells(self._family, networks), key=self._is_unusual):
                source = _plausible(parts, cell, self._family)
                if source is not None:
                    for interface in ("", *sorted(interfaces)):
                        yield Sender(source, False, interface.replace("+", "0"))

    def _is_unusual(self, cell: Interval) -> bool:
        return not cell[0] <= DOCUMENTATION_SOURCE[self._family] <= cell[1]

    def _processes(self, to: int) -> Iterator[Sender]:
        first = LOOPBACK[self._family].value | 1
        for source in dict.fromkeys((to, *self._own, first)):
            yield Sender(source, True, "")

    def _told_apart(self, names: tuple[str, ...]) -> list[list[Interval]]:
        """Sources from a wire, by what variables say of them."""
        if names not in self._parts:
            by_value: dict[tuple[str, ...], list[Interval]] = {}
            networks = set[Network]().union(*(self._networks(name) for name in names))
            for cell in without(cells(self._family, networks), self._local):
                source = Address(self._family, cell[0])
                values = (self._evaluator.variable(name, source) for name in names)
                by_value.setdefault(tuple(map(str, values)), []).append(cell)
            self._parts[names] = [list(united(parts)) for parts in by_value.values()]
        return self._parts[names]

    def _networks(self, name: str, depth: int = 0) -> set[Network]:
        variable = self._model.variables.get(name)
        match variable:
            case Geo():
                return set(variable.values)
            case Map() if depth < len(self._model.variables):
                inner = (self._networks(each, depth + 1) for each in variables(variable.of))
                found = set[Network]().union(*inner)
                if "remote_addr" in variables(variable.of):
                    found.update(_named_in(variable))
                return found
            case _:
                return set()


def _named_in(variable: Map) -> Iterator[Network]:
    """The addresses that a map names."""
    return (of for text in variable.values if (of := network(text)) is not None)


def _plausible(parts: Sequence[Interval], cell: Interval, family: Family) -> int | None:
    """An address of a cell that lies in one of the parts: one for documentation, if there is."""
    shown = DOCUMENTATION_SOURCE[family]
    if cell[0] <= shown <= cell[1] and first_in_both(parts, (shown, shown)) is not None:
        return shown
    return first_in_both(parts, cell)


def is_met(condition: PacketCondition, sender: Sender, to: int, family: Family) -> bool:
    """Whether a condition holds of a packet to a frontend's own protocol and port."""
    for atom in condition:
        match atom:
            case SourceIn():
                held = _in(atom.networks, family, sender.source)
            case DestinationIn():
                held = _in(atom.networks, family, to)
            case FromNode():
                held = sender.from_node
            case FromPod():
                held = not sender.from_node and _matches(atom.interface, sender.in_interface)
            case ProtocolIn() | PortIn():
                raise ValueError("statements of a policy are not judged in userspace mode")
        if held == atom.negated:
            return False
    return True


def destinations(cases: Sequence[Case], family: Family, known: Iterable[int]) -> Iterator[int]:
    """Addresses that a node may have beside the known ones, one of each that cases tell apart."""
    taken = [Network(family, value, family.bits) for value in known]
    for cell in cells(family, {*networks_of(cases, destinations=True), LOOPBACK[family]}):
        for first, _ in without([cell], taken)[:1]:
            yield first


def _in(networks: Iterable[Network], family: Family, value: int) -> bool:
    return any(network.holds(Address(family, value)) for network in networks)


def _matches(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern
