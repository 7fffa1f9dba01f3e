"""UDP flows in the kernel's connection tracking (conntrack(8)).

Only the first packet of a flow meets the nat rules; the kernel remembers the outcome. A UDP
client that keeps its port may so stay for ever with a backend that is gone, or with none.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from svcc.apply.system.errors import ToolError
from svcc.apply.system.tools import Tools, call
from svcc.grammar.address import Address, Family, format_address, parse_address

_SOCKET_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}

Endpoint = tuple[int, int]
"""Address and port."""


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """Where a flow was addressed to, and who answers it."""

    destination: Endpoint
    answering: Endpoint


def udp_flows(tools: Tools, family: Family) -> list[Flow]:
    """The kinds of UDP flows that are tracked, sorted, each once.

    Raises:
        ToolError: conntrack(8) is not installed or not allowed.
    """
    arguments = ["-L", "-p", "udp", "-f", family.label]
    return sorted(set(_flows(_conntrack(tools, arguments))))


def delete(tools: Tools, family: Family, flow: Flow) -> None:
    """Forget all flows of a kind; their next packet meets the rules again.

    Raises:
        ToolError: conntrack(8) is not installed or not allowed.
    """
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


def is_local(family: Family, address: int) -> bool:
    """Whether this network namespace has the address: only then can a socket bind to it."""
    with socket.socket(_SOCKET_FAMILY[family], socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(Address(family, address)), 0))
        except OSError:
            return False
    return True


def _conntrack(tools: Tools, arguments: list[str]) -> str:
    result = call(tools, "conntrack", arguments)
    # Deleting what has just gone by itself is no failure.
    if result.code and "0 flow entries" not in result.error:
        raise ToolError(f"conntrack {' '.join(arguments)} failed: {result.error.strip()}")
    return result.output


def _flows(text: str) -> Iterator[Flow]:
    for line in text.splitlines():
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
