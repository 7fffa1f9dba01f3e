"""Entries of sets as they might have been meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from svcc.grammar.address import Network
from svcc.grammar.iptables.program import MapMark, SetMatch
from svcc.grammar.ipvs.ipset import Entry, Part, PortOf, Set, entry_words, host, key_words
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.cause.changes import Bench, Change
from svcc.verify.cause.walks import Walks
from svcc.verify.confirm.causes import Cause
from svcc.verify.simulator.packet import Packet
from svcc.verify.simulator.set_membership import find_entry


@dataclass(frozen=True, slots=True)
class Entries:
    """What tries of entries need to know.

    ``kinds`` are those of the frontends by address (None: a node port), protocol and port;
    ``kind`` is that of the packet's. ``networks`` are sources that its Service names.
    """

    kinds: Mapping[tuple[int | None, int, int], str]
    kind: str
    networks: tuple[Network, ...]
    usual: str
    """``kind``, or ``source ranges`` where others than these networks are refused."""

    def kind_of(self, entry: Entry) -> str:
        """The kind of the frontend that an entry is of; empty if of none."""
        port = next((p for p in entry.parts if isinstance(p, PortOf)), None)
        network = next((p for p in entry.parts if isinstance(p, Network)), None)
        if port is None or network is None:
            return ""
        single = network.prefix_length == network.family.bits
        return self.kinds.get((network.value if single else None, *port), "")

    def likeness(self, item: Set) -> int:
        """Whether a set's entries are of frontends of the same kind: 1, 0 (not known), or -1."""
        found = {kind for entry in item.entries.values() if (kind := self.kind_of(entry))}
        whole = any(isinstance(p, Network) and p.prefix_length < p.family.bits
                    for entry in item.entries.values() for p in entry.parts)  # fmt: skip
        if found:
            return 1 if _outside(self.kind) in map(_outside, found) else -1
        return int(whole == (self.kind == "node port")) if item.entries else 0


def _outside(kind: str) -> str:
    """Kinds that share their sets as one: addresses from outside the cluster."""
    return kind if kind in ("cluster IP", "node port") else "outside"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A set that a rule on the packet's way asks, with its flags."""

    item: Set
    flags: tuple[str, ...]


def other_entries(
    bench: Bench, walks: Walks, known: Entries, *, missing_first: bool
) -> Iterator[Iterable[Change]]:
    """The sets that rules on the packet's way ask, with one entry less, another or one more."""
    ipvs = bench.rules.ipvs
    if ipvs is None:
        return
    asked = list(_asked(walks, ipvs))
    phases = [
        _surplus_entries(ipvs, asked, walks.retry.packet, known),
        _corrected_entries(ipvs, asked, walks, known),
        _missing_entries(ipvs, asked, walks, known),
    ]
    yield from phases[1:] if missing_first else phases
    if missing_first:
        yield phases[0]


def _surplus_entries(
    ipvs: Ipvs, asked: list[_Asked], packet: Packet, known: Entries
) -> Iterator[Change]:
    for each in asked:
        for entry in each.item.entries.values():
            if _holds(each, entry, packet):
                yield from _without_or_marked(ipvs, each.item, entry)
                for other in _narrower(entry, known.networks):
                    if not _holds(each, other, packet):
                        yield _of_entry_as(ipvs, each.item, entry, other)


def _narrower(entry: Entry, networks: Iterable[Network]) -> Iterator[Entry]:
    for at, part in enumerate(entry.parts):
        for network in networks:
            if isinstance(part, Network) and network != part and _within(network, part):
                parts = (*entry.parts[:at], network, *entry.parts[at + 1 :])
                yield entry._replace(parts=parts)


def _within(inner: Network, outer: Network) -> bool:
    return inner.prefix_length >= outer.prefix_length and inner.value & outer.mask == outer.value


def _corrected_entries(
    ipvs: Ipvs, asked: list[_Asked], walks: Walks, known: Entries
) -> Iterator[Change]:
    for each in asked:
        for parts in _wanted_parts(each, walks):
            for entry in each.item.entries.values() if parts not in each.item.entries else ():
                other = _corrected(entry, parts)
                if other is not None and not known.kind_of(entry):
                    yield _of_entry_as(ipvs, each.item, entry, other)


def _missing_entries(
    ipvs: Ipvs, asked: list[_Asked], walks: Walks, known: Entries
) -> Iterator[Change]:
    for each in asked:
        for parts in _wanted_parts(each, walks):
            if parts in each.item.entries:
                continue
            marks = {e.mark: None for e in each.item.entries.values()}
            keys = [key.address for key in ipvs.servers if not key.protocol]
            marks |= {(key, 0xFFFFFFFF): None for key in keys}
            for mark in marks if each.item.maps_marks else (None,):
                changed = {**each.item.entries, parts: Entry(parts, mark)}
                file = ipvs.files.get("ipset", "")
                yield Change(
                    cause=partial(
                        Cause, file, each.item.line, "", each.item.name, "",
                        f"the entry {key_words(parts)}",
                    ),
                    ipvs=_with_set(ipvs, each.item, changed),
                    like=known.likeness(each.item),
                )  # fmt: skip


def _asked(walks: Walks, ipvs: Ipvs) -> Iterator[_Asked]:
    seen = set()
    for met in (*walks.fired, *walks.passed()):
        asks: list[tuple[str, tuple[str, ...]]] = [
            (m.name, m.flags) for m in met.rule.matches if isinstance(m, SetMatch)
        ]
        if isinstance(met.rule.target, MapMark):
            asks.append((met.rule.target.name, met.rule.target.flags))
        for name, flags in asks:
            item = ipvs.sets.get(name)
            if item is not None and item.is_plain and (name, flags) not in seen:
                seen.add((name, flags))
                yield _Asked(item, flags)


def _holds(asked: _Asked, entry: Entry, packet: Packet) -> bool:
    alone = replace(asked.item, entries={entry.parts: entry})
    source = (packet.source, packet.source_port)
    destination = (packet.destination, packet.destination_port)
    try:
        return find_entry(alone, asked.flags, packet.protocol, source, destination) is not None
    except ValueError:
        return False


def _with_set(ipvs: Ipvs, item: Set, entries: dict[tuple[Part, ...], Entry]) -> Ipvs:
    return replace(ipvs, sets={**ipvs.sets, item.name: replace(item, entries=entries)})


def _of_entry(
    ipvs: Ipvs, item: Set, entry: Entry, changed: dict[tuple[Part, ...], Entry], remedy: str
) -> Change:
    def cause() -> Cause:
        text = f"add {item.name} {entry_words(entry)}"
        line = item.lines.get(entry.parts, 0)
        return Cause(ipvs.files.get("ipset", ""), line, "", item.name, text, remedy=remedy)

    return Change(cause=cause, ipvs=_with_set(ipvs, item, changed))


def _of_entry_as(ipvs: Ipvs, item: Set, entry: Entry, other: Entry) -> Change:
    rest = {parts: e for parts, e in item.entries.items() if parts != entry.parts}
    remedy = f"right as {key_words(other.parts)}"
    return _of_entry(ipvs, item, entry, {**rest, other.parts: other}, remedy)


def _without_or_marked(ipvs: Ipvs, item: Set, entry: Entry) -> Iterator[Change]:
    rest = {parts: e for parts, e in item.entries.items() if parts != entry.parts}
    yield _of_entry(ipvs, item, entry, rest, "right without it")
    marks = {e.mark: None for e in item.entries.values()}
    if item.maps_marks:
        marks |= {(key.address, 0xFFFFFFFF): None for key in ipvs.servers if not key.protocol}
    for mark in marks:
        if mark is not None and mark != entry.mark:
            changed = {**item.entries, entry.parts: entry._replace(mark=mark)}
            remedy = f"right with skbmark {mark[0]:#x}"
            yield _of_entry(ipvs, item, entry, changed, remedy)


def _wanted_parts(asked: _Asked, walks: Walks) -> Iterator[tuple[Part, ...]]:
    """The entries that would hold the packet, as it came and as it is sent on."""
    packet = walks.retry.packet
    places = {(packet.destination, packet.destination_port): None}
    places |= {(r.destination, r.destination_port): None for r in walks.results}
    for address, port in places:
        parts: list[Part] = []
        kinds = asked.item.kind.partition(":")[2].split(",")
        for kind, flag in zip(kinds, asked.flags, strict=False):
            if kind == "port":
                whole = PortOf(packet.protocol, port)
                parts.append(port if asked.item.kind == "bitmap:port" else whole)
            else:
                parts.append(host(packet.family, packet.source if flag == "src" else address))
        if len(parts) == len(kinds):
            yield tuple(parts)


def _corrected(entry: Entry, wanted: tuple[Part, ...]) -> Entry | None:
    """The entry with the one part that keeps the packet out as the packet has it."""
    if len(entry.parts) != len(wanted):
        return None
    wrong = [at for at, (p, w) in enumerate(zip(entry.parts, wanted, strict=True))
             if not (p == w or (isinstance(p, Network) and isinstance(w, Network)
                                and w.value & p.mask == p.value))]  # fmt: skip
    if len(wrong) != 1:
        return None
    parts = list(entry.parts)
    parts[wrong[0]] = wanted[wrong[0]]
    return entry._replace(parts=tuple(parts))
