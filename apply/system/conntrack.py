"""Releasing UDP flows that stick to where they were sent before the rules changed.

Only the first packet of a flow meets the nat rules; the kernel remembers the outcome. A UDP
client that keeps its port may so stay for ever with a backend that is gone, or with none.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from svcc.apply.iptables.read import TableState
from svcc.apply.iptables.tool import Iptables, find_tool
from svcc.apply.iptables.udp_reach import UDP, Endpoint, Reach
from svcc.apply.system.errors import ToolError
from svcc.grammar.address import Address, Family, format_address, parse_address
from svcc.grammar.ipvs.ipvsadm import VirtualServers

_SOCKET_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """Where a flow was addressed to, and who answers it."""

    destination: Endpoint
    answering: Endpoint


def changes_udp(current: TableState, wanted: TableState) -> bool:
    """Whether UDP packets may fare otherwise in one nat table than in the other."""
    chains = dict.fromkeys((*current.chains, *wanted.chains))
    for chain in chains:
        before, after = current.chains.get(chain, []), wanted.chains.get(chain, [])
        if before != after and any(" -p udp " in line for line in {*before} ^ {*after}):
            return True
    return False


def release(tools: Iptables, family: Family, before: TableState, now: TableState) -> int:
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
    for flow in sorted(set(_flows(tools, family))):
        flows_by_destination.setdefault(flow.destination, []).append(flow)
    for destination, flows in flows_by_destination.items():
        local = _is_local(family, destination[0])
        old = reach_before.backends(destination, local=local)
        new = reach_now.backends(destination, local=local)
        # With nobody to serve it now, a flow is ours to delete only if we had sent it there.
        stale += [f for f in flows if f.answering not in new and (new or f.answering in old)]
    for flow in stale:
        _delete(tools, family, flow)
    return len(stale)


def release_served(tools: Iptables, before: VirtualServers, now: VirtualServers) -> int:
    """Delete the UDP flows to virtual servers that IPVS would no longer make.

    IPVS lets conntrack know which real server answers. When a real server goes, it forgets
    the flows to it by itself, but not those that came before there was a virtual server.

    Args:
        tools: runs conntrack(8).
        before: our virtual servers until now.
        now: those that are there; flows to ones that are not are deleted.

    Returns:
        As :func:`release`.

    Raises:
        ToolError: conntrack(8) is not installed or not allowed.
    """
    count = 0
    for family in Family:
        served = {
            (key.address, key.port): {*now[key].servers} if key in now else set()
            for key in (*before, *now)
            if key.family is family and key.protocol == UDP
        }
        # Node ports are translated to the virtual server's address first.
        by_port = {
            port: reals for (address, port), reals in served.items() if _is_local(family, address)
        }
        if not served:
            continue
        for flow in sorted(set(_flows(tools, family))):
            reals = served.get(flow.destination)
            if reals is None and flow.destination[1] in by_port:
                if not _is_local(family, flow.destination[0]):
                    continue
                reals = by_port[flow.destination[1]]
            if reals is not None and flow.answering not in reals:
                _delete(tools, family, flow)
                count += 1
    return count


def _conntrack(tools: Iptables, arguments: list[str]) -> str:
    path = find_tool("conntrack")
    if path is None:
        raise ToolError("conntrack is not installed (Debian package: conntrack)")
    result = tools.run([path, *arguments])
    # Deleting what has just gone by itself is no failure.
    if result.code and "0 flow entries" not in result.error:
        raise ToolError(f"conntrack {' '.join(arguments)} failed: {result.error.strip()}")
    return result.output


def _flows(tools: Iptables, family: Family) -> Iterator[Flow]:
    for line in _conntrack(tools, ["-L", "-p", "udp", "-f", family.label]).splitlines():
        values: dict[str, list[str]] = {}
        for word in line.split():
            name, equals, value = word.partition("=")
            if equals:
                values.setdefault(name, []).append(value)
        try:
            destination = (parse_address(values["dst"][0]).value, int(values["dport"][0]))
            answering = (parse_address(values["src"][1]).value, int(values["sport"][1]))
        except (KeyError, IndexError, ValueError):
            continue
        yield Flow(destination, answering)


def _delete(tools: Iptables, family: Family, flow: Flow) -> None:
    (to_address, to_port), (from_address, from_port) = flow.destination, flow.answering
    _conntrack(
        tools,
        [
            *("-D", "-p", "udp", "-f", family.label),
            *("--orig-dst", format_address(family, to_address)),
            *("--orig-port-dst", str(to_port)),
            *("--reply-src", format_address(family, from_address)),
            *("--reply-port-src", str(from_port)),
        ],
    )


def _is_local(family: Family, address: int) -> bool:
    """Whether this network namespace has the address: only then can a socket bind to it."""
    with socket.socket(_SOCKET_FAMILY[family], socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(Address(family, address)), 0))
        except OSError:
            return False
    return True
