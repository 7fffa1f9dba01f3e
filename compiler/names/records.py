"""The records of Services and Pods.

Source: kubernetes/dns docs/specification.md, version 1.1.0. What it leaves open is as in CoreDNS
(plugin/kubernetes): endpoints without a hostname are called by their address, SRV records of
headless Services have the endpoint's port, and Pods have names, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.compiler.model.objects import Endpoint, EndpointSlice, Objects, Service
from svcc.compiler.settings.names import NameSettings, reverse_name
from svcc.grammar.address import Address, Family, parse_address
from svcc.grammar.dns.zone import (
    AddressData,
    Alias,
    Pointer,
    Record,
    ServiceLocation,
    Text,
    is_domain_name,
)

SCHEMA_VERSION = "1.1.0"
SCHEMA_TTL = 28800
"""Seconds, as CoreDNS has it."""
PRIORITY, WEIGHT = 0, 100
"""All places of a Service are alike."""


def records(objects: Objects, settings: NameSettings) -> Iterator[Record]:
    """All records of the cluster, names of addresses among them, some of them twice."""
    domain, ttl = settings.cluster_domain, settings.ttl
    yield Record(f"dns-version.{domain}", Text(SCHEMA_VERSION), SCHEMA_TTL)
    slices = _slices_by_service(objects.slices)
    for service in objects.services:
        of_service = slices.get((service.namespace, service.name), [])
        yield from _service_records(service, of_service, domain, ttl)
    for namespace, address in _pod_addresses(objects):
        owner = f"{dashed(address)}.{namespace}.pod.{domain}"
        yield Record(owner, AddressData(address), ttl)


def service_name(service: Service, domain: str) -> str:
    """The name of a Service."""
    return f"{service.name}.{service.namespace}.svc.{domain}"


def external_name(service: Service) -> str:
    """What the name of an ExternalName Service is an alias of; empty where DNS cannot say it.

    Addresses are not resolved, as Kubernetes documents of ExternalName.
    """
    name = service.external_name.removesuffix(".")
    try:
        parse_address(name)
    except ValueError:
        return name if is_domain_name(name) else ""
    return ""


def dashed(address: Address) -> str:
    """An address as a part of a name: ``10-244-1-5``, ``fd00--5``.

    A label neither begins nor ends with a hyphen (RFC 1123), so that ``::`` is given a zero there.
    """
    text = str(address).replace(".", "-").replace(":", "-")
    return "0" * text.startswith("-") + text + "0" * text.endswith("-")


def _service_records(
    service: Service, slices: list[EndpointSlice], domain: str, ttl: int
) -> Iterator[Record]:
    name = service_name(service, domain)
    if service.type == "ExternalName":
        if target := external_name(service):
            yield Record(name, Alias(target), ttl)
        return
    if service.headless:
        yield from _headless_records(service, slices, name, ttl)
        return
    for address in service.cluster_ips:
        yield Record(name, AddressData(address), ttl)
        yield _pointer(address, name, ttl)
    if service.cluster_ips:
        for port in service.ports:
            if port.name:
                place = ServiceLocation(PRIORITY, WEIGHT, port.port, name)
                yield Record(_port_name(port.name, port.protocol, name), place, ttl)


def _headless_records(
    service: Service, slices: list[EndpointSlice], name: str, ttl: int
) -> Iterator[Record]:
    named = {(port.name, port.protocol) for port in service.ports if port.name}
    for item in slices:
        ports = [p for p in item.ports if p.port and (p.name, p.protocol) in named]
        for endpoint in item.endpoints:
            if not (endpoint.ready or service.publish_not_ready_addresses):
                continue
            host = f"{_hostname(endpoint)}.{name}"
            yield Record(name, AddressData(endpoint.address), ttl)
            yield Record(host, AddressData(endpoint.address), ttl)
            yield _pointer(endpoint.address, host, ttl)
            for port in ports:
                place = ServiceLocation(PRIORITY, WEIGHT, port.port, host)
                yield Record(_port_name(port.name, port.protocol, name), place, ttl)


def _hostname(endpoint: Endpoint) -> str:
    return endpoint.hostname or dashed(endpoint.address)


def _port_name(port: str, protocol: str, name: str) -> str:
    return f"_{port}._{protocol.lower()}.{name}"


def _pointer(address: Address, name: str, ttl: int) -> Record:
    return Record(reverse_name(Family(address.family), address.value), Pointer(name), ttl)


def _slices_by_service(
    slices: Iterable[EndpointSlice],
) -> dict[tuple[str, str], list[EndpointSlice]]:
    """Of each Service its EndpointSlices, or its Endpoints where it has none."""
    found: dict[tuple[str, str], list[EndpointSlice]] = {}
    for item in slices:
        found.setdefault((item.namespace, item.service), []).append(item)
    return {
        key: [item for item in items if not item.from_endpoints] or items
        for key, items in found.items()
    }


def _pod_addresses(objects: Objects) -> Iterator[tuple[str, Address]]:
    """Namespace and address of each Pod that runs: of the Pods, or where there are none of the
    endpoints that say that they are Pods.
    """
    for pod in objects.pods:
        if not (pod.is_finished or pod.terminating):
            yield from ((pod.namespace, address) for address in pod.addresses)
    if not objects.pods:
        for item in objects.slices:
            for endpoint in item.endpoints:
                if endpoint.pod is not None and not endpoint.terminating:
                    yield item.namespace, endpoint.address
