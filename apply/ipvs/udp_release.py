"""Releasing UDP flows that stick to where they were sent before virtual servers changed."""

from __future__ import annotations

from svcc.apply.system import conntrack
from svcc.apply.system.tools import Tools
from svcc.grammar.address import Family
from svcc.grammar.ipvs.ipvsadm import VirtualServers
from svcc.grammar.numbers import TRANSPORTS


def release(tools: Tools, before: VirtualServers, now: VirtualServers) -> int:
    """Delete the UDP flows to virtual servers that IPVS would no longer make.

    IPVS lets conntrack know which real server answers. When a real server goes, it forgets
    the flows to it by itself, but not those that came before there was a virtual server.

    Args:
        tools: runs conntrack(8).
        before: our virtual servers until now.
        now: those that are there; flows to ones that are not are deleted.

    Returns:
        How many kinds of flows (frontend and answering backend) were deleted.

    Raises:
        ToolError: conntrack(8) is not installed or not allowed.
    """
    count = 0
    for family in Family:
        served = {
            (key.address, key.port): {*now[key].servers} if key in now else set()
            for key in (*before, *now)
            if key.family is family and key.protocol == TRANSPORTS["udp"]
        }
        # Node ports are translated to the virtual server's address first.
        by_port = {
            port: reals
            for (address, port), reals in served.items()
            if conntrack.is_local(family, address)
        }
        if not served:
            continue
        for flow in conntrack.udp_flows(tools, family):
            reals = served.get(flow.destination)
            if reals is None and flow.destination[1] in by_port:
                if not conntrack.is_local(family, flow.destination[0]):
                    continue
                reals = by_port[flow.destination[1]]
            if reals is not None and flow.answering not in reals:
                conntrack.delete(tools, family, flow)
                count += 1
    return count
