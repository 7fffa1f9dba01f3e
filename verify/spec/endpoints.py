"""Which endpoints each policy selects: the plain reading.

Source: kube-proxy pkg/proxy/topology.go. Written apart from the compiler's own selection, which
it has to judge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from svcc.compiler.model.objects import Endpoint, EndpointSlice, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """Where a packet may be sent: an address (as an integer) and a port."""

    address: int
    port: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The endpoints of one service port that each policy may use."""

    everywhere: tuple[Backend, ...]
    here: tuple[Backend, ...]
    any_usable: bool


def slices_by_service(
    slices: Iterable[EndpointSlice],
) -> dict[tuple[str, str], list[EndpointSlice]]:
    """The usable slices of each Service; Endpoints only where it has no slice."""
    usable = [
        item
        for item in slices
        if PROXY_NAME_LABEL not in item.labels and HEADLESS_LABEL not in item.labels
    ]
    usable.sort(key=lambda item: (item.namespace, item.service, item.name))
    grouped = {}
    for key, group in groupby(usable, key=lambda item: (item.namespace, item.service)):
        members = list(group)
        real_slices = [item for item in members if not item.from_endpoints]
        grouped[key] = real_slices or members
    return grouped


def _endpoints(
    slices: Iterable[EndpointSlice], port: ServicePort, settings: NodeSettings, family: Family
) -> list[tuple[Backend, Endpoint]]:
    found: dict[Backend, Endpoint] = {}
    for item in slices:
        if item.family != family:
            continue
        for endpoint_port in item.ports:
            if endpoint_port.name != port.name or endpoint_port.protocol != port.protocol:
                continue
            if not endpoint_port.port:
                continue
            for endpoint in item.endpoints:
                backend = Backend(endpoint.address.value, endpoint_port.port)
                if backend not in found or _is_local(endpoint, settings):
                    found[backend] = endpoint
    return sorted(found.items(), key=lambda pair: pair[0])


def _is_local(endpoint: Endpoint, settings: NodeSettings) -> bool:
    return settings.known_node and endpoint.node_name == settings.node_name


def _hinted(ready: list[tuple[Backend, Endpoint]], settings: NodeSettings) -> list[Backend]:
    endpoints = [endpoint for _, endpoint in ready]
    node, zone = settings.node_name, settings.zone
    if (
        settings.known_node
        and all(endpoint.node_hints for endpoint in endpoints)
        and any(node in endpoint.node_hints for endpoint in endpoints)
    ):
        return [backend for backend, endpoint in ready if node in endpoint.node_hints]
    if (
        zone
        and all(endpoint.zone_hints for endpoint in endpoints)
        and any(zone in endpoint.zone_hints for endpoint in endpoints)
    ):
        return [backend for backend, endpoint in ready if zone in endpoint.zone_hints]
    return [backend for backend, _ in ready]


def choose(
    slices: Iterable[EndpointSlice], port: ServicePort, settings: NodeSettings, family: Family
) -> Choice:
    """What each policy selects for a service port."""
    endpoints = _endpoints(slices, port, settings, family)
    ready = [pair for pair in endpoints if pair[1].ready]
    leaving = [
        pair for pair in endpoints if not pair[1].ready and pair[1].serving and pair[1].terminating
    ]
    everywhere = _hinted(ready, settings) if ready else [backend for backend, _ in leaving]
    here = [backend for backend, endpoint in ready if _is_local(endpoint, settings)]
    if not here:
        here = [backend for backend, endpoint in leaving if _is_local(endpoint, settings)]
    return Choice(tuple(everywhere), tuple(here), bool(ready or leaving))
