"""Membership in an ipset, of a whole region of packets at once.

A region fixes some of what a set looks at. If that settles the matter, the answer is yes or
no; if only the source is left open, the answer is a condition on the source; else nothing is
known. Source: ipset(8); net/netfilter/xt_set.c.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from svcc.grammar.address import Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.ipvs.ipset import Entry, Part, PortOf, Set

Condition = tuple[Any, ...]

MAX_WRITTEN = 256
"""A condition on more entries than this is not written out."""

Member = tuple[int, int, int, int, int, int]
"""Destination bits and mask, protocol (0: TCP or UDP) and port (-1: any), source bits and mask."""


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
        self._exceptions = False
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

    def evaluate(
        self, flags: Sequence[str], where: Where, full_mask: int, excluded: Excluded
    ) -> bool | Condition:
        """Whether packets of the region are in the set: yes, no, or a condition.

        An ``unknown`` condition stands for what cannot be told.
        """
        unknown: Condition = ("unknown", f"set {self.item.name}")
        kinds = self.item.kind.partition(":")[2].split(",")
        if not self.item.is_plain or len(kinds) != len(flags) or self._exceptions:
            return unknown
        if any(k == "port" and flag == "src" for k, flag in zip(kinds, flags, strict=True)):
            return unknown
        sources: list[Network] = []
        is_partly = False
        halves: defaultdict[tuple[Part, ...], int] = defaultdict(int)
        for entry in self._candidates(kinds, flags, where, full_mask):
            covers, overlaps, source = _compare(entry, flags, where)
            if not overlaps or excluded(*_place(entry, flags)):
                continue
            if covers and source is None:
                return True
            if covers and source is not None:
                sources.append(source)
                continue
            is_partly = True
            first, rest = entry.parts[0], entry.parts[1:]
            if isinstance(first, Network) and first.prefix_length == 1 and flags[0] == "dst":
                halves[rest] += 1
                if halves[rest] == 2 and _covers_port(rest, where):
                    return True
        if not sources and not is_partly:
            return False
        if is_partly or len(sources) > MAX_WRITTEN:
            members = self.members(flags, (where,), full_mask, lambda _: excluded)
            return unknown if members is None else ("members", members, False)
        return ("any", tuple(("src", n.value, n.mask, False) for n in sorted(sources)), False)

    def members(
        self,
        flags: Sequence[str],
        regions: Sequence[Where],
        full_mask: int,
        excluded: Callable[[int], Excluded],
    ) -> tuple[Member, ...] | None:
        """The entries that packets of some regions can fall under; None: too many to write out.

        ``excluded`` gives the judge of the region of that number.
        """
        kinds = self.item.kind.partition(":")[2].split(",")
        if not self.item.is_plain or len(kinds) != len(flags) or self._exceptions:
            return None
        if any(k == "port" and flag == "src" for k, flag in zip(kinds, flags, strict=True)):
            return None
        found: set[Member] = set()
        for number, where in enumerate(regions):
            is_of_others = excluded(number)
            for entry in self._candidates(kinds, flags, where, full_mask):
                _, overlaps, _ = _compare(entry, flags, where)
                if overlaps and not is_of_others(*_place(entry, flags)):
                    found.add(_member(entry, flags))
                    if len(found) > MAX_WRITTEN:
                        return None
        return tuple(sorted(found))

    def mark(
        self, flags: Sequence[str], where: Where, full_mask: int, excluded: Excluded
    ) -> tuple[tuple[int, int], Condition | None] | bool | None:
        """The mark that an entry gives, and on what it depends whether there is one.

        False: there is none; None: it cannot be told.
        """
        found: set[tuple[int, int] | None] = set()
        kinds = self.item.kind.partition(":")[2].split(",")
        for entry in self._candidates(kinds, flags, where, full_mask):
            _, overlaps, _ = _compare(entry, flags, where)
            if overlaps and not excluded(*_place(entry, flags)):
                found.add(entry.mark)
        if not found or found == {None}:
            return False
        mark = found.pop()
        member = self.evaluate(flags, where, full_mask, excluded)
        if found or mark is None or member is False:
            return None
        if member is True:
            return mark, None
        return None if member[0] == "unknown" else (mark, member)

    def _candidates(
        self, kinds: Sequence[str], flags: Sequence[str], where: Where, full_mask: int
    ) -> Iterable[Entry]:
        ports: Iterable[Part | None] = self._by_port
        if "port" in kinds and where.first_port == where.last_port:
            if kinds == ["port"]:
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


def _compare(entry: Entry, flags: Sequence[str], where: Where) -> tuple[bool, bool, Network | None]:
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
        covers &= where.protocol in (6, 17)
    return covers, meets


def _member(entry: Entry, flags: Sequence[str]) -> Member:
    """What an entry names."""
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
    return address, mask, protocol, port, source, source_mask


def _covers_port(parts: tuple[Part, ...], where: Where) -> bool:
    return all(not isinstance(part, Network) and _port(part, where)[0] for part in parts)


def _place(entry: Entry, flags: Sequence[str]) -> tuple[Network | None, PortOf | None]:
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
    if rules.ipvs is None:
        return {}
    return {name: IndexedSet(item) for name, item in rules.ipvs.sets.items()}
