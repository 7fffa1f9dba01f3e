"""``kubectl get services``.

Source: kubernetes pkg/printers/internalversion/printers.go (printService).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from svcc.compiler.model.objects import Service
from svcc.compiler.show.table import age, labels_text, table

_WIDEST_BALANCER = 16
"""Characters of balancer addresses without ``-o wide``."""


def services_table(
    services: Sequence[tuple[Service, Mapping[str, Any]]],
    now: datetime,
    *,
    wide: bool = False,
    with_namespace: bool = False,
) -> str:
    """The table of Services, each with the object as it was given."""
    header = ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    if wide:
        header.append("SELECTOR")
    rows = []
    for service, document in services:
        row = [
            service.name,
            service.type,
            _cluster_ip(service),
            _external_ip(service, document, wide=wide),
            ",".join(_port_texts(service)) or "<none>",
            age(document, now),
        ]
        if wide:
            row.append(labels_text(service.selector))
        rows.append([service.namespace, *row] if with_namespace else row)
    return table(["NAMESPACE", *header] if with_namespace else header, rows)


def _cluster_ip(service: Service) -> str:
    if service.headless:
        return "None"
    return str(service.cluster_ips[0]) if service.cluster_ips else "<none>"


def _external_ip(service: Service, document: Mapping[str, Any], *, wide: bool) -> str:
    external = [str(address) for address in service.external_ips]
    match service.type:
        case "ExternalName":
            return service.external_name
        case "ClusterIP" | "NodePort":
            return ",".join(external) or "<none>"
        case "LoadBalancer":
            balancer = ",".join(_ingress(service, document))
            if not wide and len(balancer) > _WIDEST_BALANCER:
                balancer = f"{balancer[: _WIDEST_BALANCER - 3]}..."
            return ",".join(filter(None, (balancer, *external))) or "<pending>"


def _ingress(service: Service, document: Mapping[str, Any]) -> list[str]:
    """Addresses or names; those of the object, else those that the Service was given."""
    status = document.get("status") or {}
    entries = (status.get("loadBalancer") or {}).get("ingress") or ()
    found = [str(entry.get("ip") or entry.get("hostname") or "") for entry in entries]
    return list(filter(None, found)) or [str(address) for address in service.ingress]


def _port_texts(service: Service) -> list[str]:
    return [
        f"{port.port}:{port.node_port}/{port.protocol}"
        if port.node_port
        else f"{port.port}/{port.protocol}"
        for port in service.ports
    ]
