"""What the cut of a region depends on, with its numbers taken out.

A cut is a function of the rules that can touch the region's packets: those that are told to
everybody, of which only the side of each network and stretch of ports counts that an address and a
port lie on, and the rows (:mod:`svcc.verify.signatures.rows`) of the region's address and port and
of all that they translate to. Regions with equal signatures have equal schemas: what is proved of
one holds for all of them, and only one has to be cut.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from svcc.grammar.address import Network
from svcc.grammar.ipvs.ipset import Entry, PortOf
from svcc.verify.model.actions import Dnat
from svcc.verify.model.conditions import (
    Condition,
    Destination,
    DestinationPort,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    Protocol,
    Recent,
    Source,
)
from svcc.verify.model.rules import Record
from svcc.verify.model.sets import MAX_WRITTEN
from svcc.verify.signatures.rows import Rows, inside
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.cutter import Cut, Cutter
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec.outcomes import Case, Serve
from svcc.verify.spec.packet_conditions import DestinationIn, SourceIn

Form = tuple[object, ...]
"""Something of a signature: numbers and tuples of them, in an order that says which is what."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A region's signature. ``places`` are the addresses and ports that it speaks of: the region's
    own, and where its packets may be sent."""

    number: int
    from_node: bool
    places: frozenset[tuple[int, int]] = field(compare=False)

    def is_whole(self, cut: Cut) -> bool:
        """Whether the region's packets are sent nowhere that the signature does not speak of, and
        everywhere that it does, since what no packet is sent to has no number in the schema; and
        no list remembers them.
        """
        own, *boxes = cut.boxes
        reached = {(box.address, box.first_port) for box in boxes}
        return (
            not cut.numbering.lists
            and all(box.first_port == box.last_port for box in boxes)
            and reached <= self.places
            and self.places <= reached | {(own.address, own.first_port)}
        )


@dataclass(slots=True)
class _Numbers:
    """Addresses and ports of one region by number; others stand for themselves, below zero."""

    hosts: dict[int, int]
    ports: dict[int, int]

    def host(self, address: int) -> int:
        return self.hosts.get(address, ~address)

    def network(self, network: Network) -> int | Network:
        """The number of a network of one address, if it has one."""
        if network.prefix_length == network.family.bits:
            return self.hosts.get(network.value, network)
        return network

    def port(self, port: int) -> int:
        return self.ports.get(port, ~port)


class Signatures:
    """The signatures of the regions of one rule set."""

    def __init__(self, regions: Regions, cutter: Cutter) -> None:
        self._regions = regions
        self._full_mask = regions.full_mask
        self._rows = Rows(regions.rules, regions.node_networks)
        self._is_usable = (
            self._rows.is_usable and regions.visits is None and not regions.virtual_ips
        )
        self._shared_chains = cutter.shared_chains
        self._literals: dict[object, int] = {}
        self._by_identity: dict[int, tuple[int, object]] = {}
        self._numbers: dict[Form, int] = {}
        self._last: (
            tuple[Box, tuple[Case, ...], tuple[int, frozenset[tuple[int, int]]] | None] | None
        ) = None
        self._declared: dict[int, list[tuple[int, int]]] = {}
        self._declared_ports: set[int] = set()
        for address, protocol, port in regions.addresses:
            self._declared.setdefault(address, []).append((protocol, port))
            self._declared_ports.add(port)
        rows = self._rows
        self._told_ports = rows.told.bounds | rows.ports
        self._never_local = regions.cluster_ips - regions.virtual_ips
        self._rows_on_node = rows.by_port_but_of(self._never_local)
        self._node_ports_are_told = regions.apart.issuperset(
            rows.originals
        ) and self._never_local.issuperset(rows.portless)

        self._written_out = frozenset(
            name
            for name, of_set in rows.set_addresses.items()
            if sum(address not in regions.apart for address in of_set) <= MAX_WRITTEN
        )
        """Sets whose entries conditions may name one by one, those of other regions too."""

    def of(self, region: Region) -> Signature | None:
        """A region's signature; None: it has to be cut itself."""
        if not self._is_usable or (region.of_nobody and region.virtual_ip is None):
            return None
        if self._last is None or self._last[:2] != (region.box, region.cases):
            # Both directions of a frontend come one after the other.
            self._last = region.box, region.cases, self._both_ways(region)
        found = self._last[2]
        return None if found is None else Signature(found[0], region.from_node, found[1])

    def _both_ways(self, region: Region) -> tuple[int, frozenset[tuple[int, int]]] | None:
        try:
            if region.virtual_ip is not None:
                found = self._of_virtual_ip(region)
            elif region.box.mask:
                found = self._of_address(region)
            else:
                found = self._of_node_port(region)
        except RecursionError:
            return None
        if found is None:
            return None
        form, places = found
        return self._numbers.setdefault(form, len(self._numbers)), places

    # -- kinds of regions ------------------------------------------------------------------

    def _of_address(self, region: Region) -> tuple[Form, frozenset[tuple[int, int]]] | None:
        box, rows = region.box, self._rows
        address, port = box.address, box.first_port
        numbers = [*rows.of_address(address), *rows.of_port(port)]
        own = self._within(numbers, box.protocol, ((address, port),))
        # Those may ask for ports that packets are sent to.
        own += rows.of_original(address)
        return self._of_frontend(region, own, [(address, port)])

    def _of_node_port(self, region: Region) -> tuple[Form, frozenset[tuple[int, int]]] | None:
        box, rows = region.box, self._rows
        port = box.first_port
        if not self._node_ports_are_told or port in self._declared_ports or port in rows.set_ports:
            return None
        numbers = [*rows.of_port(port), *self._rows_on_node.get(port, ())]
        own = self._within(numbers, box.protocol, None)
        found = self._of_frontend(region, own, [])
        if found is None:
            return None
        for target, _ in found[1]:
            if target in self._declared or target in self._regions.apart:
                return None
            if target in rows.sources:
                return None
            if any(row.name in self._written_out for row in rows.of_sets(target)):
                return None
        return found

    def _of_frontend(
        self, region: Region, own: list[int], places: list[tuple[int, int]]
    ) -> tuple[Form, frozenset[tuple[int, int]]] | None:
        box, rows = region.box, self._rows
        port = box.first_port
        parts = {number: inside(rows, rows.record(number)) for number in own}
        targets: dict[tuple[int, int], None] = {}
        for number in sorted(own):
            for record in parts[number]:
                if record is not None and isinstance(record.action, Dnat):
                    action = record.action
                    targets[action.address, port if action.port is None else action.port] = None
        places = list(dict.fromkeys([*places, *targets]))
        numbers = _Numbers({}, {port: 0})
        for address, at in places:
            numbers.hosts.setdefault(address, len(numbers.hosts))
            numbers.ports.setdefault(at, len(numbers.ports))
        added = self._of_targets(targets, own, box.protocol)
        for number in added:
            parts[number] = inside(rows, rows.record(number))
            if any(r is not None and isinstance(r.action, Dnat) for r in parts[number]):
                return None
        cases = self._cases(region.cases, numbers)
        if cases is None:
            return None
        form = (
            box.mask != 0,
            box.protocol,
            box.local,
            rows.told.stretch(port),
            cases,
            tuple([self._place(address, at) for address, at in places]),
            tuple([self._row(number, parts[number], numbers) for number in sorted(parts)]),
            tuple([self._sets(address, numbers) for address in numbers.hosts]),
        )
        return form, frozenset(places)

    def _of_targets(
        self, targets: Iterable[tuple[int, int]], own: list[int], protocol: int | None
    ) -> list[int]:
        """The rows about where packets are sent that are not about the region itself."""
        rows = self._rows
        found: dict[int, None] = {}
        for address, port in targets:
            numbers = [*rows.of_address(address), *rows.of_port(port)]
            if numbers:
                found.update(dict.fromkeys(self._within(numbers, protocol, targets)))
        return [number for number in found if number not in own]

    def _of_virtual_ip(self, region: Region) -> tuple[Form, frozenset[tuple[int, int]]] | None:
        box, rows = region.box, self._rows
        address = box.address
        if address in rows.mentioned:
            return None
        numbers = _Numbers({address: 0}, {})
        parts: dict[int, list[Record | None]] = {}
        judged = self._declared.get(address, ())
        for number in (*rows.of_address(address), *rows.of_original(address)):
            record = rows.record(number)
            if not _asks_for_one_of(record, judged):
                parts[number] = inside(rows, record)
        # What rules narrow down to a frontend is judged there: which they are counts where any rule
        # asks for a port of theirs.
        told = self._told_ports
        declared = [pair for pair in judged if parts or pair[1] in told]
        form = (
            "virtual IP",
            box.local,
            self._literal(region.cases),
            rows.told.networks(address),
            tuple(sorted(declared)),
            tuple([self._row(number, parts[number], numbers) for number in sorted(parts)]),
            self._sets(address, numbers, besides=judged),
        )
        return form, frozenset()

    def _within(
        self,
        numbers: Iterable[int],
        protocol: int | None,
        places: Iterable[tuple[int, int]] | None,
    ) -> list[int]:
        """The rows that packets with one of some ports and a protocol can fulfil."""
        ports = None if places is None else {port for _, port in places}
        found = []
        for number in numbers:
            for condition in self._rows.record(number).conditions:
                kind = type(condition)
                if kind is Protocol:
                    assert isinstance(condition, Protocol)
                    if (condition.number == protocol) == condition.negated:
                        break
                elif kind is DestinationPort and ports is not None:
                    assert isinstance(condition, DestinationPort)
                    if (
                        condition.first == condition.last
                        and not condition.negated
                        and condition.first not in ports
                    ):
                        break
            else:
                found.append(number)
        return found

    # -- parts -----------------------------------------------------------------------------

    def _place(self, address: int, port: int) -> Form:
        """What rules that are told to everybody see of an address and port, and whether it may be
        the node's: the node's own networks are told as well.
        """
        told = self._rows.told
        return told.networks(address), told.stretch(port), address in self._never_local

    def _row(self, number: int, parts: Sequence[Record | None], numbers: _Numbers) -> Form:
        chain, place, rank, run = self._rows.place(number)
        # In what regions share, senders are not numbered.
        literal = run >= 0 or place in self._shared_chains
        record = self._record
        forms = [
            None
            if part is None
            else 0
            if self._is_elsewhere(part, numbers)
            else record(part, numbers, literal)
            for part in parts
        ]
        return (chain, rank, run, *forms)

    def _is_elsewhere(self, record: Record, numbers: _Numbers) -> bool:
        """Whether a rule asks for one address that none of the packets can have: a cluster IP that
        is no address of the node, and that they are neither addressed nor sent to.
        """
        for condition in record.conditions:
            if isinstance(condition, Recent):
                return False
            if isinstance(condition, Destination) and not condition.negated:
                return (
                    condition.mask == self._full_mask
                    and condition.address not in numbers.hosts
                    and condition.address in self._never_local
                )
        return False

    def _record(self, record: Record, numbers: _Numbers, literal: bool) -> Form:
        action = record.action
        if isinstance(action, Dnat):
            port = None if action.port is None else numbers.port(action.port)
            done: object = (numbers.host(action.address), port)
        elif self._rows.within(record) is not None:
            done = type(action).__name__
        else:
            done = self._literal(action)
        form = [record.service, done]
        full, hosts, known = self._full_mask, numbers.hosts, self._by_identity
        for condition in record.conditions:
            if isinstance(condition, Destination) and condition.mask == full:
                address = condition.address
                form.append((0, hosts.get(address, ~address), condition.negated))
            elif (found := known.get(id(condition))) is not None:
                # Most are met again and again.
                form.append(found[0])
            else:
                form.append(self._condition(condition, numbers, literal))
        return tuple(form)

    def _condition(self, condition: Condition, numbers: _Numbers, literal: bool) -> object:
        full = self._full_mask
        match condition:
            case Destination(address, mask, negated) if mask == full:
                return 0, numbers.host(address), negated
            case DestinationPort(first, last, negated) if first == last:
                return 1, numbers.port(first), negated
            case Source(address, mask, negated) if mask == full:
                return 2, numbers.host(address), negated, self._literal_sender(condition, literal)
            case OriginalSource(address, mask, negated) if mask == full:
                return 3, numbers.host(address), negated, self._literal_sender(condition, literal)
            case OriginalDestination(address, mask, negated) if mask == full:
                return 4, numbers.host(address), negated
            case OriginalPort(first, last, negated) if first == last:
                return 5, numbers.port(first), negated
            case _:
                return self._literal(condition)

    def _literal_sender(self, condition: Condition, literal: bool) -> int:
        return self._literals.setdefault(condition, len(self._literals) + 1) if literal else 0

    def _sets(
        self, address: int, numbers: _Numbers, besides: Container[tuple[int, int]] = ()
    ) -> Form:
        """What sets say of an address; ``besides`` are protocols and ports judged elsewhere."""
        rows = self._rows.of_sets(address)
        if not any(row.entries for row in rows):
            return rows
        found: list[object] = []
        for row in rows:
            if not row.entries:
                found.append(row)
                continue
            entries = [
                self._entry(entry, numbers)
                for entry in row.entries
                if not _names_one_of(entry, besides)
            ]
            if entries:
                found.append((row.name, *entries))
        return tuple(found)

    def _entry(self, entry: Entry, numbers: _Numbers) -> Form:
        parts: list[object] = []
        for part in entry.parts:
            if isinstance(part, PortOf):
                parts.append((part.protocol, numbers.port(part.port)))
            elif isinstance(part, Network):
                if part.prefix_length == part.family.bits:
                    parts.append(numbers.host(part.value))
                else:
                    parts.append((part.value, part.prefix_length, None))
            else:
                parts.append((None, numbers.port(part)))
        return (entry.mark, entry.no_match, *parts)

    def _cases(self, cases: Iterable[Case], numbers: _Numbers) -> Form | None:
        """The expectation; None if it wants what no row does."""
        found: list[object] = []
        known: dict[int, tuple[tuple[int, int], ...]] = {}
        for case in cases:
            for atom in case.condition:
                if isinstance(atom, SourceIn):
                    found.append((atom.negated, *self._senders(atom.networks, numbers)))
                elif isinstance(atom, DestinationIn):
                    # In their order: an address may be one of the backends'.
                    found.append((atom.negated, "to", *map(numbers.network, atom.networks)))
                else:
                    found.append(self._literal(atom))
            found.append(None)
            for outcome in case.allowed:
                if not isinstance(outcome, Serve):
                    found.append(self._literal(outcome))
                    continue
                backends = known.get(id(outcome.backends))
                if backends is None:
                    backends = known[id(outcome.backends)] = self._backends(outcome, numbers)
                if backends and backends[0][0] < 0:
                    return None
                found.append((outcome.masquerade, outcome.affinity_timeout, backends))
            found.append(None)
        return tuple(found)

    def _backends(self, outcome: Serve, numbers: _Numbers) -> tuple[tuple[int, int], ...]:
        return tuple(
            sorted([(numbers.host(b.address), numbers.port(b.port)) for b in outcome.backends])
        )

    def _senders(self, networks: Iterable[Network], numbers: _Numbers) -> list[object]:
        single, others = [], []
        for network in networks:
            host = numbers.network(network)
            if isinstance(host, int):
                single.append(host)
            else:
                others.append(self._literal(network))
        single.sort()
        return [tuple(single), *others]

    def _literal(self, what: object) -> int:
        """A number, from 1, for what stands for itself."""
        known = self._by_identity.get(id(what))
        if known is None:
            number = self._literals.setdefault(what, len(self._literals) + 1)
            # Kept, so that nothing else gets its identity.
            known = self._by_identity[id(what)] = number, what
        return known[0]


def _asks_for_one_of(record: Record, places: Container[tuple[int, int]]) -> bool:
    """Whether a rule asks for one protocol and port, and they are one of some."""
    protocol = port = -1
    for condition in record.conditions:
        if isinstance(condition, Protocol):
            if not condition.negated:
                protocol = condition.number
        elif (
            isinstance(condition, DestinationPort)
            and condition.first == condition.last
            and not condition.negated
        ):
            port = condition.first
    return (protocol, port) in places


def _names_one_of(entry: Entry, places: Container[tuple[int, int]]) -> bool:
    return any(isinstance(p, PortOf) and (p.protocol, p.port) in places for p in entry.parts)
