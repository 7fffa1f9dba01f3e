"""Membership in an ipset, of a whole region of packets at once.

A region fixes some of what a set looks at. If that settles the matter, every packet of it is in
the set or none is; else those are that fulfil a condition. Source: ipset(8);
net/netfilter/xt_set.c.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from svcc.grammar.address import Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.ipvs.ipset import Entry, Part, PortOf, Set
from svcc.verify.model.conditions import (
    AnyOf,
    Destination,
    DestinationPort,
    EntryPart,
    InEntries,
    Protocol,
    Source,
    Unknown,
)
from svcc.verify.model.values import Single, value

MAX_WRITTEN = 256
"""A condition on more entries than this is not written out."""

_WITH_BARE_PORTS = (6, 17)
"""Protocols that bitmap:port knows (net/netfilter/ipset/ip_set_getport.c)."""

SetCondition = Unknown | InEntries | AnyOf[Source]
"""What is left of a question about a set; ``Unknown`` stands for what cannot be told."""


class EveryPacket(Single):
    """Every packet of a region is in a set."""

    __slots__ = ()


class NoPacket(Single):
    """No packet of a region is in a set."""

    __slots__ = ()


@value
class PacketsWhere:
    """The packets of a region that fulfil a condition are in a set."""

    condition: SetCondition


Membership = EveryPacket | NoPacket | PacketsWhere


class NoMark(Single):
    """No packet of a region falls under an entry with a mark."""

    __slots__ = ()


@value
class EntryMark:
    """The mark (value, mask) of the entries that packets of a region fall under; ``member`` tells
    which packets fall under one, None: all."""

    value: int
    mask: int
    member: InEntries | AnyOf[Source] | None


class UnknownMark(Single):
    """Packets of a region may fall under entries of different marks, or it cannot be told."""

    __slots__ = ()


_EVERY_PACKET, _NO_PACKET = EveryPacket(), NoPacket()

GivenMark = NoMark | EntryMark | UnknownMark


class _Named(NamedTuple):
    """What an entry names: destination bits and mask, protocol (0: TCP or UDP; -1: any), port
    (-1: any), source bits and mask."""

    address: int
    mask: int
    protocol: int
    port: int
    source: int
    source_mask: int

    def conditions(self) -> tuple[EntryPart, ...]:
        """What has to hold of a packet under the entry."""
        found: list[EntryPart] = []
        if self.mask:
            found.append(Destination(self.address, self.mask))
        if self.protocol >= 0:
            numbers = (self.protocol,) if self.protocol else _WITH_BARE_PORTS
            found.append(AnyOf(tuple(Protocol(number) for number in numbers)))
        if self.port >= 0:
            found.append(DestinationPort(self.port, self.port))
        if self.source_mask:
            found.append(Source(self.source, self.source_mask))
        return tuple(found)


class Where(NamedTuple):
    """What a region knows of its packets: destination bits, protocol, ports."""

    address: int
    mask: int
    protocol: int | None
    first_port: int
    last_port: int


Excluded = Callable[[Network | None, PortOf | None], bool]
"""Whether packets to this address and port are of another region."""


class IndexedSet:
    """A set, its entries by port and by address."""

    def __init__(self, item: Set) -> None:
        self.item = item
        self._by_port: defaultdict[Part | None, list[Entry]] = defaultdict(list)
        self._by_host: defaultdict[tuple[Part | None, int], list[Entry]] = defaultdict(list)
        self._of_host: defaultdict[int, list[Entry]] = defaultdict(list)
        self._wide: defaultdict[Part | None, list[Entry]] = defaultdict(list)
        self._kinds = tuple(item.kind.partition(":")[2].split(","))
        self._told_by: dict[tuple[str, ...], bool] = {}
        self._exceptions = False
        self._unknown = PacketsWhere(Unknown(f"set {item.name}"))
        self.hosts: frozenset[int] | None = None
        """The addresses of a set that has nothing else."""
        if item.kind == "hash:ip" and item.is_plain:
            self.hosts = frozenset(
                part.value for (part,) in item.entries if isinstance(part, Network)
            )
        for entry in item.entries.values():
            port = next((p for p in entry.parts if not isinstance(p, Network)), None)
            first = entry.parts[0]
            self._by_port[port].append(entry)
            self._exceptions |= entry.no_match
            if isinstance(first, Network) and first.prefix_length == first.family.bits:
                self._by_host[port, first.value].append(entry)
                self._of_host[first.value].append(entry)
            else:
                self._wide[port].append(entry)

    @property
    def of_hosts(self) -> Mapping[int, Sequence[Entry]]:
        """The entries that begin with one address, by it."""
        return self._of_host

    @property
    def of_no_host(self) -> Iterator[Entry]:
        """The other entries."""
        return (entry for entries in self._wide.values() for entry in entries)

    def _is_told_by(self, flags: tuple[str, ...]) -> bool:
        """Whether it can be told of a region, or of its packets' sources, what is in the set."""
        found = self._told_by.get(flags)
        if found is None:
            found = self._told_by[flags] = (
                self.item.is_plain
                and not self._exceptions
                and len(self._kinds) == len(flags)
                and ("port", "src") not in zip(self._kinds, flags, strict=True)
            )
        return found

    def evaluate(
        self, flags: tuple[str, ...], where: Where, full_mask: int, excluded: Excluded
    ) -> Membership:
        """Which packets of the region are in the set."""
        if not self._is_told_by(flags):
            return self._unknown
        sources: list[Network] = []
        is_partly = 0
        halves: defaultdict[tuple[Part, ...], int] = defaultdict(int)
        for entry in self._candidates(flags, where, full_mask):
            covers, overlaps, source = _compare(entry, flags, where)
            if not overlaps or excluded(*_place(entry, flags)):
                continue
            if covers and source is None:
                return _EVERY_PACKET
            if covers and source is not None:
                sources.append(source)
                continue
            is_partly += 1
            if is_partly > MAX_WRITTEN and not self._wide:
                # Single hosts cover no more than themselves, and these are not written out.
                return self._unknown
            first, rest = entry.parts[0], entry.parts[1:]
            if isinstance(first, Network) and first.prefix_length == 1 and flags[0] == "dst":
                halves[rest] += 1
                if halves[rest] == 2 and _covers_port(rest, where):
                    return _EVERY_PACKET
        if not sources and not is_partly:
            return _NO_PACKET
        if is_partly or len(sources) > MAX_WRITTEN:
            entries = self.entries(flags, (where,), full_mask, lambda _: excluded)
            return self._unknown if entries is None else PacketsWhere(entries)
        return PacketsWhere(AnyOf(tuple(Source(n.value, n.mask) for n in sorted(sources))))

    def entries(
        self,
        flags: tuple[str, ...],
        regions: Sequence[Where],
        full_mask: int,
        excluded: Callable[[int], Excluded],
    ) -> InEntries | None:
        """The entries that packets of some regions can fall under; None: it cannot be told, or
        there are too many to write out.

        ``excluded`` gives the judge of the region of that number.
        """
        if not self._is_told_by(flags):
            return None
        found: set[_Named] = set()
        for number, where in enumerate(regions):
            is_of_others = excluded(number)
            for entry in self._candidates(flags, where, full_mask):
                _, overlaps, _ = _compare(entry, flags, where)
                if overlaps and not is_of_others(*_place(entry, flags)):
                    found.add(_named(entry, flags))
                    if len(found) > MAX_WRITTEN:
                        return None
        return InEntries(tuple(named.conditions() for named in sorted(found)))

    def mark(
        self, flags: tuple[str, ...], where: Where, full_mask: int, excluded: Excluded
    ) -> GivenMark:
        """The mark that packets of the region are given by the entry that they fall under."""
        found: set[tuple[int, int] | None] = set()
        if len(flags) != len(self._kinds):
            return UnknownMark()
        for entry in self._candidates(flags, where, full_mask):
            _, overlaps, _ = _compare(entry, flags, where)
            if overlaps and not excluded(*_place(entry, flags)):
                found.add(entry.mark)
        if not found or found == {None}:
            return NoMark()
        mark = found.pop()
        if found or mark is None:
            return UnknownMark()
        member = self.evaluate(flags, where, full_mask, excluded)
        if isinstance(member, EveryPacket):
            return EntryMark(*mark, None)
        if isinstance(member, NoPacket) or isinstance(member.condition, Unknown):
            return UnknownMark()
        return EntryMark(*mark, member.condition)

    def _candidates(self, flags: tuple[str, ...], where: Where, full_mask: int) -> Iterable[Entry]:
        kinds = self._kinds
        ports: Iterable[Part | None] = self._by_port
        if "port" in kinds and where.first_port == where.last_port:
            if kinds == ("port",):
                ports = (where.first_port,)
            elif where.protocol is not None:
                ports = (PortOf(where.protocol, where.first_port),)
        elif "port" not in kinds:
            ports = (None,)
        exact = where.mask == full_mask and flags[0] == "dst" and kinds[0] != "port"
        if exact and ports is self._by_port:
            yield from self._of_host.get(where.address, ())
            for entries in self._wide.values():
                yield from entries
            return
        for port in ports:
            if exact:
                yield from self._by_host.get((port, where.address), ())
                yield from self._wide.get(port, ())
            else:
                yield from self._by_port.get(port, ())


def _compare(
    entry: Entry, flags: tuple[str, ...], where: Where
) -> tuple[bool, bool, Network | None]:
    """Whether the entry covers the region's destinations, whether it meets them, its source."""
    covers = overlaps = True
    source: Network | None = None
    for part, flag in zip(entry.parts, flags, strict=True):
        if isinstance(part, Network):
            if flag == "src":
                source = part
                continue
            mask = part.mask & where.mask
            overlaps &= part.value & mask == where.address & mask
            covers &= part.mask & ~where.mask == 0
        else:
            inside, meets = _port(part, where)
            covers &= inside
            overlaps &= meets
    return covers, overlaps, source


def _port(part: Part, where: Where) -> tuple[bool, bool]:
    number = part.port if isinstance(part, PortOf) else part
    assert isinstance(number, int)
    meets = where.first_port <= number <= where.last_port
    covers = where.first_port == where.last_port == number
    if isinstance(part, PortOf):
        meets &= where.protocol in (None, part.protocol)
        covers &= where.protocol == part.protocol
    else:
        covers &= where.protocol in _WITH_BARE_PORTS
    return covers, meets


def _named(entry: Entry, flags: tuple[str, ...]) -> _Named:
    address, mask, protocol, port, source, source_mask = 0, 0, -1, -1, 0, 0
    for part, flag in zip(entry.parts, flags, strict=True):
        if isinstance(part, Network) and flag == "src":
            source, source_mask = part.value, part.mask
        elif isinstance(part, Network):
            address, mask = part.value, part.mask
        elif isinstance(part, PortOf):
            protocol, port = part
        else:
            protocol, port = 0, part
    return _Named(address, mask, protocol, port, source, source_mask)


def _covers_port(parts: tuple[Part, ...], where: Where) -> bool:
    return all(not isinstance(part, Network) and _port(part, where)[0] for part in parts)


def _place(entry: Entry, flags: tuple[str, ...]) -> tuple[Network | None, PortOf | None]:
    """The destination that an entry names."""
    network = port = None
    for part, flag in zip(entry.parts, flags, strict=True):
        if flag == "dst" and isinstance(part, Network):
            network = part
        elif flag == "dst" and isinstance(part, PortOf):
            port = part
    return network, port


def index_sets(rules: RuleSet) -> dict[str, IndexedSet]:
    """The sets that rules can ask for."""
    return {name: IndexedSet(item) for name, item in (rules.sets or {}).items()}
