"""What a packet must see, as ``docs/semantics.md`` puts it, for one packet at a time.

A third opinion beside the compiler and the verifier's expectation: it shares no code with
either, and is written for reading, not for speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from svcc.compiler.model.objects import Endpoint, Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, parse_address
from tests.support.kernel.packets import PROTOCOLS, Flow
from tests.support.readings.outcomes import (
    Backend,
    Drop,
    Probe,
    Refuse,
    Serve,
    Untouched,
    Wanted,
    is_local,
    is_loopback,
)

_OF_ANOTHER_PROXY = "service.kubernetes.io/service-proxy-name"
_FOR_NO_PROXY = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True)
class Reading:
    """``strict`` is what svcc's rules do, or one of ``own`` where that is left to them. A
    verifier accepts the ``lax`` outcomes too, since kube-proxy has them.
    """

    strict: Wanted
    lax: tuple[Wanted, ...] = ()
    left_open: tuple[Wanted, ...] = ()

    @property
    def own(self) -> tuple[Wanted, ...]:
        """What svcc's rules may do."""
        return (self.strict, *self.left_open)

    @property
    def allowed(self) -> tuple[Wanted, ...]:
        """All outcomes that are right."""
        return (self.strict, *self.lax)


def read(objects: Objects, settings: NodeSettings, probe: Probe) -> Reading:
    """What the first packet of a connection must see."""
    destination = parse_address(probe.flow.destination)
    claims = list(_claims(objects, settings, probe, destination))
    by_address = [claim for claim in claims if claim[2] != "node port"]
    node_ports = [claim for claim in claims if claim[2] == "node port"]
    if by_address:
        service, port, kind = by_address[0]
        reading = _Frontend(objects, settings, probe, service, port).reading(kind)
        if node_ports and kind != "cluster IP" and not isinstance(reading.strict, Serve):
            # kube-proxy lets what the address would refuse fall through to the node port. That
            # the address is the node's own is not known to all who read the objects.
            below = _node_port(objects, settings, probe, *node_ports[0][:2])
            return Reading(reading.strict, (*reading.lax, *below.allowed), below.own)
        return reading
    if node_ports and is_local(probe.flow.destination):
        return _node_port(objects, settings, probe, *node_ports[0][:2])
    return Reading(Untouched())


def _claims(
    objects: Objects, settings: NodeSettings, probe: Probe, destination: Address
) -> Iterator[tuple[Service, ServicePort, str]]:
    """Who claims the packet, by address or by node port."""
    flow = probe.flow
    for service in objects.services:
        if not is_proxied(service):
            continue
        if all(address.family != destination.family for address in service.cluster_ips):
            continue
        for port in service.ports:
            if PROTOCOLS[port.protocol.lower()] != flow.protocol:
                continue
            if port.port == flow.destination_port:
                if destination in service.cluster_ips:
                    yield service, port, "cluster IP"
                elif settings.external_ips and destination in service.external_ips:
                    yield service, port, "external IP"
                elif destination in service.ingress:
                    yield service, port, "balancer"
            if port.node_port == flow.destination_port and service.type in (
                "NodePort",
                "LoadBalancer",
            ):
                yield service, port, "node port"


def is_proxied(service: Service) -> bool:
    """Whether the Service has frontends at all."""
    return (
        service.type != "ExternalName"
        and not service.headless
        and _OF_ANOTHER_PROXY not in service.labels
    )


def backends_of(
    objects: Objects, settings: NodeSettings, service: Service, port: ServicePort, family: Family
) -> tuple[frozenset[Backend], frozenset[Backend], bool]:
    """A port's backends of Cluster policy, those of Local policy, and whether any is usable."""
    nowhere = "0.0.0.0" if family is Family.IPV4 else "::"
    probe = Probe("node", Flow(nowhere, 0, nowhere, 0, 6))
    frontend = _Frontend(objects, settings, probe, service, port)
    return *frontend._backends(), bool(frontend._usable())


def endpoints_here(
    objects: Objects, settings: NodeSettings, service: Service, port: ServicePort, family: Family
) -> list[Backend]:
    """A port's endpoints on this node, whatever their state."""
    nowhere = "0.0.0.0" if family is Family.IPV4 else "::"
    probe = Probe("node", Flow(nowhere, 0, nowhere, 0, 6))
    frontend = _Frontend(objects, settings, probe, service, port)
    return [b for b, e in frontend._candidates().items() if frontend._is_here(e)]


def _node_port(
    objects: Objects, settings: NodeSettings, probe: Probe, service: Service, port: ServicePort
) -> Reading:
    frontend = _Frontend(objects, settings, probe, service, port)
    reading = frontend.reading("node port")
    address = parse_address(probe.flow.destination)
    networks = settings.node_port_networks
    selected = networks is None or any(network.holds(address) for network in networks)
    to_loopback, from_loopback = is_loopback(probe.flow.destination), is_loopback(probe.flow.source)
    # kube-proxy or the kubelet guards 127.0.0.0/8 from all other sources.
    guarded = to_loopback and not from_loopback and address.family is Family.IPV4
    # kube-proxy refuses at addresses that are not selected, too, whoever asks.
    elsewhere = (Untouched(), *frontend.refusals(), *((Drop(),) if guarded else ()))
    if to_loopback and selected and settings.loopback_node_ports(address.family):
        listed = networks is not None and all(
            n.prefix_length for n in networks if n.family is address.family
        )
        if listed and str(address) != "127.0.0.1":
            # It lists the addresses that interfaces have: 127.0.0.1 of all loopback.
            return Reading(reading.strict, (*reading.lax, Drop(), *elsewhere))
        if probe.sender != "node":
            return Reading(Drop(), reading.allowed)
        return Reading(reading.strict, (*reading.lax, Drop())) if guarded else reading
    if selected and not to_loopback:
        if networks is not None and address not in settings.addresses:
            # Rules that name addresses one by one know only those of the Node object.
            return Reading(reading.strict, (*reading.lax, *elsewhere))
        return reading
    return Reading(Untouched(), elsewhere[1:])


@dataclass(frozen=True, slots=True)
class _Frontend:
    objects: Objects
    settings: NodeSettings
    probe: Probe
    service: Service
    port: ServicePort

    def reading(self, kind: str) -> Reading:
        everywhere, here = self._backends()
        any_usable = bool(self._usable())
        if kind == "cluster IP":
            if not any_usable:
                return Reading(Refuse())
            local = self.service.internal_traffic_policy == "Local"
            masquerade = self.settings.masquerade_all or self._is_pod() is False
            return Reading(self._serve(here if local else everywhere, masquerade))
        external = self._external(everywhere, here, any_usable)
        if kind != "balancer" or not self.service.source_ranges:
            return external
        family, source = Family(self.probe.flow.version), parse_address(self.probe.flow.source)
        ranges = [r for r in self.service.source_ranges if r.family == family]
        if not any_usable or not ranges:
            return Reading(external.strict, (*external.lax, Drop()))
        node = self.settings.primary_address(family)
        inside = any(r.holds(source) for r in ranges)
        if node and any(r.holds(node) for r in ranges) and source in self.service.ingress:
            inside = True
        return external if inside else Reading(Drop())

    def _external(
        self, everywhere: frozenset[Backend], here: frozenset[Backend], any_usable: bool
    ) -> Reading:
        from_node = self.probe.sender == "node"
        if not any_usable:
            return Reading(Refuse(), (Untouched(),) if from_node else ())
        if self.service.external_traffic_policy == "Cluster":
            return Reading(self._serve(everywhere, True))
        if self._is_pod():
            return Reading(self._serve(everywhere, False))
        if from_node:
            return Reading(self._serve(everywhere, True))
        return Reading(self._serve(here, False))

    def refusals(self) -> tuple[Wanted, ...]:
        """How a node port refuses some sender, if it does."""
        if not self._usable():
            return (Refuse(),)
        local = self.service.external_traffic_policy == "Local"
        return (Drop(),) if local and not self._backends()[1] else ()

    def _serve(self, backends: frozenset[Backend], masquerade: bool) -> Wanted:
        sticky = self.service.affinity_timeout is not None
        return Serve(backends, masquerade, sticky) if backends else Drop()

    def _is_pod(self) -> bool | None:
        """None: pods cannot be told from others."""
        pods, sender = self.settings.pods, self.probe.sender
        if pods.in_interface is not None:
            if pods.in_interface.endswith("+"):
                return sender.startswith(pods.in_interface[:-1])
            return sender == pods.in_interface
        network = pods.networks.get(Family(self.probe.flow.version))
        return network.holds(parse_address(self.probe.flow.source)) if network else None

    # -- endpoints ---------------------------------------------------------------------

    def _candidates(self) -> dict[Backend, Endpoint]:
        """Every endpoint of the port, whatever its state."""
        service, port = self.service, self.port
        slices = [
            item
            for item in self.objects.slices
            if (item.namespace, item.service) == (service.namespace, service.name)
            and _FOR_NO_PROXY not in item.labels
        ]
        if not all(item.from_endpoints for item in slices):
            slices = [item for item in slices if not item.from_endpoints]
        found: dict[Backend, list[Endpoint]] = {}
        for item in sorted(slices, key=lambda item: item.name):
            numbers = [
                p.port for p in item.ports if (p.name, p.protocol) == (port.name, port.protocol)
            ]
            for endpoint in item.endpoints:
                if endpoint.address.family != Family(self.probe.flow.version):
                    continue
                for number in filter(None, numbers):
                    found.setdefault((str(endpoint.address), number), []).append(endpoint)
        return {backend: self._that_counts(same) for backend, same in found.items()}

    def _that_counts(self, same: list[Endpoint]) -> Endpoint:
        """Of the endpoints of one address one that does not terminate, is ready, is here."""
        return min(same, key=lambda e: (e.terminating, not e.ready, not self._is_here(e)))

    def _is_here(self, endpoint: Endpoint) -> bool:
        return self.settings.known_node and endpoint.node_name == self.settings.node_name

    def _usable(self) -> dict[Backend, Endpoint]:
        """The ready ones; without any, those that still serve while they terminate."""
        every = self._candidates()
        return {b: e for b, e in every.items() if e.ready} or _leaving(every)

    def _backends(self) -> tuple[frozenset[Backend], frozenset[Backend]]:
        """Those of Cluster policy and those of Local policy."""
        usable, every = self._usable(), self._candidates()
        near = usable
        if all(e.ready for e in usable.values()):
            near = self._hinted(usable)
        at_home = {b: e for b, e in every.items() if self._is_here(e)}
        here = [b for b, e in at_home.items() if e.ready] or list(_leaving(at_home))
        return frozenset(near), frozenset(here)

    def _hinted(self, ready: dict[Backend, Endpoint]) -> dict[Backend, Endpoint]:
        node, zone = self.settings.node_name, self.settings.zone
        if self.settings.known_node and all(e.node_hints for e in ready.values()):
            near = {b: e for b, e in ready.items() if node in e.node_hints}
            if near:
                return near
        if zone and all(e.zone_hints for e in ready.values()):
            near = {b: e for b, e in ready.items() if zone in e.zone_hints}
            if near:
                return near
        return ready


def _leaving(every: dict[Backend, Endpoint]) -> dict[Backend, Endpoint]:
    return {b: e for b, e in every.items() if not e.ready and e.serving and e.terminating}
