"""What a cluster makes of Services and Pods, read from the documents themselves.

Written from the Kubernetes documentation, apart from the product: it looks at every Pod for every
Service, and knows neither the loader nor its types.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

Document = dict[str, Any]


class EndpointFacts(NamedTuple):
    """One endpoint as it must be: ``ports`` are (name, protocol, number) of its slice."""

    address: str
    ports: frozenset[tuple[str, str, int]]
    ready: bool
    serving: bool
    terminating: bool
    node: str | None
    zone: str | None
    hostname: str | None
    for_zones: frozenset[str]
    for_nodes: frozenset[str]


def endpoints_of(service: Document, documents: Iterable[Document]) -> Counter[EndpointFacts]:
    """The endpoints of a Service, of all its families."""
    spec = service["spec"]
    zones = {
        item["metadata"]["name"]: item["metadata"]["labels"].get("topology.kubernetes.io/zone")
        for item in documents
        if item["kind"] == "Node"
    }
    found: Counter[EndpointFacts] = Counter()
    for pod in documents:
        if pod["kind"] != "Pod" or not _is_selected(service, pod):
            continue
        if pod["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        serving = {"type": "Ready", "status": "True"} in pod["status"].get("conditions", [])
        terminating = "deletionTimestamp" in pod["metadata"]
        ready = bool(spec.get("publishNotReadyAddresses")) or (serving and not terminating)
        node = pod["spec"].get("nodeName")
        zone = zones.get(node)
        distribution = spec.get("trafficDistribution")
        ports = frozenset(
            (port.get("name", ""), port.get("protocol", "TCP"), number)
            for port in spec.get("ports", [])
            for number in _numbers(port, pod)
        )
        hostname = pod["spec"].get("hostname")
        for address in pod["status"].get("podIPs", []):
            if f"IPv{ipaddress.ip_address(address['ip']).version}" not in spec["ipFamilies"]:
                continue
            facts = EndpointFacts(
                address=address["ip"],
                ports=ports,
                ready=ready,
                serving=serving,
                terminating=terminating,
                node=node,
                zone=zone,
                hostname=hostname
                if hostname and pod["spec"].get("subdomain") == service["metadata"]["name"]
                else None,
                for_zones=frozenset([zone] if ready and distribution and zone else []),
                for_nodes=frozenset(
                    [node] if ready and distribution == "PreferSameNode" and node else []
                ),
            )
            found[facts] += 1
    return found


def _is_selected(service: Document, pod: Document) -> bool:
    labels = pod["metadata"].get("labels", {})
    return service["metadata"]["namespace"] == pod["metadata"]["namespace"] and all(
        name in labels and labels[name] == value
        for name, value in service["spec"]["selector"].items()
    )


def _numbers(port: Document, pod: Document) -> list[int]:
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return [target]
    sidecars = [c for c in pod["spec"].get("initContainers", []) if "restartPolicy" in c]
    return [
        declared["containerPort"]
        for container in (*pod["spec"]["containers"], *sidecars)
        for declared in container.get("ports", [])
        if declared.get("name") == target
        and declared.get("protocol", "TCP") == port.get("protocol", "TCP")
    ][:1]
