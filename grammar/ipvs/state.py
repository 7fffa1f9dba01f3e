"""What ipvs mode loads beside iptables rules: virtual servers, sets, and addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from svcc.grammar.address import Family
from svcc.grammar.ipvs.ipset import Sets
from svcc.grammar.ipvs.ipvsadm import VirtualServers

DEVICE = "svcc-ipvs0"
"""The dummy device that makes virtual IPs addresses of the node."""


@dataclass(slots=True)
class Ipvs:
    """Everything of both families.

    ``addresses`` are those of the dummy device, sorted. ``timeouts``: seconds for TCP, TCP
    after FIN, UDP (``ipvsadm --set``), 0 to leave one as it is. ``strict_arp``: the node
    answers for addresses of the interface that was asked on only. ``files`` are the names of what
    was read: ``ipvsadm``, ``ipset`` and ``addresses``; ``address_lines`` the lines of the latter.
    """

    servers: VirtualServers = field(default_factory=dict)
    sets: Sets = field(default_factory=dict)
    addresses: dict[Family, tuple[int, ...]] = field(default_factory=dict)
    timeouts: tuple[int, int, int] = (0, 0, 0)
    strict_arp: bool = False
    files: Mapping[str, str] = field(default_factory=dict, compare=False)
    address_lines: Mapping[Family, Mapping[int, int]] = field(default_factory=dict, compare=False)


def required_sysctls(ipvs: Ipvs) -> dict[str, str]:
    """The kernel settings that ipvs mode needs, by dotted name.

    Documentation/networking/ipvs-sysctl.rst has what they do, ip-sysctl.rst those of ARP.
    """
    found = {
        # Without a conntrack entry nothing is masqueraded behind IPVS.
        "net.ipv4.vs.conntrack": "1",
        # Clients of a real server that is gone start again, with their next packet.
        "net.ipv4.vs.expire_nodest_conn": "1",
        "net.ipv4.vs.expire_quiescent_template": "1",
    }
    if ipvs.strict_arp:
        found |= {"net.ipv4.conf.all.arp_announce": "2", "net.ipv4.conf.all.arp_ignore": "1"}
    return found
