"""Services as the API server would hold them: what people leave out is filled in.

Source: kubernetes pkg/apis/core/v1/defaults.go (SetDefaults_Service).
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from svcc.compiler.model.objects import Service


def service_document(service: Service, given: Mapping[str, Any]) -> dict[str, Any]:
    """A Service object with the API server's defaults and the numbers of ``service``.

    Args:
        service: with all of its numbers.
        given: the object as it was read; it stays as it is.
    """
    document = deepcopy(dict(given))
    meta = _object(document, "metadata")
    meta["namespace"] = service.namespace
    spec = _object(document, "spec")
    spec["type"] = service.type
    spec.setdefault("sessionAffinity", "None")
    listed = [port for port in spec.get("ports") or () if isinstance(port, dict)]
    for port, typed in zip(listed, service.ports, strict=True):
        port.setdefault("protocol", typed.protocol)
        if not port.get("targetPort"):
            port["targetPort"] = typed.port
        if typed.node_port and service.type in ("NodePort", "LoadBalancer"):
            port["nodePort"] = typed.node_port
    if service.affinity_timeout is not None:
        config = _object(spec, "sessionAffinityConfig")
        _object(config, "clientIP")["timeoutSeconds"] = service.affinity_timeout
    if service.type == "ExternalName":
        return document
    spec.setdefault("internalTrafficPolicy", service.internal_traffic_policy)
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    addresses = ["None"] if service.headless else [str(item) for item in service.cluster_ips]
    if addresses:
        spec["clusterIP"] = addresses[0]
        spec["clusterIPs"] = addresses
    if service.cluster_ips:
        spec["ipFamilies"] = [f"IPv{int(item.family)}" for item in service.cluster_ips]
        if len(addresses) > 1 and not given.get("spec", {}).get("ipFamilyPolicy"):
            spec["ipFamilyPolicy"] = "RequireDualStack"
    if service.type in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", service.external_traffic_policy)
    if service.type == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", service.allocate_node_ports)
        if service.health_check_node_port:
            spec["healthCheckNodePort"] = service.health_check_node_port
    if service.ingress and not _given_ingress(given):
        entries = [{"ip": str(item), "ipMode": "VIP"} for item in service.ingress]
        _object(_object(document, "status"), "loadBalancer")["ingress"] = entries
    return document


def _given_ingress(given: Mapping[str, Any]) -> bool:
    status = given.get("status") or {}
    return bool((status.get("loadBalancer") or {}).get("ingress"))


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(parent.get(name), dict):
        parent[name] = {}
    found: dict[str, Any] = parent[name]
    return found
