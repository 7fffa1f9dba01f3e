"""Generated objects: valid ones, of every kind that matters, without conflicts.

They come as documents, so that the loader is part of what is tested. Addresses and ports are
few, so that frontends lie close to each other, on the node's own addresses and on each
other's ports.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.configuration import Overrides, load_configuration, node_settings
from svcc.compiler.settings.node import NodeSettings

Document = dict[str, Any]

NODE = "node-a"
_CLUSTER_IPS = {4: "10.96.{}.{}", 6: "fd00:96::{:x}:{:x}"}
_EXTERNAL = {
    4: ("198.51.100.20", "198.51.100.21", "198.51.100.30", "198.51.100.99", "192.168.7.11"),
    6: ("2001:db8:1::20", "2001:db8:1::21", "2001:db8:1::30", "2001:db8:1::99", "fd00:16:5::10"),
}
_ENDPOINTS = {
    4: ("10.244.1.5", "10.244.1.6", "10.244.2.7", "10.244.2.8", "10.244.3.9", "192.168.7.10"),
    6: (
        "fd00:244:1::5",
        "fd00:244:1::6",
        "fd00:244:2::7",
        "fd00:244:2::8",
        "fd00:244:3::9",
        "fd00:7::10",
    ),
}
_OWN = ("192.168.7.10", "fd00:7::10")
"""Endpoints on the host network of the node itself."""
_NODES = (NODE, "node-b")
_RANGES = (
    "203.0.113.0/24",
    "203.0.113.7/32",
    "10.244.0.0/16",
    "10.244.1.0/24",
    "192.168.7.0/24",
    "0.0.0.0/0",
    "2001:db8::/64",
    "fd00:244::/32",
    "fd00:7::10/128",
)
_PORTS = (80, 443, 53, 30000, 30001, 30002)
_NODE_PORTS = (30000, 30001, 30002, 30003, 30100)
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_NAMES = ("http", "dns", "signal")


@dataclass(slots=True)
class _Claims:
    """Frontends that are taken: no two Services may have one."""

    taken: set[tuple[str | None, int, str]] = field(default_factory=set)

    def claim(self, address: str | None, ports: list[tuple[int, str]]) -> bool:
        """Take all of these ports of an address (None: node ports), or none of them."""
        wanted = {(address, port, protocol) for port, protocol in ports}
        if wanted & self.taken:
            return False
        self.taken |= wanted
        return True


@dataclass(frozen=True, slots=True)
class Cluster:
    """Documents and a configuration, as svcc is given them."""

    documents: tuple[Document, ...]
    configuration: Document

    def load(self, folder: Path) -> tuple[Objects, NodeSettings]:
        """Read them as the command line does; ``folder`` takes the configuration file."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(self.documents)})
        objects = load(["-"], stdin=io.BytesIO(text.encode()))
        config = folder / "config.json"
        config.write_text(json.dumps(self.configuration))
        settings, _ = node_settings(
            objects, load_configuration(str(config)), Overrides(), Overrides(), hostname=NODE
        )
        return objects, settings


@st.composite
def clusters(draw: st.DrawFn, *, most_services: int = 4) -> Cluster:
    """A handful of Services with their endpoints, a node and its configuration."""
    claims = _Claims()
    documents: list[Document] = []
    for number in range(draw(st.integers(1, most_services))):
        service, versions = draw(services(number, claims))
        documents.append(service)
        documents.extend(draw(endpoints_of(service, versions)))
    with_node = draw(st.integers(0, 9)) != 9
    if with_node:
        documents.append(draw(nodes()))
    configuration = draw(configurations(with_node=with_node))
    return Cluster(tuple(draw(st.permutations(documents))), configuration)


@st.composite
def services(draw: st.DrawFn, number: int, claims: _Claims) -> tuple[Document, list[int]]:
    """A Service, and the IP versions that it has."""
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    versions = draw(st.sampled_from([[4], [6], [4, 6], [6, 4]]))
    cluster_ips = [
        _CLUSTER_IPS[version].format(draw(st.integers(0, 3)), 10 + number) for version in versions
    ]
    ports = draw(_service_ports(kind, claims))
    numbers = [(port["port"], port["protocol"]) for port in ports]
    spec: Document = {"type": kind, "clusterIP": cluster_ips[0], "ports": ports}
    if len(versions) > 1 or draw(st.booleans()):
        spec["clusterIPs"] = cluster_ips
    every = [address for version in (4, 6) for address in _EXTERNAL[version]]
    chosen = draw(st.lists(st.sampled_from(every), max_size=3, unique=True))
    external = [address for address in chosen if claims.claim(address, numbers)]
    if external:
        spec["externalIPs"] = external
    service: Document = {"apiVersion": "v1", "kind": "Service", "spec": spec}
    service["metadata"] = {"name": f"web-{number}", "namespace": draw(st.sampled_from("ab"))}
    if kind == "LoadBalancer":
        chosen = draw(st.lists(st.sampled_from(every), max_size=3, unique=True))
        ingress = [address for address in chosen if claims.claim(address, numbers)]
        service["status"] = {
            "loadBalancer": {"ingress": [draw(_ingress(address)) for address in ingress]}
        }
        ranges = draw(st.lists(st.sampled_from(_RANGES), max_size=3, unique=True))
        if ranges:
            spec["loadBalancerSourceRanges"] = ranges
    internal = draw(st.sampled_from([None, "Cluster", "Local"]))
    if internal:
        spec["internalTrafficPolicy"] = internal
    if (kind != "ClusterIP" or bool(external)) and draw(st.booleans()):
        spec["externalTrafficPolicy"] = draw(st.sampled_from(["Cluster", "Local", "Local"]))
        if kind == "LoadBalancer" and spec["externalTrafficPolicy"] == "Local":
            spec["healthCheckNodePort"] = 31000 + number
    if draw(st.integers(0, 3)) == 0:
        spec["sessionAffinity"] = "ClientIP"
        timeout = draw(st.integers(60, 86400))
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": timeout}}
    if draw(st.integers(0, 19)) == 0:
        service["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "mesh"}
    return service, versions


@st.composite
def _service_ports(draw: st.DrawFn, kind: str, claims: _Claims) -> list[Document]:
    names = _NAMES[: draw(st.integers(1, 3))]
    ports: list[Document] = []
    for name in names:
        port = draw(st.sampled_from(_PORTS))
        protocol = draw(st.sampled_from(_PROTOCOLS))
        if any((p["port"], p["protocol"]) == (port, protocol) for p in ports):
            continue
        made: Document = {"name": name, "port": port, "protocol": protocol, "targetPort": name}
        if kind != "ClusterIP" and draw(st.integers(0, 3)):
            node_port = draw(st.sampled_from(_NODE_PORTS))
            if claims.claim(None, [(node_port, protocol)]):
                made["nodePort"] = node_port
        ports.append(made)
    return ports


@st.composite
def _ingress(draw: st.DrawFn, address: str) -> Document:
    mode = draw(st.sampled_from([None, "VIP", "VIP", "Proxy"]))
    return {"ip": address} | ({"ipMode": mode} if mode else {})


@st.composite
def endpoints_of(draw: st.DrawFn, service: Document, versions: list[int]) -> list[Document]:
    """The slices of a Service, or its Endpoints."""
    if draw(st.integers(0, 4)) == 0:
        return [draw(_endpoints_object(service, versions[0]))]
    hints = draw(st.sampled_from(["none", "none", "zones", "nodes", "some"]))
    return [
        draw(_endpoint_slice(service, number, hints, versions))
        for number in range(draw(st.integers(0, 3)))
    ]


@st.composite
def _endpoint_slice(
    draw: st.DrawFn, service: Document, number: int, hints: str, versions: list[int]
) -> Document:
    version = draw(st.sampled_from([*versions, *versions, 4, 6]))
    labels = {"kubernetes.io/service-name": service["metadata"]["name"]}
    if draw(st.integers(0, 19)) == 0:
        labels["service.kubernetes.io/headless"] = ""
    addresses = draw(st.lists(st.sampled_from(_ENDPOINTS[version]), max_size=5, unique=True))
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": f"IPv{version}",
        "metadata": {
            "name": f"{service['metadata']['name']}-{number}",
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
        },
        "ports": draw(_endpoint_ports(service)),
        "endpoints": [draw(_endpoint(address, hints)) for address in addresses],
    }


@st.composite
def _endpoint_ports(draw: st.DrawFn, service: Document) -> list[Document]:
    ports: list[Document] = []
    for port in service["spec"]["ports"]:
        if draw(st.integers(0, 9)) == 0:
            continue
        number = draw(st.sampled_from([8080, 8080, 9090, port["port"], 30001]))
        made = {"name": port["name"], "protocol": port["protocol"], "port": number}
        if draw(st.integers(0, 19)) == 0:
            made["protocol"] = draw(st.sampled_from(_PROTOCOLS))
        ports.append(made)
    return ports


@st.composite
def _endpoint(draw: st.DrawFn, address: str, hints: str) -> Document:
    endpoint: Document = {"addresses": [address]}
    home = NODE if ".1." in address or ":1::" in address else "node-b"
    node = draw(st.sampled_from([home, home, home, NODE, None]))
    if address in _OWN:
        node = NODE
    if node:
        endpoint["nodeName"] = node
    state = draw(st.sampled_from(["none", "ready", "ready", "leaving", "gone", "not ready"]))
    if state != "none":
        endpoint["conditions"] = {
            "ready": state == "ready",
            "serving": state in ("ready", "leaving"),
            "terminating": state in ("leaving", "gone"),
        }
    if hints == "none" or (hints == "some" and draw(st.booleans())):
        return endpoint
    zones = draw(st.lists(st.sampled_from(["zone-1", "zone-2"]), min_size=1, unique=True))
    endpoint["hints"] = {"forZones": [{"name": zone} for zone in zones]}
    if hints == "nodes":
        near = draw(st.sampled_from([NODE, "node-b", "node-c"]))
        endpoint["hints"]["forNodes"] = [{"name": near}]
    return endpoint


@st.composite
def _endpoints_object(draw: st.DrawFn, service: Document, version: int) -> Document:
    subsets: list[Document] = []
    for _ in range(draw(st.integers(0, 2))):
        addresses = draw(st.lists(st.sampled_from(_ENDPOINTS[version]), max_size=4, unique=True))
        subset: Document = {"ports": draw(_endpoint_ports(service))}
        for address in addresses:
            kind = draw(st.sampled_from(["addresses", "addresses", "notReadyAddresses"]))
            entry = {"ip": address}
            if address in _OWN or draw(st.booleans()):
                entry["nodeName"] = NODE if address in _OWN else draw(st.sampled_from(_NODES))
            subset.setdefault(kind, []).append(entry)
        if len(subset) > 1 and subset["ports"]:
            subsets.append(subset)
    names = {key: service["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": names, "subsets": subsets}


@st.composite
def nodes(draw: st.DrawFn) -> Document:
    """The testbed's node."""
    labels = {"topology.kubernetes.io/zone": "zone-1"} if draw(st.integers(0, 4)) else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE, "labels": labels},
        "spec": {"podCIDRs": ["10.244.1.0/24", "fd00:244:1::/64"]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "192.168.7.10"},
                {"type": "InternalIP", "address": "fd00:7::10"},
            ]
        },
    }


@st.composite
def configurations(draw: st.DrawFn, *, with_node: bool) -> Document:
    """A KubeProxyConfiguration; ``with_node``: it may ask for what the Node object says."""
    config: Document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "hostnameOverride": NODE,
    }
    config |= draw(
        st.sampled_from(
            [
                {"clusterCIDR": "10.244.0.0/16,fd00:244::/32"},
                {"clusterCIDR": "10.244.0.0/16,fd00:244::/32"},
                {"clusterCIDR": "10.244.0.0/16"},
                {},
                {"detectLocalMode": "NodeCIDR"} if with_node else {},
                {
                    "detectLocalMode": "InterfaceNamePrefix",
                    "detectLocal": {"interfaceNamePrefix": "pod"},
                },
                {"detectLocalMode": "BridgeInterface", "detectLocal": {"bridgeInterface": "pod0"}},
            ]
        )
    )
    selections: tuple[list[str], ...] = (
        [],
        [],
        ["192.168.7.0/24"],
        ["127.0.0.0/8", "172.16.0.0/12", "fd00:7::/64"],
        ["primary"] if with_node else [],
        ["0.0.0.0/0", "::/0"],
        ["127.0.0.1/32"],
    )
    chosen = draw(st.sampled_from(selections))
    if chosen:
        config["nodePortAddresses"] = chosen
    iptables = {
        "masqueradeAll": draw(st.integers(0, 4)) == 0,
        "localhostNodePorts": draw(st.integers(0, 3)) != 0,
        "masqueradeBit": draw(st.sampled_from([14, 14, 0, 31])),
    }
    config["iptables"] = iptables
    if draw(st.integers(0, 4)) == 0:
        config["conntrack"] = {"tcpBeLiberal": True}
    return config
