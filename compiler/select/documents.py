"""EndpointSlices as the documents that the API has (discovery.k8s.io/v1)."""

from __future__ import annotations

from typing import Any

from svcc.compiler.model.objects import Endpoint, EndpointSlice
from svcc.grammar.address import Family


def slice_document(item: EndpointSlice) -> dict[str, Any]:
    """A slice as the API would show it; what loads it again finds the same.

    Args:
        item: no part of an Endpoints object.
    """
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": item.name,
            "namespace": item.namespace,
            "labels": dict(item.labels),
        },
        "addressType": "IPv4" if item.family is Family.IPV4 else "IPv6",
        "ports": [
            {"name": port.name, "protocol": port.protocol, "port": port.port} for port in item.ports
        ],
        "endpoints": [_endpoint(endpoint, item.namespace) for endpoint in item.endpoints],
    }


def _endpoint(endpoint: Endpoint, namespace: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "addresses": [str(endpoint.address)],
        "conditions": {
            "ready": endpoint.ready,
            "serving": endpoint.serving,
            "terminating": endpoint.terminating,
        },
    }
    for name, value in (
        ("nodeName", endpoint.node_name),
        ("zone", endpoint.zone),
        ("hostname", endpoint.hostname),
    ):
        if value is not None:
            found[name] = value
    if endpoint.pod is not None:
        found["targetRef"] = {"kind": "Pod", "namespace": namespace, "name": endpoint.pod}
    hints = {
        "forZones": [{"name": name} for name in sorted(endpoint.zone_hints)],
        "forNodes": [{"name": name} for name in sorted(endpoint.node_hints)],
    }
    if any(hints.values()):
        found["hints"] = {name: value for name, value in hints.items() if value}
    return found
