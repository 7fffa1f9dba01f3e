"""The proof that every step of an apply is safe: apply's moments, judged by the verifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING, assert_never

from svcc.api.applying.moment_rules import MomentRules, named, translated_to
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.ipvs.ipset import Part, PortOf, Set, Sets
from svcc.grammar.ipvs.ipvsadm import VirtualKey, VirtualServers
from svcc.grammar.ipvs.state import Ipvs

if TYPE_CHECKING:
    from svcc.apply.moments import Moment
    from svcc.verify.transitions import Destination, Judge, State

MAX_MOMENTS = 1500
MAX_WITH_TABLES = 5_000
"""Frontends looked at, where nftables tables are among what is loaded: each is a walk by every kind
of sender through the rules of two modes, in two orders."""
MAX_COMPARISONS = 10_000_000
"""Frontends looked at, times what is loaded; beyond, a proof would take longer than it is worth."""


class TooManyError(Exception):
    """There are more frontends and moments than are judged."""


def check(moments: Iterable[Moment], addresses: tuple[Address, ...]) -> list[str]:
    """What is unsafe in some moment, in words; empty if nothing is.

    Args:
        moments: from :func:`svcc.apply.moments.moments`.
        addresses: the node's own, virtual IPs aside.

    Raises:
        TooManyError: see there.
        UndecidableError: a packet meets a rule outside the model.
    """
    listed = list(islice(moments, MAX_MOMENTS + 1))
    if len(listed) > MAX_MOMENTS:
        raise TooManyError
    found: list[str] = []
    with_nftables = any(moment.nftables.tables for moment in listed)
    for family in Family:
        if all(family in moment.tables for moment in listed):
            for turned in (False, True) if with_nftables else (False,):
                found += _family(listed, family, addresses, MomentRules(turned))
    return list(dict.fromkeys(found))


def _family(
    listed: list[Moment], family: Family, addresses: tuple[Address, ...], rules: MomentRules
) -> list[str]:
    from svcc.verify.transitions import Judge

    own = frozenset(a.value for a in addresses if a.family is family)
    first, last = listed[0], listed[-1]
    backends = frozenset(
        translated_to(rules.of(first, family)) | translated_to(rules.of(last, family))
    )
    everything = sorted(
        _destinations((first.ipvs, last.ipvs), family, own)
        | _named_by_rules((first, last), family, own, rules)
    )
    size = sum(len(item.entries) for item in last.ipvs.sets.values()) + len(last.ipvs.servers)
    if len(everything) * len(listed) > MAX_COMPARISONS:
        raise TooManyError
    by_moment = [
        (moment, _touched(moment, first.ipvs, last.ipvs, everything, family, backends))
        for before, moment in pairwise(listed[:-1])
        if moment.command is not None or _differ(before, moment, family)
    ]
    compared = sum(len(destinations) for _, destinations in by_moment)
    with_nftables = any(moment.nftables.tables for moment in listed)
    if compared * size > MAX_COMPARISONS or (with_nftables and compared > MAX_WITH_TABLES):
        raise TooManyError
    found = []
    judges: dict[Destination, Judge] = {}
    for moment, destinations in by_moment:
        for destination in destinations:
            if destination not in judges:
                old, new = (
                    _state(m, family, destination, rules, own, backends) for m in (first, last)
                )
                judges[destination] = Judge(old, new, destination)
            elif _is_unasked(moment, judges[destination].consulted):
                continue
            for problem in judges[destination].unsafe(
                _state(moment, family, destination, rules, own, backends)
            ):
                found.append(f"{moment.title}: {problem}")
                break
    return found


def _differ(before: Moment, after: Moment, family: Family) -> bool:
    return (
        before.tables[family] != after.tables[family]
        or before.ipvs != after.ipvs
        or before.nftables != after.nftables
    )


def _is_unasked(moment: Moment, consulted: frozenset[VirtualKey] | None) -> bool:
    """Whether the command changes the real servers of a virtual server that gets no packets."""
    from svcc.apply.ipvs import commands

    match moment.command:
        case commands.AddReal(key) | commands.EditReal(key) | commands.RemoveReal(key):
            return consulted is not None and key not in consulted
        case _:
            return False


def _named_by_rules(
    moments: tuple[Moment, ...], family: Family, own: frozenset[int], rules: MomentRules
) -> set[Destination]:
    """The destinations that rules of iptables and nftables mode name.

    Between iptables and ipvs mode sets and virtual servers name all of them already.
    """
    if not any(moment.nftables.tables for moment in moments):
        return set()
    return named((rules.of(moment, family) for moment in moments), own)


def _state(
    moment: Moment,
    family: Family,
    destination: Destination,
    rules: MomentRules,
    own: frozenset[int],
    backends: frozenset[tuple[int, int]],
) -> State:
    """One moment, as far as one destination is concerned."""
    from svcc.verify.transitions import State

    kept = replace(
        rules.of(moment, family), ipvs=_about(moment.ipvs, family, destination, own, backends)
    )
    return State(kept, own, rules.asked(moment, family))


def _about(
    ipvs: Ipvs,
    family: Family,
    destination: Destination,
    own: frozenset[int],
    backends: frozenset[tuple[int, int]],
) -> Ipvs:
    """The part of a state that can have to do with packets to a destination.

    A node port's packets may be sent on to the same port of another address of the node, and
    what nat rules have translated to a virtual server's address is sent on from there.
    """
    places = {destination.address} | (own if destination.address in own else frozenset())
    servers: VirtualServers = {
        key: server
        for key, server in ipvs.servers.items()
        if key.family is family
        and (not key.protocol or key.address in places or (key.address, key.port) in backends)
    }
    sets: Sets = {}
    for name, item in ipvs.sets.items():
        part = Set(
            name=item.name,
            kind=item.kind,
            family=item.family,
            entries={},
            max_entries=item.max_entries,
            maps_marks=item.maps_marks,
        )
        part.entries = {
            parts: entry
            for parts, entry in item.entries.items()
            if _meets(parts[0], places) or name.endswith("VIP")
        }
        sets[name] = part
    return Ipvs(servers, sets, ipvs.addresses)


def _meets(part: object, places: set[int] | frozenset[int]) -> bool:
    if not isinstance(part, Network):
        return True
    return any(place & part.mask == part.value for place in places)


def _destinations(states: Iterable[Ipvs], family: Family, own: frozenset[int]) -> set[Destination]:
    """The destinations that old or new name."""
    from svcc.verify.transitions import Destination

    found = set()
    for ipvs in states:
        for key in ipvs.servers:
            if key.family is family and key.protocol:
                found.add(Destination(key.address, key.protocol, key.port))
        for item in ipvs.sets.values():
            for parts in item.entries:
                found.update(_of_entry(parts, family, own))
    return found


def _of_entry(
    parts: tuple[object, ...], family: Family, own: frozenset[int]
) -> Iterator[Destination]:
    from svcc.verify.transitions import Destination

    if len(parts) < 2 or not isinstance(parts[0], Network) or not isinstance(parts[1], PortOf):
        return
    network, port = parts[0], parts[1]
    if network.family is not family:
        return
    if network.prefix_length == family.bits:
        yield Destination(network.value, port.protocol, port.port)
    else:
        for address in sorted(own):
            if address & network.mask == network.value:
                yield Destination(address, port.protocol, port.port)


def _touched(
    moment: Moment,
    old: Ipvs,
    new: Ipvs,
    everything: list[Destination],
    family: Family,
    backends: frozenset[tuple[int, int]],
) -> list[Destination]:
    """The destinations whose packets the moment's command can have to do with."""
    from svcc.apply.ipvs import commands

    match moment.command:
        case None | commands.DestroySet() | commands.SwapSets() | commands.RemoveDevice():
            return everything
        case commands.AddServer(key) if (key.address, key.port) in backends:
            # Packets reach it before its first real server is there. IPVS cannot add both at
            # once; docs/apply.md says so, and what comes next is judged.
            return []
        case commands.AddServer(key) | commands.EditServer(key) | commands.RemoveServer(key):
            return _of_server(key, (old, new), everything, family, backends)
        case commands.AddReal(key) | commands.EditReal(key) | commands.RemoveReal(key):
            return _of_server(key, (old, new), everything, family, backends)
        case commands.AddAddress(of, address) | commands.RemoveAddress(of, address):
            return [t for t in everything if of is family and t.address == address]
        case commands.AddEntry(_, entry):
            return _of_parts(entry.parts, everything, family)
        case commands.RemoveEntry(_, parts):
            return _of_parts(parts, everything, family)
        case commands.CreateSet() | commands.CreateDevice() | commands.RaiseDevice():
            return []
        case commands.SetSysctl() | commands.SetTimeouts() | commands.WaitForConnections():
            return []
        case other:
            assert_never(other)


def _of_server(
    key: VirtualKey,
    states: Iterable[Ipvs],
    everything: list[Destination],
    family: Family,
    backends: frozenset[tuple[int, int]],
) -> list[Destination]:
    if key.family is not family:
        return []
    if (key.address, key.port) in backends:
        return everything
    if key.protocol:
        # A node port's virtual server has packets to other addresses of the node, too.
        return [t for t in everything if (t.protocol, t.port) == (key.protocol, key.port)]
    marked = set(_marked(key.address, states))
    return [t for t in everything if (t.protocol, t.port) in marked]


def _of_parts(
    parts: tuple[Part, ...], everything: list[Destination], family: Family
) -> list[Destination]:
    """The destinations that an entry of a set can speak of."""
    match parts:
        case (Network() as network, *_) if network.family is not family:
            return []
        case (Network() as network, PortOf(protocol, port), *_):
            return [
                t
                for t in everything
                if (t.protocol, t.port) == (protocol, port) and _meets(network, {t.address})
            ]
        case (Network() as network, *_):
            return [t for t in everything if _meets(network, {t.address})]
        case _:
            return everything


def _marked(mark: int, states: Iterable[Ipvs]) -> Iterator[tuple[int, int]]:
    for ipvs in states:
        for item in ipvs.sets.values():
            for parts, entry in item.entries.items():
                if entry.mark and entry.mark[0] == mark and isinstance(parts[1], PortOf):
                    yield parts[1].protocol, parts[1].port
