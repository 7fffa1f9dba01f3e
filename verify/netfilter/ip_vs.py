"""IPVS scheduling, as both models take it.

Source: net/netfilter/ipvs/ip_vs_core.c (ip_vs_schedule, ip_vs_sched_persist), the schedulers
ip_vs_*.c.
"""

from __future__ import annotations

from svcc.grammar.iptables.program import PROBABILITY_ONE
from svcc.grammar.ipvs.ipvsadm import (
    FORWARDING_METHODS,
    RealKey,
    Scheduling,
    VirtualKey,
    VirtualServer,
)

FULL_MARK = 0xFFFFFFFF
WEIGHTED = frozenset({"wrr", "wlc", "sed", "nq", "mh", "sh", "lblc", "lblcr"})
"""Schedulers that send more to a real server of more weight; all send nothing to weight 0."""


UNEVEN = frozenset({"fo", "ovf"})
"""Schedulers that prefer one real server as long as it can take connections (ip_vs_fo.c,
ip_vs_ovf.c)."""


def outside_the_model(key: VirtualKey, server: VirtualServer) -> str | None:
    """What neither model knows of a virtual server, in the words of ipvsadm; None: nothing.

    Direct routing and tunnels leave address and port of the packet as they are, thresholds take
    real servers out by the number of their connections, a netmask has clients share a choice, and
    one-packet scheduling makes no connection.
    """
    found = [
        FORWARDING_METHODS[real.method]
        for real in server.servers.values()
        if real.method != "masquerading"
    ]
    if any(real.upper_threshold or real.lower_threshold for real in server.servers.values()):
        found.append("-x")
    scheduling = server.scheduling
    if scheduling.scheduler in UNEVEN:
        found.append(f"-s {scheduling.scheduler}")
    if scheduling.netmask not in (None, key.family.bits):
        found.append(f"-M {scheduling.netmask}")
    if scheduling.one_packet:
        found.append("-o")
    if scheduling.persistence_engine:
        found.append(f"--pe {scheduling.persistence_engine}")
    return " ".join(dict.fromkeys(found)) or None


def usable(server: VirtualServer) -> list[tuple[RealKey, int]]:
    """The real servers that get new connections, and their weights."""
    weighted = server.scheduling.scheduler in WEIGHTED
    return [
        (key, real.weight if weighted else 1)
        for key, real in server.servers.items()
        if real.weight > 0
    ]


def thresholds(weights: list[int]) -> list[int]:
    """Chances of successive choices, in units of 2**-31; the last is certain."""
    left = sum(weights)
    found = []
    for weight in weights[:-1]:
        found.append(round(PROBABILITY_ONE * weight / left))
        left -= weight
    return found


def translated_port(key: VirtualKey, scheduling: Scheduling, real: RealKey) -> int | None:
    """The port that the real server gets, None: the one that the client asked for.

    A persistent firewall-mark virtual server translates no port (ip_vs_sched_persist).
    """
    if not key.protocol and scheduling.persistence is not None:
        return None
    return real.port or None
