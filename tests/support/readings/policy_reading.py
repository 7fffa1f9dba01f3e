"""What statements of a policy say of one packet, read apart from the verifier."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from ipaddress import ip_address, ip_network

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.grammar.policy import (
    AddressTarget,
    AnyTarget,
    NodePortTarget,
    Sender,
    ServiceTarget,
    Statement,
)
from svcc.verify.simulator.packet import Packet, Result
from tests.support.readings.plain_reading import is_proxied

_KINDS = ("clusterip", "externalip", "loadbalancer")


def sends(verb: str, sender: Sender, packet: Packet, node: NodeSettings) -> bool:
    """Whether a sender of a statement is who sends a packet."""
    source = ip_address(str(Address(packet.family, packet.source)))
    if sender.network is not None:
        block = ip_network(str(sender.network))
        found = source.version == block.version and source in block
        if packet.from_node and sender.negated == (verb == "only"):
            # Whatever other addresses the node may have, statements do not speak of them.
            known = Address(packet.family, packet.source) in node.addresses
            found = found and (known or source.is_loopback)
    elif sender.who == "anyone":
        found = True
    elif packet.from_node:
        found = sender.who == "node"
    else:
        name, network = node.pods.in_interface, node.pods.networks.get(packet.family)
        if name:
            pattern = name.replace("+", "*")
            pod = fnmatchcase(packet.in_interface, pattern)
        else:
            pod = source in ip_network(str(network)) if network else False
        found = {"pod": pod, "external": not pod, "node": False}[str(sender.who)]
    return found != sender.negated


def frontends_of(
    objects: Objects, packet: Packet, local: bool
) -> Iterator[tuple[str, str, str, int]]:
    """(namespace/name, kind, port name, Service port) of what the packet is sent to.

    An address wins over a node port.
    """
    node_ports = []
    for service in objects.services:
        if not is_proxied(service):
            continue
        cluster_ip = next((a for a in service.cluster_ips if a.family is packet.family), None)
        if cluster_ip is None:
            continue
        groups = ((cluster_ip,), service.external_ips, service.ingress)
        for port in service.ports:
            number = {"TCP": 6, "UDP": 17, "SCTP": 132}[port.protocol]
            if number != packet.protocol:
                continue
            name = f"{service.namespace}/{service.name}"
            if port.port == packet.destination_port:
                for kind, addresses in zip(_KINDS, groups, strict=True):
                    if any(
                        a.value == packet.destination and a.family is packet.family
                        for a in addresses
                    ):
                        yield name, kind, port.name, port.port
                        return
            exposed = service.type in ("NodePort", "LoadBalancer")
            if local and exposed and port.node_port == packet.destination_port:
                node_ports.append((name, "nodeport", port.name, port.port))
    yield from node_ports


def meant(
    statement: Statement, objects: Objects, packet: Packet, node: NodeSettings, local: bool
) -> bool:
    """Whether the target of a statement is where the packet is sent."""
    target = statement.target
    for name, kind, port_name, port in frontends_of(objects, packet, local):
        if kind == "nodeport" and statement.verb == "always" and not _answers(packet, node):
            continue
        if isinstance(target, AnyTarget):
            return True
        if isinstance(target, ServiceTarget):
            if (
                target.kind in ("service", kind)
                and fnmatchcase(name, f"{target.namespace}/{target.name}")
                and target.port in ("", port_name, str(port))
            ):
                return True
            continue
        if target.port not in (None, packet.destination_port):
            continue
        if target.protocol not in (None, packet.protocol):
            continue
        if isinstance(target, NodePortTarget):
            return kind == "nodeport"
        assert isinstance(target, AddressTarget)
        known = kind != "nodeport" or target.address in node.addresses
        if known and target.address == Address(packet.family, packet.destination):
            return True
    return False


def _answers(packet: Packet, node: NodeSettings) -> bool:
    """Whether node ports are promised at the packet's destination."""
    destination = Address(packet.family, packet.destination)
    if ip_address(str(destination)).is_loopback:
        return False
    if node.node_port_networks is None:
        return True
    return destination in node.addresses and any(
        network.holds(destination) for network in node.node_port_networks
    )


def of_family(statement: Statement, family: Family) -> bool:
    """Whether a statement speaks of a family: all the addresses that it names are of it."""
    named = [s.network.family for s in statement.senders if s.network is not None]
    inside = [n.family for n in statement.inside]
    at = statement.target
    return (
        (not named or family in named)
        and (not inside or family in inside)
        and (not isinstance(at, AddressTarget) or at.address.family is family)
    )


def holds(
    statement: Statement,
    packet: Packet,
    node: NodeSettings,
    outcomes: Sequence[tuple[Fraction, Result]],
) -> bool:
    """Whether a packet to the target sees what the statement says."""
    listed = any(sends(statement.verb, sender, packet, node) for sender in statement.senders)
    results = [result for share, result in outcomes if share]
    served = [r for r in results if r.verdict == "passed" and (r.translated or _same(packet, r))]
    if statement.verb != "always":
        return listed == (statement.verb == "only") or not served
    if not listed:
        return True
    right = len(served) == len(results)
    if statement.inside:
        blocks = [ip_network(str(n)) for n in statement.inside]
        places = [ip_address(str(Address(packet.family, r.destination))) for r in served]
        right &= all(any(p.version == b.version and p in b for b in blocks) for p in places)
    if statement.source == "kept":
        right &= not any(r.masqueraded and r.destination != packet.source for r in served)
    if statement.source == "masqueraded":
        right &= all(r.masqueraded for r in served if r.sent_out)
    reached = {(r.destination, r.destination_port) for r in served}
    return right and len(reached) >= statement.at_least


def _same(packet: Packet, result: Result) -> bool:
    """Whether a rule translated the packet to where it went anyway."""
    return any(step.effect == "DNAT" for step in result.trace) and result.destination in (
        packet.destination,
    )
