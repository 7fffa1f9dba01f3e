"""Services of type NodePort that have no node port yet."""

from __future__ import annotations

from collections.abc import Container, Iterator

from svcc.compiler.consistency.contradictions import Contradiction
from svcc.compiler.model.objects import Objects


def without_node_ports(
    objects: Objects, wrong: Container[tuple[str, str]]
) -> Iterator[Contradiction]:
    """Ports that no node answers on although their Service's type says so.

    Of ``wrong`` Services (namespace and name) nothing is told.
    """
    for service in objects.services:
        if (service.namespace, service.name) in wrong:
            continue
        if service.type == "NodePort" and not service.headless:
            for index, port in enumerate(service.ports):
                if not port.node_port:
                    yield Contradiction(
                        service.origin,
                        ("spec", "ports", index),
                        f"Service {service.key}: port {port.port}/{port.protocol} has no nodePort, "
                        "so that no node answers on any; the API server assigns one, or svcc "
                        "allocate",
                        "no node port",
                    )
