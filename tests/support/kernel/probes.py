"""The packets that are worth sending for some objects: frontends, and what lies close to them."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.model.objects import Objects
from svcc.grammar.address import Address
from tests.support.kernel.packets import PROTOCOLS, Flow
from tests.support.kernel.testbed import Sender, Testbed
from tests.support.readings.outcomes import Probe, is_loopback
from tests.support.readings.plain_reading import is_proxied

Target = tuple[str, int, int]
"""Address, port and protocol."""

_NODE_PORT_ADDRESSES = {
    4: ("192.168.7.10", "172.16.5.10", "10.244.1.1", "127.0.0.1"),
    6: ("fd00:7::10", "fd00:16:5::10", "fd00:244:1::1", "::1"),
}
_SENDERS: dict[int, tuple[tuple[Sender, str], ...]] = {
    4: (
        ("pod0", "10.244.1.77"),
        ("pod0", "10.244.1.5"),
        ("ext0", "10.244.2.77"),
        ("ext0", "203.0.113.7"),
        ("ext0", "192.168.7.99"),
        ("ext0", "198.51.100.20"),
    ),
    6: (
        ("pod0", "fd00:244:1::77"),
        ("pod0", "fd00:244:1::5"),
        ("ext0", "fd00:244:2::77"),
        ("ext0", "2001:db8::7"),
        ("ext0", "fd00:7::99"),
        ("ext0", "2001:db8:1::20"),
    ),
}


def frontends(objects: Objects) -> Iterator[Target]:
    """Everything that the Services declare, whether this node serves it or not."""
    for service in objects.services:
        addresses = [*service.cluster_ips, *service.external_ips, *service.ingress]
        for port in service.ports:
            protocol = PROTOCOLS[port.protocol.lower()]
            for address in addresses:
                yield str(address), port.port, protocol
            if port.node_port:
                for version in (4, 6):
                    for address_text in _NODE_PORT_ADDRESSES[version]:
                        yield address_text, port.node_port, protocol


def near_misses(objects: Objects) -> Iterator[Target]:
    """Frontends with one thing changed, and endpoints themselves."""
    numbers = list(PROTOCOLS.values())
    for address, port, protocol in frontends(objects):
        yield address, port + 1, protocol
        yield address, port, numbers[(numbers.index(protocol) + 1) % 3]
    for service in objects.services:
        for cluster_ip in service.cluster_ips if is_proxied(service) else ():
            beside = str(Address(cluster_ip.family, cluster_ip.value ^ 1))
            for port_ in service.ports:
                yield beside, port_.port, PROTOCOLS[port_.protocol.lower()]
    for item in objects.slices:
        for endpoint in item.endpoints:
            for endpoint_port in item.ports:
                if endpoint_port.port:
                    number = PROTOCOLS[endpoint_port.protocol.lower()]
                    yield str(endpoint.address), endpoint_port.port, number


def senders(testbed: Testbed, destination: str) -> Iterator[tuple[Sender, str]]:
    """Every kind of sender of a packet to ``destination``, by wire and address."""
    version = 6 if ":" in destination else 4
    for wire, source in _SENDERS[version]:
        # A packet from the wire with the destination's own address is nobody's.
        if source != destination:
            yield wire, source
    natural = testbed.natural_source(destination)
    if natural is not None:
        yield "node", natural
    other = "192.168.7.10" if version == 4 else "fd00:7::10"
    if natural != other and not is_loopback(destination):
        yield "node", other


def probes(testbed: Testbed, objects: Objects) -> Iterator[Probe]:
    """All packets worth sending."""
    targets = dict.fromkeys((*frontends(objects), *near_misses(objects)))
    for address, port, protocol in targets:
        for sender, source in senders(testbed, address):
            yield Probe(sender, Flow(source, 0, address, port, protocol))
