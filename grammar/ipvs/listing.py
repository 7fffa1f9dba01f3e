"""Virtual servers as ``ipvsadm -Ln`` lists them.

Source: ipvsadm 1.31, ipvsadm.c (print_title, print_service_entry without FMT_RULE).
"""

from __future__ import annotations

from svcc.grammar.address import Family
from svcc.grammar.ipvs.ipvsadm import Scheduling, VirtualKey, VirtualServers, endpoint, netmask_text

TITLE = (
    "IP Virtual Server version 1.2.1 (size=4096)\n"
    "Prot LocalAddress:Port Scheduler Flags\n"
    "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n"
)
"""The version is that of the kernel's interface since 2.6, the size its default."""

_PROTOCOLS = {0: "FWM", 6: "TCP", 17: "UDP", 132: "SCTP"}
_METHODS = {"masquerading": "Masq", "gatewaying": "Route", "ipip": "Tunnel"}


def listing(servers: VirtualServers) -> str:
    """All virtual servers, sorted, without a connection."""
    lines = []
    for key in sorted(servers):
        server = servers[key]
        lines.append(
            f"{_PROTOCOLS[key.protocol]:4} {_address(key)} {_flags(key, server.scheduling)}"
        )
        for real, found in server.servers.items():
            where = endpoint(key.family, real.address, real.port)
            method = _METHODS[found.method]
            lines.append(f"  -> {where:<28} {method:<7} {found.weight:<6} {0:<10} {0:<10}")
    return TITLE + "".join(f"{line}\n" for line in lines)


def _address(key: VirtualKey) -> str:
    if not key.protocol and key.family is Family.IPV6:
        return f"{key} IPv6"
    return str(key)


def _flags(key: VirtualKey, scheduling: Scheduling) -> str:
    words = [scheduling.scheduler]
    if scheduling.flags:
        words.append(f"({','.join(scheduling.flags)})")
    if scheduling.persistence is not None:
        words += ["persistent", str(scheduling.persistence)]
        if scheduling.netmask is not None:
            words += ["mask", netmask_text(key.family, scheduling.netmask)]
    if scheduling.one_packet:
        words.append("ops")
    return " ".join(words)
