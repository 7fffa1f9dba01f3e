"""What the cut of a region depends on, with its numbers taken out.

A cut is a function of the rules that can touch the region's packets: those that are told to
everybody, of which only the side of each network and stretch of ports counts that an address and a
port lie on, and the rows (:mod:`svcc.verify.signatures.rows`) of the region's address and port and
of all that they translate to. Regions with equal signatures have equal schemas: what is proved of
one holds for all of them, and only one has to be cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    Source,
)
from svcc.verify.model.rules import Record
from svcc.verify.model.sets import MAX_WRITTEN
from svcc.verify.signatures.rows import Rows, asked_port, inside
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.cutter import Cut, Cutter
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec.outcomes import Case, Serve
from svcc.verify.spec.packet_conditions import SourceIn

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
        no list remembers them.
        """
        boxes = cut.boxes[1:]
        return not cut.numbering.lists and all(
            box.first_port == box.last_port and (box.address, box.first_port) in self.places
            for box in boxes
        )


@dataclass(slots=True)
class _Numbers:
    """Addresses and ports of one region by number; others stand for themselves, below zero."""

    hosts: dict[int, int]
    ports: dict[int, int]

    def host(self, address: int) -> int:
        return self.hosts.get(address, ~address)

    def port(self, port: int) -> int:
        return self.ports.get(port, ~port)


class Signatures:
    """The signatures of the regions of one rule set."""

    def __init__(self, regions: Regions, cutter: Cutter) -> None:
        self._regions = regions
        self._full_mask = regions.full_mask
        self._rows = Rows(regions.rules)
        self._is_usable = (
            self._rows.is_usable and regions.visits is None and not regions.virtual_ips
        )
        self._shared_chains = cutter.shared_chains
        self._literals: dict[object, int] = {}
        self._by_identity: dict[int, tuple[int, object]] = {}
        self._numbers: dict[Form, int] = {}
        self._last: tuple[Box, tuple[int, frozenset[tuple[int, int]]] | None] | None = None
        self._declared: dict[int, list[tuple[int, int]]] = {}
        self._declared_ports: set[int] = set()
        for address, protocol, port in regions.addresses:
            self._declared.setdefault(address, []).append((protocol, port))
            self._declared_ports.add(port)
        rows = self._rows
        self._told_ports = rows.told.bounds | rows.ports
        never_local = regions.never_local
        of_nodes = [address for address in rows.addresses if not never_local(address)]
        self._rows_on_node = rows.addresses_with_port(of_nodes)
        self._node_ports_are_told = not any(
            address not in regions.apart for address in rows.originals
        ) and all(map(never_local, rows.portless))

        self._written_out = frozenset(
            name
            for name, of_set in rows.set_addresses.items()
            if sum(address not in regions.apart for address in of_set) <= MAX_WRITTEN
        )
        """Sets whose entries conditions may name one by one, those of other regions too."""

    def of(self, region: Region) -> Signature | None:
        """A region's signature; None: it has to be cut itself."""
        if not self._is_usable or (region.frontend is None and region.virtual_ip is None):
            return None
        if self._last is None or self._last[0] is not region.box:
            # Both directions of a frontend come one after the other.
            self._last = region.box, self._both_ways(region)
        found = self._last[1]
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
        numbers = [*rows.of_address(address), *rows.of_original(address), *rows.of_port(port)]
        own = self._within(numbers, box.protocol, ((address, port),))
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
        parts = {number: list(inside(rows, rows.record(number))) for number in own}
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
            parts[number] = list(inside(rows, rows.record(number)))
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
        numbers = _Numbers({address: 0}, {})
        parts: dict[int, list[Record | None]] = {}
        for number in (*rows.of_address(address), *rows.of_original(address)):
            record = rows.record(number)
            if not self._is_declared(record, address):
                parts[number] = list(inside(rows, record))
        told = self._told_ports
        declared = [pair for pair in self._declared.get(address, ()) if pair[1] in told]
        form = (
            "virtual IP",
            box.local,
            self._literal(region.cases),
            rows.told.networks(address),
            self._regions.always_local(address, self._full_mask),
            tuple(sorted(declared)),
            tuple([self._row(number, parts[number], numbers) for number in sorted(parts)]),
            self._sets(address, numbers, besides=self._declared.get(address, ())),
        )
        return form, frozenset()

    def _is_declared(self, record: Record, address: int) -> bool:
        """Whether a row is about a frontend alone: its packets are judged there."""
        port = asked_port(record)
        return port is not None and any(
            isinstance(condition, Protocol)
            and not condition.negated
            and self._regions.declared(address, condition.number, port)
            for condition in record.conditions
        )

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
        """What rules that are told to everybody see of an address and port."""
        told, regions = self._rows.told, self._regions
        return (
            told.networks(address),
            told.stretch(port),
            regions.always_local(address, self._full_mask),
            regions.never_local(address),
        )

    def _row(self, number: int, parts: Sequence[Record | None], numbers: _Numbers) -> Form:
        row = self._rows.row(number)
        # In what regions share, senders are not numbered.
        literal = row.run >= 0 or row.place in self._shared_chains
        return (
            row.chain,
            row.rank,
            row.run,
            *[
                None if part is None else self._record(part, numbers, literal=literal)
                for part in parts
            ],
        )

    def _record(self, record: Record, numbers: _Numbers, *, literal: bool) -> Form:
        action = record.action
        if isinstance(action, Dnat):
            port = None if action.port is None else numbers.port(action.port)
            done: object = (numbers.host(action.address), port)
        elif self._rows.within(record) is not None:
            done = type(action).__name__
        else:
            done = self._literal(action)
        conditions = [self._condition(c, numbers, literal) for c in record.conditions]
        return (record.service, done, *conditions)

    def _condition(self, condition: Condition, numbers: _Numbers, literal: bool) -> object:
        kind, full = type(condition), self._full_mask
        if kind is Protocol:
            return self._literal(condition)
        match condition:
            case Destination(address, mask, negated) if mask == full:
                return 0, numbers.host(address), negated
            case DestinationPort(first, last, negated) if first == last:
                return 1, numbers.port(first), negated
            case Source(address, mask, negated) if mask == full:
                return 2, numbers.host(address), negated, self._literal(condition) * literal
            case OriginalSource(address, mask, negated) if mask == full:
                return 3, numbers.host(address), negated, self._literal(condition) * literal
            case OriginalDestination(address, mask, negated) if mask == full:
                return 4, numbers.host(address), negated
            case OriginalPort(first, last, negated) if first == last:
                return 5, numbers.port(first), negated
            case _:
                return self._literal(condition)

    def _sets(
        self, address: int, numbers: _Numbers, besides: Iterable[tuple[int, int]] = ()
    ) -> Form:
        """What sets say of an address; ``besides`` are protocols and ports judged elsewhere."""
        found = []
        for row in self._rows.of_sets(address):
            entries = [
                self._entry(entry, numbers)
                for entry in row.entries
                if not besides or not _names_one_of(entry, besides)
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
        for case in cases:
            for atom in case.condition:
                if isinstance(atom, SourceIn):
                    found.append((atom.negated, *self._senders(atom.networks, numbers)))
                else:
                    found.append(self._literal(atom))
            found.append(None)
            for outcome in case.allowed:
                if not isinstance(outcome, Serve):
                    found.append(self._literal(outcome))
                    continue
                backends = [
                    (numbers.host(b.address), numbers.port(b.port)) for b in outcome.backends
                ]
                backends.sort()
                if backends and backends[0][0] < 0:
                    return None
                found.append((outcome.masquerade, outcome.affinity_timeout, tuple(backends)))
            found.append(None)
        return tuple(found)

    def _senders(self, networks: Iterable[Network], numbers: _Numbers) -> list[object]:
        single, others = [], []
        for network in networks:
            host = -1
            if network.prefix_length == network.family.bits:
                host = numbers.host(network.value)
            if host < 0:
                others.append(self._literal(network))
            else:
                single.append(host)
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


def _names_one_of(entry: Entry, places: Iterable[tuple[int, int]]) -> bool:
    return any(isinstance(p, PortOf) and (p.protocol, p.port) in places for p in entry.parts)
