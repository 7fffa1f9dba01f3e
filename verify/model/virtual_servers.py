"""Virtual servers as the model sees them: who a packet that reaches IPVS is sent to.

Source: net/netfilter/ipvs/ip_vs_core.c (ip_vs_in_hook, ip_vs_schedule, ip_vs_leave),
ip_vs_ctl.c (ip_vs_service_find: the mark first, then address, protocol and port, then any
port of the address).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from svcc.grammar.address import Family
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.ipvs.ipvsadm import VirtualKey, VirtualServer
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.netfilter.ip_vs import FULL_MARK

_UPPER_BITS = 0xFF000000


@dataclass(slots=True, kw_only=True)
class VirtualIndex:
    """The virtual servers of one family, by what they are looked up by.

    ``addresses`` are known to be the node's own: they are on the dummy device, or, where
    nobody said what is on it, some virtual server has them.
    """

    family: Family
    addresses: frozenset[int]
    by_mark: dict[int, VirtualServer] = field(default_factory=dict)
    by_endpoint: dict[tuple[int, int, int], VirtualServer] = field(default_factory=dict)
    by_port: defaultdict[tuple[int, int], list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )
    by_address: defaultdict[int, list[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def meeting(
        self, address: int, mask: int, full_mask: int, protocol: int | None, port: int | None
    ) -> Iterator[tuple[VirtualKey, VirtualServer]]:
        """Virtual servers that packets of a region may meet, other than by a mark."""
        if mask == full_mask and protocol is not None and port is not None:
            for number in (port, 0):
                server = self.by_endpoint.get((protocol, address, number))
                if server is not None:
                    yield VirtualKey(self.family, protocol, address, number), server
            return
        if mask == full_mask:
            for found_protocol, number in sorted(self.by_address.get(address, ())):
                if protocol in (None, found_protocol) and port in (None, number):
                    key = VirtualKey(self.family, found_protocol, address, number)
                    yield key, self.by_endpoint[found_protocol, address, number]
            return
        places: Iterable[tuple[int, int]] = self.by_port
        if protocol is not None and port is not None:
            places = [place for place in ((protocol, port), (protocol, 0)) if place in self.by_port]
        for found_protocol, found_port in sorted(places):
            if protocol not in (None, found_protocol):
                continue
            for found in self.by_port[found_protocol, found_port]:
                if found & mask == address & mask:
                    key = VirtualKey(self.family, found_protocol, found, found_port)
                    yield key, self.by_endpoint[found_protocol, found, found_port]


def arriving_marks(index: VirtualIndex) -> tuple[tuple[int, int], ...]:
    """Marks (value, mask) with which no packet arrives: an assumption.

    Whatever has the mark of a virtual server is its, so nobody else may use it; nor, where
    its upper eight bits say whose it is, any other with the same ones.
    """
    found = set()
    for mark in index.by_mark:
        upper = mark & _UPPER_BITS
        found.add((upper, _UPPER_BITS) if upper else (mark, FULL_MARK))
    return tuple(sorted(found))


def index_virtual(rules: RuleSet) -> VirtualIndex | None:
    """The virtual servers beside a rule set, None if there is no IPVS."""
    if rules.ipvs is None:
        return None
    family = rules.family
    index = VirtualIndex(family=family, addresses=virtual_addresses(rules.ipvs, family))
    for key, server in rules.ipvs.servers.items():
        if key.family is not family:
            continue
        if not key.protocol:
            index.by_mark[key.address] = server
        else:
            index.by_endpoint[key.protocol, key.address, key.port] = server
            index.by_port[key.protocol, key.port].append(key.address)
            index.by_address[key.address].append((key.protocol, key.port))
    return index


def virtual_addresses(ipvs: Ipvs, family: Family) -> frozenset[int]:
    """The virtual IPs: those of the dummy device if they are known."""
    known = ipvs.addresses.get(family)
    if known is not None:
        return frozenset(known)
    return frozenset(k.address for k in ipvs.servers if k.family is family and k.protocol)
