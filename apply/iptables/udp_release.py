"""Releasing UDP flows that stick to where nat rules sent them before they changed."""

from __future__ import annotations

from svcc.apply.iptables.read import TableState
from svcc.apply.iptables.udp_reach import Reach
from svcc.apply.system import conntrack
from svcc.apply.system.conntrack import Endpoint, Flow
from svcc.apply.system.tools import Tools
from svcc.grammar.address import Family


def changes_udp(current: TableState, wanted: TableState) -> bool:
    """Whether UDP packets may fare otherwise in one nat table than in the other."""
    chains = dict.fromkeys((*current.chains, *wanted.chains))
    for chain in chains:
        before, after = current.chains.get(chain, []), wanted.chains.get(chain, [])
        if before != after and any(" -p udp " in line for line in {*before} ^ {*after}):
            return True
    return False


def release(tools: Tools, family: Family, before: TableState, now: TableState) -> int:
    """Delete the flows to our frontends that today's rules would not make.

    Args:
        tools: runs conntrack(8).
        family: whose flows.
        before: the nat table until this apply.
        now: the nat table that is loaded.

    Returns:
        How many kinds of flows (frontend and answering backend) were deleted.

    Raises:
        ToolError: conntrack(8) is not installed or not allowed.
    """
    reach_before, reach_now = Reach(family, before), Reach(family, now)
    stale = []
    flows_by_destination: dict[Endpoint, list[Flow]] = {}
    for flow in conntrack.udp_flows(tools, family):
        flows_by_destination.setdefault(flow.destination, []).append(flow)
    for destination, flows in flows_by_destination.items():
        local = conntrack.is_local(family, destination[0])
        old = reach_before.backends(destination, local=local)
        new = reach_now.backends(destination, local=local)
        # With nobody to serve it now, a flow is ours to delete only if we had sent it there.
        stale += [f for f in flows if f.answering not in new and (new or f.answering in old)]
    for flow in stale:
        conntrack.delete(tools, family, flow)
    return len(stale)
