"""Taking the numbers out of a region's slices and expectation, which makes them a schema.

Addresses and ports of backends, the frontend's own address and the names of recent lists are
numbered by first use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from svcc.grammar.address import Network
from svcc.verify.model.actions import Dnat
from svcc.verify.model.conditions import (
    Alternative,
    AnyOf,
    Bpf,
    Destination,
    DestinationPort,
    EntryPart,
    InEntries,
    InInterface,
    Mark,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    Probability,
    Protocol,
    Recent,
    SentByIpvs,
    Source,
    State,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.model.values import interned
from svcc.verify.slicing.items import (
    Balance,
    InlinedRun,
    Item,
    ItemAction,
    ItemCondition,
    ToEndpoints,
)
from svcc.verify.slicing.schema import SchemaCase, SchemaItem, schema_case, schema_item
from svcc.verify.slicing.schema_conditions import (
    DestinationHost,
    DestinationHosts,
    InlinedJump,
    NumberedBalance,
    NumberedDestinationPort,
    NumberedDestinationPorts,
    NumberedDnat,
    NumberedEndpoints,
    NumberedEntries,
    NumberedEntryPart,
    NumberedOriginalPort,
    NumberedRecent,
    NumberedServe,
    NumberedVirtualPort,
    OriginalDestinationHost,
    OriginalSourceHost,
    SchemaAction,
    SchemaAlternative,
    SchemaCondition,
    SchemaOutcome,
    SchemaPredicate,
    SentFromNode,
    SourceHost,
    VirtualDestinationHost,
)
from svcc.verify.spec.outcomes import (
    Case,
    Discard,
    DroppedByMark,
    Outcome,
    Refuse,
    Serve,
    Untouched,
)
from svcc.verify.spec.packet_conditions import (
    Atom,
    DestinationIn,
    FromNode,
    FromPod,
    PortIn,
    ProtocolIn,
    SourceIn,
)

_source = interned(Source)
_source_host = interned(SourceHost)
_destination_host = interned(DestinationHost)
_numbered_dnat = interned(NumberedDnat)
_JUMP = InlinedJump()


@dataclass(slots=True, kw_only=True)
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
        found = []
        for item in items:
            conditions: tuple[SchemaCondition, ...] = ()
            if item.conditions:
                conditions = tuple([self._condition(c) for c in item.conditions])
            match item.action:
                case Dnat(address, port):
                    dnat = _numbered_dnat(*self._endpoint(address, port))
                    found.append(schema_item(conditions, dnat, ()))
                case Balance(choices, timeout):
                    numbered = tuple([(*self._endpoint(a, p), weight) for a, p, weight in choices])
                    balance = NumberedBalance(numbered, timeout)
                    found.append(schema_item(conditions, balance, ()))
                case InlinedRun(schema_items):
                    found.append(schema_item(conditions, _JUMP, schema_items))
                case action:
                    body = self.items(item.body) if item.body else ()
                    found.append(schema_item(conditions, action, body))
        result = tuple(found)
        self._known[id(items)] = (items, result)
        return result

    def shared_items(
        self, items: tuple[Item, ...], places: Sequence[tuple[int, int]]
    ) -> tuple[SchemaItem, ...]:
        """A slice that other regions share: it names no address or port of this one.

        ``places`` are the numbers of address and port of each box that the slice is of.
        """
        values = {number: value for value, number in self.hosts.items()}
        ports = {number: value for value, number in self.ports.items()}
        own = [(h, values[h], p, ports[p]) for h, p in dict.fromkeys(places)]

        def shared(condition: ItemCondition) -> SchemaCondition:
            if isinstance(condition, Destination):
                address, mask = condition.address, condition.mask
                hosts = [h for h, value, _, _ in own if value & mask == address]
                return DestinationHosts(tuple(dict.fromkeys(hosts)), condition.negated)
            if isinstance(condition, DestinationPort):
                first, last = condition.first, condition.last
                inside = [p for _, _, p, value in own if first <= value <= last]
                return NumberedDestinationPorts(tuple(dict.fromkeys(inside)), condition.negated)
            return _unnumbered_condition(condition)

        def walk(items: tuple[Item, ...]) -> tuple[SchemaItem, ...]:
            return tuple(
                schema_item(
                    tuple(map(shared, item.conditions)),
                    _unnumbered_action(item.action),
                    walk(item.body),
                )
                for item in items
            )

        return walk(items)

    def _condition(self, condition: ItemCondition) -> SchemaCondition:
        match condition:
            case Source():
                if condition.mask == self.full_mask and condition.address in self.hosts:
                    return _source_host(self.hosts[condition.address], condition.negated)
            case Probability() | SentByIpvs() | State() | Mark() | Bpf() | Protocol():
                # They name nothing that is numbered, and there are many of them.
                pass
            case Destination():
                if condition.mask == self.full_mask and condition.address in self.hosts:
                    return _destination_host(self.hosts[condition.address], condition.negated)
                self.networks[condition.address, condition.mask] = None
            case DestinationPort(first, last, negated):
                if first == last and first in self.ports:
                    return NumberedDestinationPort(self.ports[first], negated)
            case OriginalSource(address, mask, negated):
                if mask == self.full_mask and address in self.hosts:
                    return OriginalSourceHost(self.hosts[address], negated)
            case OriginalDestination(address, mask, negated):
                if mask == self.full_mask and address in self.hosts:
                    return OriginalDestinationHost(self.hosts[address], negated)
            case OriginalPort(first, last, negated):
                if first == last and first in self.ports:
                    return NumberedOriginalPort(self.ports[first], negated)
            case VirtualDestination(address, mask, negated):
                if mask == self.full_mask and address in self.hosts:
                    return VirtualDestinationHost(self.hosts[address], negated)
                self.networks[address, mask] = None
            case VirtualPort(first, last, negated):
                if first == last and first in self.ports:
                    return NumberedVirtualPort(self.ports[first], negated)
            case Recent(operation, name, seconds, negated):
                number = self.lists.setdefault(name, len(self.lists))
                return NumberedRecent(operation, number, seconds, negated)
            case ToEndpoints(endpoints, negated):
                numbered = tuple(
                    (None if address is None else self.host(address), self.port(port))
                    for address, port in endpoints
                )
                return NumberedEndpoints(numbered, negated)
            case InEntries(entries, negated):
                # By their numbers: addresses say nothing of which backend is whose.
                numbered_entries = [tuple(map(self._entry_part, entry)) for entry in entries]
                numbered_entries.sort(key=_entry_order)
                return NumberedEntries(tuple(numbered_entries), negated)
            case AnyOf():
                return self._any_of(condition)
            case _:
                pass
        return condition

    def _any_of(self, condition: AnyOf[Alternative]) -> AnyOf[SchemaAlternative]:
        if not any(isinstance(p, Source) and p.address in self.hosts for p in condition.parts):
            return condition
        return AnyOf(self._sources_in_order(condition.parts), condition.negated)

    def _sources_in_order(self, parts: Iterable[Alternative]) -> tuple[SchemaAlternative, ...]:
        """Alternatives with their sources numbered, those first, by their numbers: which backend
        has the lowest address is no difference.
        """
        numbers: list[int] = []
        others: list[Alternative] = []
        for part in parts:
            if (
                isinstance(part, Source)
                and part.mask == self.full_mask
                and part.address in self.hosts
                and not part.negated
            ):
                numbers.append(self.hosts[part.address])
            else:
                others.append(part)
        return (*[_source_host(number, False) for number in sorted(numbers)], *others)

    def _entry_part(self, part: EntryPart) -> NumberedEntryPart:
        match part:
            case Source(address, mask):
                if mask == self.full_mask and address in self.hosts:
                    return SourceHost(self.hosts[address])
            case Destination(address, mask):
                if mask == self.full_mask and address in self.hosts:
                    return DestinationHost(self.hosts[address])
            case DestinationPort(first):
                if first in self.ports:
                    return NumberedDestinationPort(self.ports[first])
            case AnyOf():
                pass
            case _:
                assert_never(part)
        return part

    def _endpoint(self, address: int, port: int | None) -> tuple[int, int | None]:
        port = self.default_port if port is None else port
        return self.host(address), None if port is None else self.port(port)

    def facts(self) -> tuple[tuple[int, int, tuple[bool, ...]], ...]:
        """Which hosts lie in which of the networks: the facts of a
        :class:`~svcc.verify.slicing.schema.Schema`."""
        return tuple(
            (address, mask, tuple(host & mask == address for host in self.hosts))
            for address, mask in self.networks
        )

    def cases(self, cases: tuple[Case, ...]) -> tuple[SchemaCase, ...]:
        """An expectation with its numbers taken out."""
        return tuple(
            schema_case(
                tuple([self._atom(atom) for atom in case.condition]),
                tuple([self._outcome(outcome) for outcome in case.allowed]),
            )
            for case in cases
        )

    def _atom(self, atom: Atom) -> SchemaPredicate:
        match atom:
            case SourceIn(networks, negated):
                sources = [_source(network.value, network.mask) for network in networks]
                return AnyOf(self._sources_in_order(sources), negated)
            case FromNode(negated):
                return SentFromNode(negated)
            case FromPod(interface, negated):
                return InInterface(interface, negated)
            case ProtocolIn(numbers, negated):
                return AnyOf(tuple(Protocol(number) for number in numbers), negated)
            case PortIn(numbers, negated):
                return AnyOf(tuple(OriginalPort(number, number) for number in numbers), negated)
            case DestinationIn(networks, negated):
                return AnyOf(tuple(map(self._destination_in, networks)), negated)
            case _:
                assert_never(atom)

    def _destination_in(self, network: Network) -> Destination | DestinationHost:
        if network.mask == self.full_mask and network.value in self.hosts:
            return _destination_host(self.hosts[network.value], False)
        return Destination(network.value, network.mask)

    def _outcome(self, outcome: Outcome) -> SchemaOutcome:
        match outcome:
            case Serve(backends, masquerade, timeout):
                numbered = [(self.host(b.address), self.port(b.port)) for b in backends]
                return NumberedServe(tuple(sorted(numbered)), masquerade, timeout)
            case Refuse() | Discard() | Untouched() | DroppedByMark():
                return outcome
            case _:
                assert_never(outcome)


def _entry_order(entry: tuple[NumberedEntryPart, ...]) -> list[tuple[int, int, int]]:
    return [_part_order(part) for part in entry]


def _part_order(part: NumberedEntryPart) -> tuple[int, int, int]:
    match part:
        case DestinationHost(number):
            return 0, number, 0
        case Destination(address, mask):
            return 1, address, mask
        case AnyOf(protocols):
            return 2, len(protocols), protocols[0].number
        case NumberedDestinationPort(number):
            return 3, number, 0
        case DestinationPort(first, last):
            return 4, first, last
        case SourceHost(number):
            return 5, number, 0
        case Source(address, mask):
            return 6, address, mask
        case _:
            assert_never(part)


def unnumbered(item: Item) -> SchemaItem:
    """An item as every region's schema has it; it names no address, port or list of one."""
    conditions = tuple(map(_unnumbered_condition, item.conditions))
    return schema_item(conditions, _unnumbered_action(item.action), ())


def _unnumbered_condition(condition: ItemCondition) -> SchemaCondition:
    assert not isinstance(condition, Recent | InEntries | ToEndpoints)
    return condition


def _unnumbered_action(action: ItemAction) -> SchemaAction:
    assert not isinstance(action, Dnat | Balance)
    return _JUMP if isinstance(action, InlinedRun) else action
