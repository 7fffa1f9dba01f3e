"""Whether two states of what ipvs mode loads beside rules are the same, and what differs."""

from __future__ import annotations

from svcc.apply.ipvs.sets import PENDING
from svcc.grammar.address import Family, format_address
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.ipset import Set
from svcc.grammar.ipvs.ipvsadm import VirtualKey, VirtualServer
from svcc.grammar.ipvs.state import DEVICE, Ipvs


def own_difference(loaded: Ipvs, wanted: Ipvs) -> str | None:
    """What the first object is in which two states differ; None if there is none."""
    # A wanted state has these only if it was read while somebody's apply was unfinished.
    unfinished = {*PENDING.values()} & wanted.sets.keys()
    for name in dict.fromkeys((*wanted.sets, *loaded.sets)):
        if name not in unfinished and loaded.sets.get(name) != wanted.sets.get(name):
            return f"the set {name}"
    for key in dict.fromkeys((*wanted.servers, *loaded.servers)):
        if loaded.servers.get(key) != wanted.servers.get(key):
            return f"the virtual server {key}"
    for family in Family:
        if loaded.addresses.get(family, ()) != tuple(sorted(wanted.addresses.get(family, ()))):
            return f"the {family.label} part of {DEVICE}"
    if any(new and new != old for old, new in zip(loaded.timeouts, wanted.timeouts, strict=True)):
        return "ipvsadm --set"
    return None


def object_lines(ipvs: Ipvs) -> dict[str, list[str]]:
    """Every object with the lines that make it."""
    lines: dict[str, list[str]] = {}
    for name in sorted(ipvs.sets):
        lines[f"ipset {name}"] = _set_lines(name, ipvs.sets[name])
    for key in sorted(ipvs.servers):
        lines[f"ipvsadm {ipvsadm.key_words(key)}"] = _server_lines(key, ipvs.servers[key])
    for family in Family:
        addresses = sorted(ipvs.addresses.get(family, ()))
        lines[f"ip address {DEVICE} {family.label}"] = [
            f"address add {format_address(family, address)}/{family.bits} dev {DEVICE}"
            for address in addresses
        ]
    return lines


def _set_lines(name: str, item: Set) -> list[str]:
    entries = sorted(f"add {name} {ipset.entry_words(entry)}" for entry in item.entries.values())
    return [f"create {name} {ipset.definition(item)}", *entries]


def _server_lines(key: VirtualKey, server: VirtualServer) -> list[str]:
    return [
        f"-A {ipvsadm.service_words(key, server.scheduling)}",
        *(f"-a {ipvsadm.server_words(key, r, server.servers[r])}" for r in sorted(server.servers)),
    ]
