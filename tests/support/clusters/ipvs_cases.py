"""The behaviour cases in ipvs mode, and what is another there."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.grammar.address import Address, parse_address
from tests.support.clusters.cases import BehaviourCase, PacketCase, case_objects
from tests.support.kernel.probing import check, probe_of
from tests.support.kernel.testbed import LOCAL, Testbed
from tests.support.readings.outcomes import Drop, Received, Refuse, Serve, Untouched


@cache
def compiled_case(name: str, *, on_node: bool = False) -> Compiled:
    """The case's objects in ipvs mode.

    ``on_node``: with the addresses of the testbed's node, as apply finds them there.
    """
    objects, settings = case_objects(name, "ipvs")
    if on_node:
        settings = replace(settings, addresses=with_own(settings.addresses))
    return compile_objects(objects, settings)


def with_own(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """The addresses, and all others of the testbed's node behind them."""
    own = {parse_address(text) for text in LOCAL - {"127.0.0.1", "::1"}}
    return (*addresses, *sorted(own - set(addresses)))


def send_all(testbed: Testbed, case: BehaviourCase, compiled: Compiled) -> list[str]:
    """Send every packet of a case; what went wrong."""
    assert compiled.ipvs is not None
    virtual = {a for addresses in compiled.ipvs.addresses.values() for a in addresses}
    wrong = []
    for packet in case.packets:
        wanted = packet.wanted
        if isinstance(wanted, Untouched) and _value(packet.destination) in virtual:
            wanted = Received() if _is_probed(case, packet) else Refuse()
        if packet.sender != "node" and packet.source and _value(packet.source) in virtual:
            # The kernel takes no packet from outside with one of its own addresses as source.
            wanted = Drop()
        probe = probe_of(
            testbed, packet.sender, packet.source, packet.destination, packet.port, packet.protocol
        )
        from_virtual = packet.sender == "node" and _value(probe.flow.source) in virtual
        if from_virtual and isinstance(wanted, Serve):
            # No backend could answer a virtual IP.
            wanted = replace(wanted, masquerade=True)
        if found := check(testbed, probe, wanted):
            wrong.append(f"{packet.text}: {found}")
    return wrong


def _is_probed(case: BehaviourCase, packet: PacketCase) -> bool:
    """Whether the packet is for the health check port of a balancer's address."""
    for document in case.documents:
        balancer = document.get("status", {}).get("loadBalancer", {}).get("ingress", ())
        if document.get("spec", {}).get("healthCheckNodePort") == packet.port:
            return any(item.get("ip") == packet.destination for item in balancer)
    return False


def _value(text: str) -> int:
    return parse_address(text).value
