"""What objects say against each other: told, since clusters hold such for a moment."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

from svcc.compiler.model.eligibility import PROXY_NAME_LABEL, has_backends, is_forwarded
from svcc.compiler.model.objects import EndpointPort, EndpointSlice, Objects, Origin, Service


class Contradiction(NamedTuple):
    """``path`` leads from the object to what is wrong; ``alike`` as in a Complaint."""

    origin: Origin
    path: tuple[str | int, ...]
    message: str
    alike: str


class Slices:
    """How the slices fit the Services: ``of_no_service`` has those whose Service is not there.

    Of ``wrong`` Services (namespace and name) nothing is told but that.
    """

    def __init__(self, objects: Objects, wrong: Container[tuple[str, str]]) -> None:
        self._wrong = wrong
        self._services = {(s.namespace, s.name): s for s in objects.services}
        self._objects = objects
        self.of_no_service: list[EndpointSlice] = []

    def contradictions(self) -> Iterator[Contradiction]:
        """What is told of slices that do not fit."""
        services, truncated = self._services, []
        ports = {
            key: [(port.name, port.protocol) for port in service.ports]
            for key, service in services.items()
            if is_forwarded(service) and key not in self._wrong
        }
        for item in self._objects.slices:
            key = (item.namespace, item.service)
            known = ports.get(key)
            if known is None:
                # A headless Service's slices may have any ports.
                if key not in services and not item.from_endpoints:
                    self.of_no_service.append(item)
                    if has_backends(item) and PROXY_NAME_LABEL not in item.labels:
                        yield _of_no_service(item, services)
                continue
            if item.truncated:
                truncated.append(item)
            for port in item.ports:
                if (port.name, port.protocol) not in known and port.port:
                    yield _port_of_none(item, port, services[key])
        if truncated:
            with_slices = {
                (s.namespace, s.service) for s in self._objects.slices if not s.from_endpoints
            }
            for item in truncated:
                if (item.namespace, item.service) not in with_slices:
                    yield _truncated(item)


def _of_no_service(item: EndpointSlice, services: dict[tuple[str, str], Service]) -> Contradiction:
    elsewhere = sorted(namespace for namespace, name in services if name == item.service)
    hint = (
        f"; there is one in namespace {elsewhere[0]}, and a slice serves its own only"
        if elsewhere
        else ""
    )
    return Contradiction(
        item.origin,
        ("metadata", "labels", "kubernetes.io/service-name"),
        f"EndpointSlice {item.namespace}/{item.name}: no Service {item.namespace}/{item.service} "
        f"among the objects{hint}",
        f"slice of no Service{' here' if elsewhere else ''}",
    )


def _port_of_none(item: EndpointSlice, port: EndpointPort, service: Service) -> Contradiction:
    there = ", ".join(_shown(p.name, p.protocol) for p in service.ports) or "none"
    return Contradiction(
        item.origin,
        () if item.from_endpoints else ("ports", item.ports.index(port)),
        f"{'Endpoints' if item.from_endpoints else 'EndpointSlice'} of Service {service.key}: "
        f"the Service has no port {_shown(port.name, port.protocol)}; it has {there} "
        "(name and protocol must be the same)",
        "port of no Service",
    )


def _shown(name: str, protocol: str) -> str:
    return f"{name or 'without a name'}/{protocol}"


def _truncated(item: EndpointSlice) -> Contradiction:
    return Contradiction(
        item.origin,
        ("metadata", "annotations", "endpoints.kubernetes.io/over-capacity"),
        f"Endpoints {item.namespace}/{item.service} are truncated: the controller left endpoints "
        "out beyond the first 1,000; give the EndpointSlices, which have all "
        "(kubectl get endpointslices -A -o yaml)",
        "truncated",
    )
