"""The frontends of a service port, and what becomes of who sends to each.

It says of :class:`svcc.compiler.resolve.forwarding.ServicePort` what the lowerings make of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from svcc.compiler.resolve.forwarding import Backend, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Network

Action = Literal["serve", "refuse", "drop"]
"""``refuse`` answers with an error, ``drop`` with nothing."""

HAIRPIN = "hairpins only"
"""A hairpin is a packet of a backend that comes back to that backend."""
EVERYONE = "everyone"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of packets of some senders; those of a treatment before it are not among them.

    ``masqueraded`` says in words whose source is rewritten; empty unless they are served. Each
    backend has an equal share, unless an IPVS scheduler decides otherwise.
    """

    senders: str
    action: Action
    backends: tuple[Backend, ...] = ()
    masqueraded: str = ""


@dataclass(frozen=True, slots=True)
class Frontend:
    """One place that clients connect to. ``address`` None: a node port.

    ``networks`` are those in which a node port answers on the node's addresses, None for an
    address; ``on_loopback``: it does so on loopback addresses in them, for the node itself.
    """

    kind: Literal["cluster IP", "external IP", "loadbalancer IP", "node port"]
    address: int | None
    port: int
    treatments: tuple[Treatment, ...]
    networks: tuple[Network, ...] | None = None
    on_loopback: bool = False


def frontends_of(port: ServicePort, settings: NodeSettings) -> Iterator[Frontend]:
    """Each frontend of a service port: its cluster IP first, its node port last."""
    internal = tuple(_internal(port, settings))
    yield Frontend("cluster IP", port.cluster_ip, port.port, internal)
    if not port.has_external:
        return
    external = tuple(_external(port, settings))
    for address in port.external_addresses:
        yield Frontend("external IP", address, port.port, external)
    guarded = (*_outside_ranges(port), *external)
    for address in port.balancer_addresses:
        yield Frontend("loadbalancer IP", address, port.port, guarded)
    if port.node_port:
        networks = _node_port_networks(port, settings)
        loopback = settings.loopback_node_ports(port.family)
        yield Frontend("node port", None, port.node_port, external, networks, loopback)


def _internal(port: ServicePort, settings: NodeSettings) -> Iterator[Treatment]:
    if not port.usable:
        yield Treatment(EVERYONE, "refuse")
    elif not port.internal:
        yield Treatment(EVERYONE, "drop")
    else:
        pods = _pods(port, settings)
        masqueraded = f"all but from {pods}, and hairpins" if pods else HAIRPIN
        if settings.masquerade_all:
            masqueraded = "all"
        yield Treatment(EVERYONE, "serve", port.internal, masqueraded)


def _external(port: ServicePort, settings: NodeSettings) -> Iterator[Treatment]:
    if not port.usable:
        yield Treatment(EVERYONE, "refuse")
        return
    if not port.external_local:
        yield Treatment(EVERYONE, "serve", port.everywhere, "all")
        return
    if pods := _pods(port, settings):
        yield Treatment(f"pods ({pods})", "serve", port.everywhere, HAIRPIN)
    yield Treatment("the node itself", "serve", port.everywhere, "all")
    if port.here:
        yield Treatment("everyone else", "serve", port.here, HAIRPIN)
    else:
        yield Treatment("everyone else", "drop")


def _outside_ranges(port: ServicePort) -> Iterator[Treatment]:
    if port.allowed_sources is not None and port.usable:
        ranges = ", ".join(map(str, port.allowed_sources))
        yield Treatment(f"from elsewhere than {ranges}", "drop")


def _pods(port: ServicePort, settings: NodeSettings) -> str:
    """How pods are told from other senders; empty if they cannot be."""
    if settings.pods.in_interface:
        return f"interface {settings.pods.in_interface}"
    network = settings.pods.networks.get(port.family)
    return "" if network is None else str(network)


def _node_port_networks(port: ServicePort, settings: NodeSettings) -> tuple[Network, ...]:
    if settings.node_port_networks is None:
        return (Network(port.family, 0, 0),)
    return tuple(n for n in settings.node_port_networks if n.family is port.family)
