"""What a command of ipvs mode does to a model of the kernel."""

from __future__ import annotations

from copy import copy
from typing import assert_never

from svcc.apply.ipvs.commands import (
    AddAddress,
    AddEntry,
    AddReal,
    AddServer,
    Command,
    CommandOfIpset,
    CreateDevice,
    CreateSet,
    DestroySet,
    EditReal,
    EditServer,
    RaiseDevice,
    RemoveAddress,
    RemoveDevice,
    RemoveEntry,
    RemoveReal,
    RemoveServer,
    SetSysctl,
    SetTimeouts,
    SwapSets,
    WaitForConnections,
)
from svcc.grammar.ipvs.ipset import Set, Sets
from svcc.grammar.ipvs.ipvsadm import VirtualServer
from svcc.grammar.ipvs.state import Ipvs


def run_on(model: Ipvs, command: Command) -> None:
    """Do to a model, in place, what a command does to the kernel.

    Parts of the model are replaced, not changed, so that shallow copies stay as they were.

    Raises:
        ValueError: the kernel would refuse the command.
    """
    match command:
        case SetTimeouts(seconds):
            pairs = zip(model.timeouts, seconds, strict=True)
            tcp, tcp_fin, udp = (new or old for old, new in pairs)
            model.timeouts = (tcp, tcp_fin, udp)
        case AddServer(key, scheduling):
            _expect(key not in model.servers, command)
            model.servers = {**model.servers, key: VirtualServer(scheduling)}
        case EditServer(key, scheduling):
            _expect(key in model.servers, command)
            changed = VirtualServer(scheduling, model.servers[key].servers)
            model.servers = {**model.servers, key: changed}
        case RemoveServer(key):
            _expect(key in model.servers, command)
            model.servers = {k: s for k, s in model.servers.items() if k != key}
        case AddReal(key, real, server) | EditReal(key, real, server):
            _expect(key in model.servers, command)
            there = model.servers[key]
            _expect((real in there.servers) == isinstance(command, EditReal), command)
            changed = VirtualServer(there.scheduling, {**there.servers, real: server})
            model.servers = {**model.servers, key: changed}
        case RemoveReal(key, real):
            _expect(key in model.servers and real in model.servers[key].servers, command)
            there = model.servers[key]
            left = {r: s for r, s in there.servers.items() if r != real}
            model.servers = {**model.servers, key: VirtualServer(there.scheduling, left)}
        case AddAddress(family, address):
            known = model.addresses.get(family, ())
            _expect(address not in known, command)
            model.addresses = {**model.addresses, family: tuple(sorted((*known, address)))}
        case RemoveAddress(family, address, length):
            if length == family.bits:
                known = model.addresses.get(family, ())
                _expect(address in known, command)
                left_over = tuple(a for a in known if a != address)
                model.addresses = {**model.addresses, family: left_over}
        case RemoveDevice():
            model.addresses = dict.fromkeys(model.addresses, ())
        case CreateSet() | DestroySet() | SwapSets() | AddEntry() | RemoveEntry():
            model.sets = _with_sets(model.sets, command)
        case CreateDevice() | RaiseDevice() | SetSysctl() | WaitForConnections():
            pass
        case _:
            assert_never(command)


def _with_sets(sets: Sets, command: CommandOfIpset) -> Sets:
    match command:
        case CreateSet(name, kind, family, size, maps_marks):
            _expect(name not in sets, command)
            return {
                **sets,
                name: Set(
                    name=name,
                    kind=kind,
                    family=family,
                    entries={},
                    max_entries=size,
                    maps_marks=maps_marks,
                ),
            }
        case DestroySet(name):
            _expect(name in sets, command)
            return {n: s for n, s in sets.items() if n != name}
        case SwapSets(first, second):
            _expect(first in sets and second in sets, command)
            one, other = copy(sets[first]), copy(sets[second])
            _expect((one.kind, one.family) == (other.kind, other.family), command)
            one.name, other.name = second, first
            return {**sets, first: other, second: one}
        case AddEntry(name, entry):
            _expect(name in sets and entry.parts not in sets[name].entries, command)
            entries = {**sets[name].entries, entry.parts: entry}
            _expect(len(entries) <= sets[name].max_entries, command)
        case RemoveEntry(name, parts):
            _expect(name in sets and parts in sets[name].entries, command)
            entries = {p: e for p, e in sets[name].entries.items() if p != parts}
        case _:
            assert_never(command)
    changed = copy(sets[command.name])
    changed.entries = entries
    return {**sets, command.name: changed}


def _expect(holds: bool, command: Command) -> None:
    if not holds:
        raise ValueError(f"the kernel would refuse {command}")
