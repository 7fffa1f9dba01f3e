"""What balancers are told of this node: whether it takes part, and with how many endpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from svcc.agent.state import LocalEndpoints
from svcc.compiler.model.eligibility import is_forwarded

if TYPE_CHECKING:
    from svcc.agent.sources.documents import Document
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Address, Family

_WILL_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
"""The taint of a Node that the cluster autoscaler is about to take away."""


def is_eligible(node: Document | None) -> bool:
    """Whether a Node stays; an unknown one does.

    Source: pkg/proxy/healthcheck/proxy_health.go, SyncNode.
    """
    if node is None:
        return True
    if (node.get("metadata") or {}).get("deletionTimestamp"):
        return False
    taints = (node.get("spec") or {}).get("taints") or []
    return all(taint.get("key") != _WILL_BE_DELETED for taint in taints)


def local_endpoints(objects: Objects, settings: NodeSettings) -> Iterator[LocalEndpoints]:
    """Each Service with a health check node port, and how many ready addresses it has here.

    Of two families that with more counts: each of kube-proxy's two halves counts its own
    (pkg/proxy/endpointschangetracker.go, LocalReadyEndpoints).
    """
    node = settings.node_name if settings.known_node else None
    here: dict[tuple[str, str], dict[Family, set[int]]] = {}
    for item in objects.slices:
        addresses = here.setdefault((item.namespace, item.service), {})
        for endpoint in item.endpoints:
            if endpoint.ready and endpoint.node_name == node is not None:
                addresses.setdefault(item.family, set()).add(endpoint.address.value)
    for service in objects.services:
        number = service.health_check_node_port
        if number and service.external_traffic_policy == "Local" and is_forwarded(service):
            found = here.get((service.namespace, service.name), {})
            count = max(map(len, found.values()), default=0)
            yield LocalEndpoints(service.namespace, service.name, number, count)


def node_port_addresses(settings: NodeSettings) -> tuple[Address, ...] | None:
    """The addresses of the node that node ports answer on; None: all that there are."""
    networks = settings.node_port_networks
    if networks is None:
        return None
    return tuple(
        address
        for address in settings.addresses
        if any(network.family is address.family and network.holds(address) for network in networks)
    )
