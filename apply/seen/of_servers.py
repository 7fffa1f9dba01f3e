"""Frontends of ipvs mode: virtual servers, and what sets say of the others
(:mod:`svcc.compiler.lower.ipvs`).
"""

from __future__ import annotations

from collections.abc import Mapping

from svcc.apply.frontends import Backend, Frontends, Key, add
from svcc.grammar.address import Network
from svcc.grammar.ipvs.ipset import PortOf
from svcc.grammar.ipvs.ipvsadm import VirtualKey
from svcc.grammar.ipvs.state import Ipvs

_MARK = 0
_DENIED = ("-REFUSED", "-DROPPED")
"""How sets of frontends without backends are called."""


def of_servers(ipvs: Ipvs, counts: Mapping[VirtualKey, int] | None = None) -> Frontends:
    """The frontends of svcc's virtual servers and sets.

    Args:
        ipvs: what is loaded.
        counts: connections of virtual servers.
    """
    found: Frontends = {}
    marks: dict[tuple[int, int], list[Key]] = {}
    endpoints: set[Key] = set()
    for item in ipvs.sets.values():
        for parts, entry in item.entries.items():
            match parts:
                case (Network() as network, PortOf(protocol, port)) if item.family is not None:
                    is_node_port = item.kind != "hash:ip,port"
                    address = None if is_node_port else network.value
                    key = Key(item.family, protocol, address, port)
                    endpoints.add(key)
                    if item.name.endswith(_DENIED):
                        add(found, key).rules.append(f"ipset {item.name}")
                    if entry.mark is not None:
                        place = marks.setdefault((int(item.family), entry.mark[0]), [])
                        if key not in place:
                            place.append(key)
    for server, definition in ipvs.servers.items():
        backends = {Backend(real.address, real.port) for real in definition.servers}
        if server.protocol == _MARK:
            keys = marks.get((int(server.family), server.address), [])
            rule = f"virtual server FWM {server.address}"
        else:
            key = Key(server.family, server.protocol, server.address, server.port)
            node_port = key._replace(address=None)
            keys = [node_port if key not in endpoints and node_port in endpoints else key]
            rule = f"virtual server {server}"
        for key in keys:
            known = add(found, key)
            known.backends |= backends
            known.rules.append(rule)
            if counts is not None and server in counts:
                known.connections = (known.connections or 0) + counts[server]
    return found
