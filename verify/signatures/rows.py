"""Rules as rows of columns: which of them are about one address or port alone.

Of thousands of elements of a map each is about its own frontend, and says nothing to packets that
go elsewhere. Such rules are rows here, looked up by the address or port that they ask for. All
others are told to everybody: what they name besides is in :attr:`Rows.told`, by which a
destination is told from others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable
from functools import cached_property
from typing import NamedTuple

from svcc.grammar.address import Network
from svcc.grammar.ipvs.ipset import Entry, PortOf
from svcc.verify.model.actions import Dnat, Goto, Jump, MapMark
from svcc.verify.model.conditions import (
    Alternative,
    AnyOf,
    Condition,
    Connection,
    Destination,
    DestinationPort,
    InSet,
    Mark,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    Probability,
    Protocol,
    Recent,
    Source,
    State,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.model.rules import IndexedChain, IndexedRules, Record
from svcc.verify.model.sets import IndexedSet
from svcc.verify.slicing.distinctions import Distinctions
from svcc.verify.slicing.plain_runs import SHORTEST, Run, runs_of

MOST_REFERENCES = 8
"""A chain that more rules lead to is told by its name, not by what is in it."""

_POSITION_BITS = 32
_POSITION = (1 << _POSITION_BITS) - 1


class Place(NamedTuple):
    """Where a row stands: the number of its chain, that chain's table and name, how many rules
    that are no rows stand before it, and the start of the plain run that it is in (-1: in none).
    """

    chain: int
    name: tuple[str, str]
    rank: int
    run: int


class SetRow(NamedTuple):
    """What a set says of one address: the entries that begin with it; none: there is one, of which
    each of ``parts`` parts is this address.
    """

    name: str
    parts: int
    entries: tuple[Entry, ...] = ()


class Rows:
    """The rows of one rule set. ``is_usable`` False: rules of a kind that nobody asks about here.

    A rule is a row if it asks for one destination (or original destination, or else one port) and
    looks at no recent list. A chain that few rules lead to, all of them rows, is no place of its
    own: what is in it is part of those rows. ``networks`` (address, mask) are told besides.
    """

    def __init__(self, rules: IndexedRules, networks: Iterable[tuple[int, int]] = ()) -> None:
        self._rules = rules
        self._full_mask = (1 << rules.family.bits) - 1
        self._chains: list[IndexedChain] = []
        self._others: list[list[int]] = []
        self._runs_of: dict[tuple[str, str], list[Run | None]] = {}
        self._by_address: dict[int, list[int]] = {}
        self._by_original: dict[int, list[int]] = {}
        self._by_port: dict[int, list[int]] = {}
        self._of_sets: dict[int, tuple[SetRow, ...]] = {}
        self._conditions: dict[Condition, None] = {}
        self.is_usable = rules.virtual is None
        self.ports: set[int] = set()
        """Ports that somebody asks for without naming one address."""
        self.set_ports: set[int] = set()
        """Ports of entries of sets."""
        self.set_addresses: dict[str, list[int]] = {}
        """The addresses that begin entries of a set, one for each entry."""
        self.sources: set[int] = set()
        """Sources that entries of sets name beside another address."""
        self.portless: set[int] = set()
        """Addresses that rows ask for with any port."""
        self._named = self._find_named()
        self._places = list(self._named)
        for number, (table, name) in enumerate(self._places):
            self._add_chain(rules.tables[table][name], number)
        self._add_private()
        self._add_sets()
        for address, mask in networks:
            self._conditions[Destination(address, mask)] = None
        self.told = Distinctions.of_conditions(self._conditions)
        """What is told to everybody, by which it may matter where a packet goes."""

    # -- asking --------------------------------------------------------------------------

    def of_address(self, address: int) -> list[int]:
        """The numbers of the rows that ask for a destination; in the order of the rules."""
        return self._by_address.get(address, [])

    def of_original(self, address: int) -> list[int]:
        """The rows that ask for an original destination, and for no other."""
        return self._by_original.get(address, [])

    def of_port(self, port: int) -> list[int]:
        """The rows that ask for a port, and for no address."""
        return self._by_port.get(port, [])

    def of_sets(self, address: int) -> tuple[SetRow, ...]:
        """What sets say of an address."""
        return self._of_sets.get(address, ())

    @property
    def originals(self) -> Iterable[int]:
        """The addresses of :meth:`of_original`."""
        return self._by_original

    def by_port_but_of(self, left_out: Container[int | None]) -> dict[int, list[int]]:
        """Port → rows that ask for it and for an address that is none of some."""
        found: dict[int, list[int]] = {}
        for address, numbers in self._by_address.items():
            if address in left_out:
                continue
            for number in numbers:
                port = asked_port(self.record(number))
                if port is not None:
                    found.setdefault(port, []).append(number)
        return found

    def record(self, number: int) -> Record:
        """The rule of a row."""
        return self._chains[number >> _POSITION_BITS].records[number & _POSITION]

    def place(self, number: int) -> Place:
        """Where a row stands."""
        chain, position = number >> _POSITION_BITS, number & _POSITION
        others, name = self._others[chain], self._places[chain]
        runs = self._runs_of.get(name)
        run = runs[position] if runs else None
        rank = bisect_left(others, position) if others else 0
        return Place(chain, name, rank, -1 if run is None else run.start)

    @cached_property
    def mentioned(self) -> frozenset[int]:
        """Addresses that rows by port name, or rules of chains that are part of rows: whoever is
        addressed to any port may come to them.
        """
        found: set[int] = set()
        for numbers in self._by_port.values():
            for number in numbers:
                self._add_mentioned(self.record(number), found)
        for table, chains in self._rules.tables.items():
            for name, chain in chains.items():
                if (table, name) not in self._named:
                    for record in chain.records:
                        self._add_mentioned(record, found)
        return frozenset(found)

    def _add_mentioned(self, record: Record, into: set[int]) -> None:
        for condition in record.conditions:
            if type(condition) in _TELL_NOTHING:
                continue
            match condition:
                case (
                    Destination(address, mask)
                    | OriginalDestination(address, mask)
                    | Source(address, mask)
                    | OriginalSource(address, mask)
                ) if mask == self._full_mask:
                    into.add(address)
                case _:
                    pass

    def within(self, record: Record) -> IndexedChain | None:
        """The chain whose rules are part of a rule that leads there; None: it is told by its
        name, or there is none.
        """
        action = record.action
        if not isinstance(action, Jump | Goto) or (record.table, action.chain) in self._named:
            return None
        return self._rules.tables[record.table].get(action.chain)

    # -- finding the rows ------------------------------------------------------------------

    def _find_named(self) -> dict[tuple[str, str], int]:
        """Chains that are places of their own: base chains, those that many rules lead to or that
        have plain runs, and what rules lead to from there that are no rows.
        """
        references: dict[tuple[str, str], int] = {}
        pending: list[tuple[str, str]] = []
        for table, chains in self._rules.tables.items():
            for name, chain in chains.items():
                if len(chain.records) >= SHORTEST and any(runs := runs_of(chain)):
                    self._runs_of[table, name] = runs
                if chain.policy is not None or (table, name) in self._runs_of:
                    pending.append((table, name))
                for record in chain.records:
                    action = record.action
                    if isinstance(action, Jump | Goto):
                        goal = (table, action.chain)
                        references[goal] = references.get(goal, 0) + 1
        pending += [goal for goal, count in references.items() if count > MOST_REFERENCES]
        named: dict[tuple[str, str], int] = {}
        while pending:
            goal = table, name = pending.pop()
            found = self._rules.tables[table].get(name)
            if found is None or goal in named:
                continue
            named[goal] = len(named)
            for record in found.records:
                if isinstance(record.action, Jump | Goto) and self._key(record) is None:
                    pending.append((table, record.action.chain))
        return named

    def _key(self, record: Record) -> tuple[dict[int, list[int]], int] | None:
        """Where a row is looked up, None: the rule is none."""
        address = original = port = None
        full = self._full_mask
        for condition in record.conditions:
            match condition:
                case Recent():
                    return None
                case Destination(negated=False) if address is None:
                    address = condition
                case OriginalDestination(negated=False) if original is None:
                    original = condition
                case DestinationPort(first, last, False) if first == last and port is None:
                    port = first
                case _:
                    pass
        asked = original if address is None else address
        if asked is None:
            return None if port is None else (self._by_port, port)
        if asked.mask != full:
            return None
        return self._by_original if address is None else self._by_address, asked.address

    def _add_chain(self, chain: IndexedChain, number: int) -> None:
        self._chains.append(chain)
        others: list[int] = []
        self._others.append(others)
        base = number << _POSITION_BITS
        for position, record in enumerate(chain.records):
            key = self._key(record)
            if key is None:
                others.append(position)
                self._tell_all(record)
                continue
            by, value = key
            by.setdefault(value, []).append(base | position)
            self._tell(record)
            if by is self._by_port:
                self.ports.add(value)
            elif by is self._by_address and asked_port(record) is None:
                self.portless.add(value)

    def _add_private(self) -> None:
        for table, chains in self._rules.tables.items():
            for name, chain in chains.items():
                if (table, name) not in self._named:
                    for record in chain.records:
                        self._tell(record)

    def _tell(self, record: Record) -> None:
        """What a row names besides single addresses and ports, which are compared one by one."""
        full = self._full_mask
        for condition in record.conditions:
            if type(condition) in _TELL_NOTHING:
                continue
            match condition:
                case Destination() | OriginalDestination() if condition.mask == full:
                    continue
                case DestinationPort() | OriginalPort() if condition.first == condition.last:
                    continue
                case VirtualDestination() | VirtualPort():
                    self.is_usable = False
                case AnyOf() | Connection():
                    self._tell_parts(condition)
                case Source() | OriginalSource():
                    pass
                case _:
                    self._conditions[condition] = None
        if type(record.action) is MapMark:
            self.is_usable = False

    def _tell_all(self, record: Record) -> None:
        """Everything that a rule names."""
        self._tell(record)
        for condition in record.conditions:
            self._tell_one(condition)
        action = record.action
        if isinstance(action, Dnat):
            self._tell_address(action.address)
            if action.port is not None:
                self._conditions[DestinationPort(action.port, action.port)] = None

    def _tell_one(self, condition: Condition) -> None:
        match condition:
            case Source(address, mask) | OriginalSource(address, mask):
                if mask == self._full_mask:
                    self._tell_address(address)
            case InSet() | Recent():
                pass
            case _:
                self._conditions[condition] = None

    def _tell_parts(self, condition: AnyOf[Alternative] | Connection) -> None:
        parts = condition.parts if isinstance(condition, AnyOf) else condition.details
        for part in parts:
            self._tell_one(part)

    def _tell_address(self, address: int) -> None:
        self._conditions[Destination(address, self._full_mask)] = None

    # -- sets --------------------------------------------------------------------------------

    def _add_sets(self) -> None:
        looked_at = {
            (condition.name, condition.flags)
            for chains in self._rules.tables.values()
            for chain in chains.values()
            for record in chain.records
            for condition in record.conditions
            if type(condition) is InSet
        }
        of_sources = {name for name, flags in looked_at if flags[:1] != ("dst",)}
        for name in sorted({name for name, _ in looked_at}):
            known = self._rules.sets.get(name)
            if known is None:
                continue
            if name in of_sources:
                for entry in known.item.entries.values():
                    self._tell_entry(entry)
            else:
                self._add_set(name, known)

    def _add_set(self, name: str, known: IndexedSet) -> None:
        for entry in known.of_no_host:
            self._tell_entry(entry)
        addresses = self.set_addresses.setdefault(name, [])
        plain: dict[int, tuple[SetRow, ...]] = {}
        of_sets = self._of_sets
        for address, entries in known.of_hosts.items():
            count = len(entries[0].parts)
            row: tuple[SetRow, ...]
            if len(entries) == 1 and _is_plain(entries[0]):
                row = plain.get(count) or plain.setdefault(count, (SetRow(name, count),))
            else:
                row = (SetRow(name, 0, tuple(entries)),)
                for entry in entries:
                    self._note_entry(entry, address)
            addresses += [address] * len(entries)
            before = of_sets.get(address)
            of_sets[address] = row if before is None else before + row

    def _note_entry(self, entry: Entry, address: int) -> None:
        for part in entry.parts[1:]:
            if isinstance(part, PortOf):
                self.set_ports.add(part.port)
            elif isinstance(part, Network):
                if part.prefix_length != part.family.bits:
                    self._conditions[Destination(part.value, part.mask)] = None
                elif part.value != address:
                    self.sources.add(part.value)
            else:
                self.set_ports.add(part)

    def _tell_entry(self, entry: Entry) -> None:
        for part in entry.parts:
            if isinstance(part, Network):
                self._conditions[Destination(part.value, part.mask)] = None
                continue
            port = part.port if isinstance(part, PortOf) else part
            self._conditions[DestinationPort(port, port)] = None
            self.ports.add(port)
            self.set_ports.add(port)


_TELL_NOTHING = frozenset({Protocol, Probability, InSet, Recent, Mark, State})
"""Conditions that are no matter of the destination, or (protocol) the same for a whole region."""


def _is_plain(entry: Entry) -> bool:
    """Whether an entry names one address, in all its parts."""
    parts = entry.parts
    return parts.count(parts[0]) == len(parts) and entry.mark is None and not entry.no_match


def asked_port(record: Record) -> int | None:
    """The first port that a rule asks for alone."""
    for condition in record.conditions:
        if (
            isinstance(condition, DestinationPort)
            and condition.first == condition.last
            and not condition.negated
        ):
            return condition.first
    return None


def inside(rows: Rows, record: Record) -> list[Record | None]:
    """A rule and what is part of it; None stands behind the last rule of a chain.

    Raises:
        RecursionError: chains lead to each other too deeply.
    """
    chain = rows.within(record)
    if chain is None:
        return [record]
    found: list[Record | None] = [record]
    for each in chain.records:
        found += inside(rows, each)
    found.append(None)
    return found
