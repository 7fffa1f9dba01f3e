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
    slices: Iterable[EndpointSlice], *, until_1_35: bool = False
) -> dict[tuple[str, str], list[EndpointSlice]]:
    """The usable slices of each Service; Endpoints only where it has no slice.

    ``until_1_35``: a slice of another proxy's Service is none, either.
    """
    unwanted = {HEADLESS_LABEL, PROXY_NAME_LABEL} if until_1_35 else {HEADLESS_LABEL}
    usable = [item for item in slices if unwanted.isdisjoint(item.labels)]
    usable.sort(key=lambda item: (item.namespace, item.service, item.name))
    grouped = {}
    for key, group in groupby(usable, key=lambda item: (item.namespace, item.service)):
        members = list(group)
        real_slices = [item for item in members if not item.from_endpoints]
        grouped[key] = real_slices or members
    return grouped


def endpoints_of(
    slices: Iterable[EndpointSlice],
    port: ServicePort,
    settings: NodeSettings,
    family: Family,
    until_1_35: bool = False,
) -> list[tuple[Backend, Endpoint]]:
    """All endpoints of a service port, usable or not; one where an address is used again."""
    found: dict[Backend, list[Endpoint]] = {}
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
                found.setdefault(backend, []).append(endpoint)
    return [
        (backend, _that_counts(found[backend], settings, until_1_35)) for backend in sorted(found)
    ]


def _that_counts(same: list[Endpoint], settings: NodeSettings, until_1_35: bool) -> Endpoint:
    """The one of several endpoints of an address: one that does not terminate, if there is any,
    and of these a ready one; one on this node before others; else the first.

    Until 1.35 the last one on this node, else the first, whatever became of it.
    """
    if len(same) == 1:
        return same[0]
    here = [endpoint for endpoint in same if is_local(endpoint, settings)]
    if until_1_35:
        return here[-1] if here else same[0]
    left = [endpoint for endpoint in same if not endpoint.terminating] or same
    left = [endpoint for endpoint in left if endpoint.ready] or left
    return next((endpoint for endpoint in left if is_local(endpoint, settings)), left[0])


def is_local(endpoint: Endpoint, settings: NodeSettings) -> bool:
    """Whether an endpoint is on the node."""
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
    slices: Iterable[EndpointSlice],
    port: ServicePort,
    settings: NodeSettings,
    family: Family,
    *,
    until_1_35: bool = False,
) -> Choice:
    """What each policy selects for a service port."""
    endpoints = endpoints_of(slices, port, settings, family, until_1_35)
    ready = [pair for pair in endpoints if pair[1].ready]
    leaving = [
        pair for pair in endpoints if not pair[1].ready and pair[1].serving and pair[1].terminating
    ]
    everywhere = _hinted(ready, settings) if ready else [backend for backend, _ in leaving]
    here = [backend for backend, endpoint in ready if is_local(endpoint, settings)]
    if not here:
        here = [backend for backend, endpoint in leaving if is_local(endpoint, settings)]
    return Choice(tuple(everywhere), tuple(here), bool(ready or leaving))
