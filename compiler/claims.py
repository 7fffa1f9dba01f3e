"""Who claims which frontend: two Services must not claim the same one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from svcc.compiler.errors import Position
from svcc.compiler.objects import Objects, Origin, Service
from svcc.compiler.resolve import is_forwarded

Claim = tuple[object, ...]


def conflicts(
    objects: Objects, position: Callable[[Origin], Position]
) -> Iterator[tuple[Origin, str]]:
    """Where a Service claims what another one has, and what to say there."""
    owners: dict[Claim, Service] = {}
    for service in objects.services:
        if not is_forwarded(service):
            continue
        for claim, shown in _claims(service):
            owner = owners.setdefault(claim, service)
            if owner is not service:
                yield (
                    service.origin,
                    f"Services {owner.key} and {service.key} both claim {shown}; "
                    f"{owner.key} stands at {position(owner.origin)}; change one of them",
                )


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
