"""Who claims which frontend: two Services must not claim the same one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import Objects, Service

CLASH = "SVC057"
"""The code of what is said of a conflict."""

Claim = tuple[object, ...]


class Conflict(NamedTuple):
    """``claimant`` claims what ``owner``, which came first, has: ``frontend`` as text."""

    owner: Service
    claimant: Service
    frontend: str


def conflicts(objects: Objects) -> Iterator[Conflict]:
    """Every frontend that a Service claims and an earlier one has."""
    owners: dict[Claim, Service] = {}
    for service in objects.services:
        if not is_forwarded(service):
            continue
        for claim, shown in _claims(service):
            owner = owners.setdefault(claim, service)
            if owner is not service:
                yield Conflict(owner, service, shown)


def claims(service: Service) -> Iterator[Claim]:
    """The frontends that a Service claims."""
    if is_forwarded(service):
        yield from (claim for claim, _ in _claims(service))


def _claims(service: Service) -> Iterator[tuple[Claim, str]]:
    addresses = dict.fromkeys((*service.cluster_ips, *service.external_ips, *service.ingress))
    for port in service.ports:
        for address in addresses:
            shown = f"[{address}]" if address.family == 6 else str(address)
            yield (address, port.port, port.protocol), f"{shown}:{port.port}/{port.protocol}"
        if port.node_port and service.type in ("NodePort", "LoadBalancer"):
            yield (port.node_port, port.protocol), f"node port {port.node_port}/{port.protocol}"
    if service.health_check_node_port and service.external_traffic_policy == "Local":
        number = service.health_check_node_port
        yield (number, "TCP"), f"node port {number}/TCP (health check)"
