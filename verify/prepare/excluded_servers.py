"""Virtual servers that are other people's (``ipvs.excludeCIDRs``)."""

from __future__ import annotations

from collections.abc import Iterable

from svcc.grammar.address import Network
from svcc.grammar.ipvs.state import Ipvs


def without_others(ipvs: Ipvs, excluded: Iterable[Network]) -> Ipvs:
    """Leave out virtual servers whose addresses are other people's (``excludeCIDRs``)."""
    networks = tuple(excluded)
    servers = {
        key: server
        for key, server in ipvs.servers.items()
        if not key.protocol
        or not any(n.family is key.family and key.address & n.mask == n.value for n in networks)
    }
    return Ipvs(servers, ipvs.sets, ipvs.addresses, ipvs.timeouts, ipvs.strict_arp)
