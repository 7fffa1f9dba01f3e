"""IPVS scheduling, as both models take it.

Source: net/netfilter/ipvs/ip_vs_core.c (ip_vs_schedule, ip_vs_sched_persist), the schedulers
ip_vs_*.c.
"""

from __future__ import annotations

from svcc.grammar.iptables.program import PROBABILITY_ONE
from svcc.grammar.ipvs.ipvsadm import RealKey, Scheduling, VirtualKey, VirtualServer

FULL_MARK = 0xFFFFFFFF
WEIGHTED = frozenset({"wrr", "wlc", "sed", "nq", "mh", "sh", "lblc", "lblcr"})
"""Schedulers that send more to a real server of more weight; all send nothing to weight 0."""


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
