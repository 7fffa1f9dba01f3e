"""The behaviour cases as userspace mode can express them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from svcc.compiler.bundle import ADDRESSES
from svcc.grammar.address import format_address
from svcc.grammar.ipvs.addresses import parse
from tests.support.clusters.cases import BehaviourCase, PacketCase, case_objects
from tests.support.kernel.packets import PROTOCOLS, SCTP
from tests.support.kernel.proxying import Endpoint
from tests.support.readings.outcomes import is_loopback

NOT_SERVED = {
    "address-of-another-node": "an address of another host cannot be listened on",
    "backend-that-is-a-node-port": "the backend has the port of the node port itself",
    "balancer-address-that-is-its-backend": "the backend has the address and port itself",
    "masquerade-interface-prefix": "a proxy does not see by which interface a client comes",
    "sctp": "nginx does not proxy SCTP",
}
"""Cases that the mode cannot express, and why; the proof of each fails with a code."""


def virtual_addresses(folder: Path) -> frozenset[str]:
    """The addresses that a device has for what was compiled into a folder."""
    text = (folder / ADDRESSES).read_text()
    found = parse(text, source=ADDRESSES)
    return frozenset(format_address(family, value) for family, of in found.items() for value in of)


def endpoints(name: str) -> Iterator[Endpoint]:
    """All endpoints of a case, ready or not."""
    objects, _ = case_objects(name)
    for item in objects.slices:
        for port in item.ports:
            for endpoint in item.endpoints:
                if port.port and port.protocol != "SCTP":
                    number = PROTOCOLS[port.protocol.lower()]
                    yield str(endpoint.address), port.port, number


def why_not(packet: PacketCase, virtual: frozenset[str]) -> str | None:
    """Why a packet is none that a connection can be made of; None if one can."""
    if packet.protocol == SCTP:
        return "no connection of SCTP is made"
    if packet.sender != "node" and is_loopback(packet.destination):
        return "the kernel drops what comes from a wire to loopback"
    if packet.sender != "node" and packet.source in virtual:
        return "the kernel drops what comes from a wire with one of its own addresses"
    return None


def is_all_loopback(packet: PacketCase) -> bool:
    """Whether a packet is for a loopback address that nginx does not listen on."""
    return is_loopback(packet.destination) and packet.destination not in ("127.0.0.1", "::1")


def sources(case: BehaviourCase) -> Iterator[str]:
    """Addresses of clients."""
    for packet in case.packets:
        if packet.sender != "node" and packet.source is not None:
            yield packet.source
