"""The order in which ipvs mode's kernel objects change, as data.

Pure functions on :class:`~svcc.grammar.ipvs.state.Ipvs`: :func:`stages` gives single commands in an
order in which each prefix serves every frontend from the old backends, the new ones or both.
What one command does to a model of the kernel is in :func:`svcc.apply.ipvs.model.run_on`.
docs/apply.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import Enum

from svcc.apply.ipvs.commands import (
    AddAddress,
    AddReal,
    AddServer,
    Command,
    CreateDevice,
    EditReal,
    EditServer,
    RaiseDevice,
    RemoveAddress,
    RemoveDevice,
    RemoveReal,
    RemoveServer,
    SetTimeouts,
    WaitForConnections,
)
from svcc.apply.ipvs.sets import FIREWALL_MARK, SetPlan
from svcc.grammar.address import Family
from svcc.grammar.ipvs.ipvsadm import RealKey, VirtualKey
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.numbers import TRANSPORTS

TCP = TRANSPORTS["tcp"]


class Place(Enum):
    """When a stage has its turn, relative to the iptables rules."""

    BEFORE_RULES = "before any rule"
    BEFORE_NAT = "behind the mangle rules, before the nat rules"
    BEHIND_EXEMPTION = "when old nat rules send nobody to a virtual server, before the new ones"
    BEHIND_NAT = "behind the nat rules, before the last filter rules"
    AFTER_RULES = "when the nat and filter rules are the wanted ones"
    LAST = "when no old mangle rule is left"


@dataclass(frozen=True, slots=True)
class Stage:
    """Commands that do one thing; ``title`` says what, for the person at the terminal."""

    place: Place
    title: str
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """The dummy device as it is.

    ``odd_addresses`` are those that are no single addresses, with their prefix length.
    """

    exists: bool = False
    is_up: bool = False
    odd_addresses: tuple[tuple[Family, int, int], ...] = ()


def is_empty(ipvs: Ipvs) -> bool:
    """Whether there is nothing in it that could be taken away."""
    return not ipvs.servers and not ipvs.sets and not any(ipvs.addresses.values())


def stages(
    live: Ipvs,
    wanted: Ipvs | None,
    *,
    device: Device | None = None,
    addresses_before_nat: frozenset[Family] = frozenset(),
    drain: bool = True,
    behind_nat: frozenset[VirtualKey] = frozenset(),
) -> list[Stage]:
    """What leads from one state to another, in order; no stage is without commands.

    Args:
        live: what is loaded, without anything that is not ours.
        wanted: what should be; None: nothing, as in iptables mode.
        device: the dummy device; None: it is there if there are addresses.
        addresses_before_nat: families that nat rules serve until now.
        drain: real servers that go may end their TCP connections first.
        behind_nat: backends of nat rules of iptables mode, old or new. Where one is a virtual
            server too, IPVS would send those packets on once more.

    Raises:
        ApplyError: a set has to become one of another type.
    """
    wanted = wanted or Ipvs()
    if device is None:
        there = any(live.addresses.values())
        device = Device(there, there)
    all_goes = is_empty(wanted)
    sets = SetPlan(live, None if all_goes else wanted)
    grown = _addresses_grow(live, wanted, device, addresses_before_nat)
    kept = {family: frozenset(wanted.addresses.get(family, ())) for family in Family}
    coming_late = frozenset() if all_goes else clashes(wanted, behind_nat)
    at_once = [key for key in live.servers if all_goes and key in behind_nat]
    going = _Going(live, wanted, at_once)
    slow = [pair for pair in going.reals if drain and _can_drain(pair, live, kept, wanted)]
    weights: list[Command] = [
        EditReal(key, real, replace(live.servers[key].servers[real], weight=0))
        for key, real in slow
        if live.servers[key].servers[real].weight
    ]
    draining = [*weights, WaitForConnections(tuple(slow))] if slow else []
    shrink = list(_addresses_shrink(live, wanted, device))
    # Where nat rules take over, nobody needs the marks any more, and the virtual servers that
    # they lead to must get no packets while they go. Before, the virtual server of the address
    # may have other backends: those for clients from outside.
    marks_go = tuple(sets.unmark())
    marks_first, marks_behind_nat = ((), marks_go) if all_goes else (marks_go, ())
    # What the mangle rules drop must be dropped before a virtual server gets it.
    before, behind_mangle = Place.BEFORE_RULES, Place.BEFORE_NAT
    listed = [
        Stage(before, "timeouts", tuple(_timeouts(live, wanted))),
        Stage(before, "sets: what comes", (*sets.unfinished(), *marks_first, *sets.grow())),
        Stage(
            behind_mangle,
            "virtual servers: what comes",
            tuple(_servers_grow(live, wanted, wanted.servers.keys() - coming_late)),
        ),
        Stage(behind_mangle, "firewall marks: what comes", tuple(sets.marks())),
        Stage(behind_mangle, "virtual IPs: what comes", tuple(grown[True])),
        Stage(
            Place.BEHIND_EXEMPTION,
            "virtual servers that are backends: what comes",
            tuple(_servers_grow(live, wanted, coming_late)),
        ),
        Stage(Place.BEHIND_NAT, "firewall marks: what goes", marks_behind_nat),
        Stage(
            Place.BEHIND_NAT,
            "virtual servers that are backends: what goes",
            tuple(map(RemoveServer, at_once)),
        ),
        Stage(Place.AFTER_RULES, "virtual IPs: what comes", tuple(grown[False])),
    ]
    drained = Stage(Place.AFTER_RULES, "real servers: connections end", tuple(draining))
    gone = Stage(Place.AFTER_RULES, "virtual IPs: what goes", tuple(shrink))
    # Behind nat rules a virtual IP still carries the connections that IPVS made, no new ones.
    listed += [drained, gone] if all_goes else [gone, drained]
    listed += [
        Stage(Place.AFTER_RULES, "virtual servers: what goes", tuple(going.commands())),
        Stage(Place.LAST, "sets: what goes", tuple(sets.shrink())),
    ]
    return [stage for stage in listed if stage.commands]


def _timeouts(live: Ipvs, wanted: Ipvs) -> Iterator[Command]:
    pairs = zip(live.timeouts, wanted.timeouts, strict=True)
    if any(new and new != old for old, new in pairs):
        yield SetTimeouts(wanted.timeouts)


# -- virtual servers -----------------------------------------------------------------------


def clashes(ipvs: Ipvs, behind_nat: frozenset[VirtualKey]) -> frozenset[VirtualKey]:
    """The virtual servers that are backends of nat rules and send packets elsewhere."""
    return frozenset(
        key
        for key, server in ipvs.servers.items()
        if key in behind_nat and server.servers.keys() != {RealKey(key.address, key.port)}
    )


def _servers_grow(live: Ipvs, wanted: Ipvs, which: Collection[VirtualKey]) -> Iterator[Command]:
    for key, server in wanted.servers.items():
        if key not in which:
            continue
        known = live.servers.get(key)
        if known is None:
            yield AddServer(key, server.scheduling)
        there = known.servers if known else {}
        if there == server.servers and known and known.scheduling == server.scheduling:
            continue
        for real, options in server.servers.items():
            if real not in there:
                yield AddReal(key, real, options)
            elif there[real] != options:
                yield EditReal(key, real, options)
        if known is not None and known.scheduling != server.scheduling:
            yield EditServer(key, server.scheduling)


class _Going:
    """Virtual servers and real servers that go."""

    def __init__(self, live: Ipvs, wanted: Ipvs, gone: Collection[VirtualKey]) -> None:
        """Compare; ``gone`` have gone already."""
        self._servers = [k for k in live.servers if k not in wanted.servers and k not in gone]
        self.reals: list[tuple[VirtualKey, RealKey]] = []
        for key, server in live.servers.items():
            if key in gone:
                continue
            kept = wanted.servers[key].servers if key in wanted.servers else {}
            if kept.keys() >= server.servers.keys():
                continue
            self.reals += [(key, real) for real in server.servers if real not in kept]

    def commands(self) -> Iterator[Command]:
        yield from (RemoveReal(key, real) for key, real in self.reals)
        yield from (RemoveServer(key) for key in self._servers)


def _can_drain(
    pair: tuple[VirtualKey, RealKey],
    live: Ipvs,
    kept: dict[Family, frozenset[int]],
    wanted: Ipvs,
) -> bool:
    """Whether connections of a real server that goes can still end by themselves.

    Those to a virtual IP that goes no longer reach IPVS, unless nat rules take over.
    """
    key, _ = pair
    if key.protocol not in (TCP, FIREWALL_MARK):
        return False
    if key.protocol == FIREWALL_MARK or key in wanted.servers or is_empty(wanted):
        return True
    is_virtual_ip = key.address in live.addresses.get(key.family, ())
    return not is_virtual_ip or key.address in kept[key.family]


# -- addresses -----------------------------------------------------------------------------


def _addresses_grow(
    live: Ipvs, wanted: Ipvs, device: Device, before_nat: frozenset[Family]
) -> dict[bool, list[Command]]:
    """Those that must come before nat changes (True), and the others."""
    found: dict[bool, list[Command]] = {True: [], False: []}
    for family in Family:
        there = frozenset(live.addresses.get(family, ()))
        found[family in before_nat] += [
            AddAddress(family, address)
            for address in wanted.addresses.get(family, ())
            if address not in there
        ]
    if any(wanted.addresses.values()):
        preparation: list[Command] = [] if device.exists else [CreateDevice()]
        if not device.is_up:
            preparation.append(RaiseDevice())
        found[bool(found[True])][:0] = preparation
    return found


def _addresses_shrink(live: Ipvs, wanted: Ipvs, device: Device) -> Iterator[Command]:
    if not any(wanted.addresses.values()):
        if device.exists:
            yield RemoveDevice()
        return
    for family, address, length in device.odd_addresses:
        yield RemoveAddress(family, address, length)
    for family in Family:
        kept = frozenset(wanted.addresses.get(family, ()))
        for address in live.addresses.get(family, ()):
            if address not in kept:
                yield RemoveAddress(family, address, family.bits)
