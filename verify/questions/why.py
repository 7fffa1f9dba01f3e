"""Why packets to a frontend are to be refused, dropped, or sent to whom they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from svcc.compiler.model.objects import Endpoint, EndpointSlice, Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address
from svcc.verify.questions.wording import named, protocol_name
from svcc.verify.simulator.packet import Packet
from svcc.verify.spec.endpoints import endpoints_of, is_local, slices_by_service
from svcc.verify.spec.expectation import PROTOCOL_NUMBER, Frontend
from svcc.verify.spec.node_ports import loopback_network
from svcc.verify.spec.outcomes import Discard, Outcome, Serve, Untouched


class Reasons:
    """Finds reasons in the objects; they are those of today's kube-proxy."""

    def __init__(self, objects: Objects, settings: NodeSettings) -> None:
        self._objects = objects
        self._settings = settings

    @cached_property
    def _services(self) -> dict[str, Service]:
        return {service.key: service for service in self._objects.services}

    @cached_property
    def _slices(self) -> dict[tuple[str, str], list[EndpointSlice]]:
        return slices_by_service(self._objects.slices)

    def of(self, frontend: Frontend, packet: Packet, allowed: Sequence[Outcome]) -> tuple[str, ...]:
        """Why a packet to a frontend must see one of the outcomes; nothing where that is plain."""
        found = self._service_port(frontend)
        return () if found is None else tuple(self._reasons(*found, frontend, packet, allowed))

    def _service_port(self, frontend: Frontend) -> tuple[Service, ServicePort] | None:
        key, _, name = frontend.service.partition(":")
        service = self._services.get(key)
        for port in service.ports if service is not None else ():
            if (port.name, PROTOCOL_NUMBER[port.protocol]) == (name, frontend.protocol):
                assert service is not None
                return service, port
        return None

    def _reasons(
        self,
        service: Service,
        port: ServicePort,
        frontend: Frontend,
        packet: Packet,
        allowed: Sequence[Outcome],
    ) -> Iterator[str]:
        slices = self._slices.get((service.namespace, service.name), [])
        endpoints = [
            endpoint for _, endpoint in endpoints_of(slices, port, self._settings, frontend.family)
        ]
        ready = [endpoint for endpoint in endpoints if endpoint.ready]
        usable = ready or [e for e in endpoints if e.serving and e.terminating]
        serves = any(isinstance(outcome, Serve) for outcome in allowed)
        if serves:
            if usable and not ready:
                number = len(usable)
                yield (
                    f"no endpoint is ready, {number} that {_are(number)} terminating "
                    f"{'serves' if number == 1 else 'serve'} still"
                )
            return
        if any(isinstance(outcome, Untouched) for outcome in allowed) and frontend.address is None:
            yield from self._not_there(packet)
            if not usable:
                yield _none_is_ready(endpoints) if endpoints else "no endpoints"
            return
        if not usable:
            if endpoints:
                yield _none_is_ready(endpoints)
            elif not slices:
                yield f"no endpoints: no EndpointSlice of {service.key} is among the objects"
            else:
                yield _none_at_the_port(slices, port, frontend)
            return
        if any(isinstance(outcome, Discard) for outcome in allowed):
            yield from self._dropped(service, frontend, packet, usable)

    def _not_there(self, packet: Packet) -> Iterator[str]:
        """Why a node port does not answer at an address."""
        address = Address(packet.family, packet.destination)
        networks = self._settings.node_port_networks
        if networks is not None and not any(network.holds(address) for network in networks):
            yield f"nodePortAddresses have no node ports at {address}"
        elif loopback_network(packet.family).holds(address):
            yield f"node ports do not answer at {address}"

    def _dropped(
        self, service: Service, frontend: Frontend, packet: Packet, usable: list[Endpoint]
    ) -> Iterator[str]:
        source = Address(packet.family, packet.source)
        ranges = service.source_ranges if frontend.kind == "loadbalancer IP" else ()
        if ranges and not any(network.holds(source) for network in ranges):
            shown = named([str(network) for network in ranges], "and")
            yield f"{source} is outside of loadBalancerSourceRanges ({shown})"
            return
        inside = frontend.kind == "cluster IP"
        policy = service.internal_traffic_policy if inside else service.external_traffic_policy
        if policy == "Local" and not any(is_local(e, self._settings) for e in usable):
            name = "internalTrafficPolicy" if inside else "externalTrafficPolicy"
            where = self._settings.node_name if self._settings.known_node else "this node"
            number = len(usable)
            yield f"{name} is Local, no endpoint is on {where}, {number} {_are(number)} elsewhere"


def labels_with(
    objects: Objects, settings: NodeSettings, address: Address, port: int | None
) -> Iterator[tuple[str, int]]:
    """The Service ports, as frontends call them, and protocols that have an endpoint at an
    address and port (None: any), ready or not.
    """
    every = slices_by_service(objects.slices)
    for service in objects.services:
        slices = every.get((service.namespace, service.name), [])
        for known in service.ports:
            found = endpoints_of(slices, known, settings, address.family)
            if any(b.address == address.value and port in (None, b.port) for b, _ in found):
                label = f"{service.key}:{known.name}" if known.name else service.key
                yield label, PROTOCOL_NUMBER[known.protocol]


def _none_is_ready(endpoints: Sequence[Endpoint]) -> str:
    """``no endpoint is ready, 2 are terminating``."""
    leaving = sum(endpoint.terminating for endpoint in endpoints)
    rest = len(endpoints) - leaving
    words = "no endpoint is ready"
    if leaving:
        words += f", {leaving} {_are(leaving)} terminating"
    if rest:
        words += f", {rest} {_are(rest)} not ready"
    return words


def _none_at_the_port(
    slices: Sequence[EndpointSlice], port: ServicePort, frontend: Frontend
) -> str:
    """No endpoint of the family and port, though there are slices."""
    of_family = [item for item in slices if item.family is frontend.family]
    there = sorted(
        {
            f"{known.name or 'a port without name'} {known.port}/{known.protocol}"
            for item in of_family
            if item.endpoints
            for known in item.ports
        }
    )
    if not of_family:
        return f"no endpoints of {frontend.family.label}, only of the other family"
    if not there:
        return "no endpoints"
    wanted = f"named {port.name}" if port.name else "without a name"
    return (
        f"no endpoints at a port {wanted} of {protocol_name(frontend.protocol)}; the "
        f"EndpointSlices have {named(there, 'and')}"
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
