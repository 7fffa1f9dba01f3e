"""Pods to EndpointSlices, as the endpoint slice controller makes them.

Source: k8s.io/endpointslice reconciler.go, utils.go, util/controller_utils.go and
trafficdist/trafficdist.go (Kubernetes 1.36). Two things differ: a Pod on a Node that is not
among the objects counts, since Nodes are often left out; and the names of the slices are made
of what is in them, so that they are the same each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping

from svcc.compiler.model.eligibility import HEADLESS_LABEL
from svcc.compiler.model.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Objects,
    Pod,
    Service,
    ServicePort,
)
from svcc.compiler.select.by_labels import PodsByLabels
from svcc.grammar.address import Family

MAX_ENDPOINTS = 100
"""Of one slice: the default of kube-controller-manager's --max-endpoints-per-slice."""
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "svcc"
_RESERVED = (SERVICE_NAME_LABEL, MANAGED_BY_LABEL, HEADLESS_LABEL)
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Those that generated names have (k8s.io/apimachinery pkg/util/rand)."""
_SAME_ZONE = ("PreferClose", "PreferSameZone", "PreferSameNode")
_SAME_NODE = "PreferSameNode"
_TOPOLOGY_ANNOTATIONS = (
    "service.kubernetes.io/topology-aware-hints",
    "service.kubernetes.io/topology-mode",
)
"""The first that is there counts."""


def missing_slices(
    objects: Objects, wrong: Container[tuple[str, str]], *, whole: Container[str] = ()
) -> Iterator[EndpointSlice]:
    """The slices of the Services that select Pods and have neither slices nor Endpoints.

    Nothing is known of a namespace of which no Pod or host was given.

    Args:
        objects: what was loaded.
        wrong: Services that get none, by namespace and name.
        whole: namespaces all of whose Pods are known, even if there is none.
    """
    pods = PodsByLabels(objects.pods)
    zones = {node.name: node.zone for node in objects.nodes}
    with_slices = {(item.namespace, item.service) for item in objects.slices}
    for service in objects.services:
        key = (service.namespace, service.name)
        if key in with_slices or key in wrong:
            continue
        if service.namespace not in pods.namespaces and service.namespace not in whole:
            continue
        if has_selected_endpoints(service):
            selected = pods.selected(service.namespace, service.selector)
            yield from slices_of(service, selected, zones)


def has_selected_endpoints(service: Service) -> bool:
    """Whether the cluster makes a Service's slices of Pods."""
    return bool(service.selector) and service.type != "ExternalName"


def slices_of(
    service: Service, pods: Iterable[Pod], zones: Mapping[str, str | None]
) -> Iterator[EndpointSlice]:
    """The slices of one Service: at least one for each of its families, be it empty.

    Args:
        service: one that :func:`has_selected_endpoints`.
        pods: those that it selects.
        zones: the zone of each Node, by its name.
    """
    running = [pod for pod in pods if not pod.is_finished]
    for family in families_of(service):
        by_ports: dict[tuple[EndpointPort, ...], list[Endpoint]] = {}
        for pod in running:
            endpoint = _endpoint(service, pod, family, zones)
            if endpoint is not None:
                by_ports.setdefault(endpoint_ports(service, pod), []).append(endpoint)
        # One without ports or endpoints tells that there are none.
        for ports, members in by_ports.items() or [((), [])]:
            for start in range(0, max(len(members), 1), MAX_ENDPOINTS):
                part = tuple(members[start : start + MAX_ENDPOINTS])
                yield EndpointSlice(
                    namespace=service.namespace,
                    name=_slice_name(service, family, ports, start),
                    service=service.name,
                    family=family,
                    ports=ports,
                    endpoints=part,
                    origin=service.origin,
                    labels=_labels(service),
                    from_pods=True,
                )


def families_of(service: Service) -> tuple[Family, ...]:
    """The families that a Service has slices of.

    Its cluster IPs tell, else its ``ipFamilies``. A headless Service that says nothing has slices
    of both, one that waits for its cluster IP of IPv4.
    """
    if service.cluster_ips:
        return tuple(dict.fromkeys(address.family for address in service.cluster_ips))
    if service.ip_families:
        return tuple(dict.fromkeys(service.ip_families))
    return (Family.IPV4, Family.IPV6) if service.headless else (Family.IPV4,)


def endpoint_ports(service: Service, pod: Pod) -> tuple[EndpointPort, ...]:
    """The ports of a Service as they are in one Pod, without those that the Pod has not."""
    found = []
    for port in service.ports:
        number = target_of(port, pod)
        if number is not None:
            found.append(EndpointPort(port.name, port.protocol, number))
    return tuple(found)


def target_of(port: ServicePort, pod: Pod) -> int | None:
    """The number of a Service's port in one Pod; None if the Pod has no port of that name."""
    wanted = port.target_port
    if isinstance(wanted, int):
        return wanted or port.port
    for own in pod.ports:
        if own.name == wanted and own.protocol == port.protocol:
            return own.port
    return None


def _endpoint(
    service: Service, pod: Pod, family: Family, zones: Mapping[str, str | None]
) -> Endpoint | None:
    """A Pod as an endpoint of one family; None where it has no address of that."""
    address = next((a for a in pod.addresses if a.family is family), None)
    if address is None:
        return None
    ready = service.publish_not_ready_addresses or (pod.ready and not pod.terminating)
    zone = pod.zone or zones.get(pod.node_name or "")
    hinted = ready and service.traffic_distribution in _SAME_ZONE and not _by_processors(service)
    by_node = hinted and service.traffic_distribution == _SAME_NODE
    return Endpoint(
        address=address,
        ready=ready,
        serving=pod.ready,
        terminating=pod.terminating,
        node_name=pod.node_name,
        zone_hints=frozenset({zone} if hinted and zone else ()),
        node_hints=frozenset({pod.node_name} if by_node and pod.node_name else ()),
        zone=zone,
        hostname=pod.hostname if pod.hostname and pod.subdomain == service.name else None,
        pod=pod.name if pod.kind == "Pod" else None,
    )


def _by_processors(service: Service) -> bool:
    """Whether hints share the traffic by the processors of zones, which is not known here."""
    modes = (service.annotations.get(name) for name in _TOPOLOGY_ANNOTATIONS)
    return next((mode for mode in modes if mode is not None), "") in ("Auto", "auto")


def _labels(service: Service) -> dict[str, str]:
    labels = {name: value for name, value in service.labels.items() if name not in _RESERVED}
    if service.headless:
        labels[HEADLESS_LABEL] = ""
    return {**labels, SERVICE_NAME_LABEL: service.name, MANAGED_BY_LABEL: MANAGER}


def _slice_name(
    service: Service, family: Family, ports: tuple[EndpointPort, ...], start: int
) -> str:
    """The Service's name and five letters that depend on what tells its slices apart."""
    words = [family.label, str(start), *(f"{p.name}/{p.protocol}/{p.port}" for p in ports)]
    number = int.from_bytes(hashlib.sha256("\0".join(words).encode()).digest()[:8], "big")
    letters = ""
    for _ in range(5):
        number, left = divmod(number, len(_NAME_LETTERS))
        letters += _NAME_LETTERS[left]
    return f"{service.name}-{letters}"
