"""API objects to typed ones: Service, EndpointSlice, Endpoints, Node.

Source: k8s.io/api core/v1 and discovery/v1 types; pkg/apis/core/validation and
pkg/apis/core/v1/defaults.go for what is allowed and what is filled in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from svcc.compiler.load.addresses import address, network, remote_address
from svcc.compiler.load.fields import Fields, is_name
from svcc.compiler.load.text import shorten
from svcc.compiler.model.objects import (
    DEFAULT_NAMESPACE,
    SCHEDULERS,
    Node,
    Origin,
    Policy,
    Protocol,
    Service,
    ServicePort,
)
from svcc.grammar.address import Address, Family

SCHEDULER_ANNOTATION = "svcc/ipvs-scheduler"
"""The IPVS scheduler of all ports of a Service."""
ANNOTATIONS = (SCHEDULER_ANNOTATION,)
"""All annotations of svcc's own."""
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
HOSTNAME_LABEL = "kubernetes.io/hostname"
ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
TRUNCATED_ANNOTATION = "endpoints.kubernetes.io/over-capacity"
DEFAULT_AFFINITY_TIMEOUT = 10800
DEFAULT_NODE_PORTS = range(30000, 32768)
MAX_AFFINITY_TIMEOUT = 86400

TRAFFIC_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")

_PROTOCOLS: tuple[Protocol, ...] = ("TCP", "UDP", "SCTP")
_TYPES: tuple[Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], ...] = (
    "ClusterIP",
    "NodePort",
    "LoadBalancer",
    "ExternalName",
)
_POLICIES: tuple[Policy, ...] = ("Cluster", "Local")


def protocol_of(fields: Fields) -> Protocol:
    """``protocol`` of a port, TCP by default."""
    value = fields.choice("protocol", _PROTOCOLS, "TCP")
    return "TCP" if value == "TCP" else "UDP" if value == "UDP" else "SCTP"


def _policy(fields: Fields, key: str) -> Policy:
    return "Local" if fields.choice(key, _POLICIES, "Cluster") == "Local" else "Cluster"


def metadata(fields: Fields, *, what: str = "subdomain") -> tuple[str, str]:
    """Namespace (kubectl's default where there is none) and name."""
    meta = fields.object("metadata")
    name = meta.name("name", what=what)
    if not meta.has("name"):
        meta.wrong(None, "name is missing; every object has one")
    return meta.name("namespace") or DEFAULT_NAMESPACE, name


def service(fields: Fields, origin: Origin) -> Service:
    """A Service (core/v1)."""
    namespace, name = metadata(fields, what="label")
    meta, spec = fields.object("metadata"), fields.object("spec")
    kind = next(t for t in _TYPES if t == spec.choice("type", _TYPES, "ClusterIP"))
    cluster_ips, headless = _cluster_ips(spec)
    ports = tuple(_ports(spec, kind))
    _tell_contradictions(spec, kind, cluster_ips, headless)
    external = _policy(spec, "externalTrafficPolicy")
    return Service(
        namespace=namespace,
        name=name,
        type=kind,
        origin=origin,
        labels=meta.string_map("labels"),
        annotations=meta.string_map("annotations"),
        headless=headless,
        cluster_ips=() if kind == "ExternalName" else cluster_ips,
        ports=ports,
        external_ips=tuple(spec.texts("externalIPs", remote_address)),
        ingress=tuple(_ingress(fields)),
        source_ranges=tuple(spec.texts("loadBalancerSourceRanges", network)),
        internal_traffic_policy=_policy(spec, "internalTrafficPolicy"),
        external_traffic_policy=external,
        affinity_timeout=_affinity(spec),
        health_check_node_port=spec.number("healthCheckNodePort", 0, 65535, 0)
        if kind == "LoadBalancer"
        else 0,
        ipvs_scheduler=_scheduler(meta),
        selector=spec.string_map("selector"),
        publish_not_ready_addresses=spec.flag("publishNotReadyAddresses", False),
        ip_families=_families(spec),
        ip_family_policy=spec.text("ipFamilyPolicy"),
        external_name=spec.text("externalName"),
        load_balancer_ip=spec.read("loadBalancerIP", address),
        traffic_distribution=_traffic_distribution(spec),
        allocate_node_ports=spec.flag("allocateLoadBalancerNodePorts", True),
        load_balancer_class=spec.text("loadBalancerClass"),
        has_ingress=bool(fields.object("status").object("loadBalancer").raw("ingress")),
    )


def _families(spec: Fields) -> tuple[Family, ...]:
    known = {"IPv4": Family.IPV4, "IPv6": Family.IPV6}
    return tuple(known[name] for name in spec.texts("ipFamilies", str) if name in known)


def _traffic_distribution(spec: Fields) -> str:
    found = spec.text("trafficDistribution")
    if found and found not in TRAFFIC_DISTRIBUTIONS:
        known = " or ".join(TRAFFIC_DISTRIBUTIONS)
        spec.warn(
            "trafficDistribution", f"{shorten(found)} is not known, so it has no effect; {known}"
        )
    return found


def _tell_contradictions(
    spec: Fields, kind: str, cluster_ips: tuple[Address, ...], headless: bool
) -> None:
    """Warn of what the API server refuses in a Service, and what comes of it here."""
    if kind == "ExternalName":
        return
    if not headless and not spec.raw("ports"):
        spec.warn("ports", "a Service needs a port; without any it has no frontend")
    if headless and kind != "ClusterIP":
        spec.warn("clusterIP", f"a Service of type {kind} cannot be headless; it is passed over")
    if kind != "LoadBalancer" and spec.has("loadBalancerSourceRanges"):
        spec.warn("loadBalancerSourceRanges", f"they guard nothing of a {kind} Service")
    _tell_families(spec, cluster_ips)


def _tell_families(spec: Fields, cluster_ips: tuple[Address, ...]) -> None:
    there = [f"IPv{int(address.family)}" for address in cluster_ips]
    if len(there) > 1 and spec.text("ipFamilyPolicy") == "SingleStack":
        spec.warn("ipFamilyPolicy", "SingleStack, but there are two cluster IPs; both count")
    if spec.raw("ipFamilies") in (None, there):
        return
    asked = spec.texts("ipFamilies", str)
    unknown = [family for family in asked if family not in ("IPv4", "IPv6")]
    if unknown:
        spec.warn("ipFamilies", f"{shorten(unknown[0])} is no family; write IPv4 or IPv6")
        return
    if asked and there and asked != there:
        spec.warn(
            "ipFamilies",
            f"these are {' and '.join(asked)}, but the cluster IPs are {' and '.join(there)}; "
            "the addresses count",
        )


def _scheduler(meta: Fields) -> str | None:
    if not meta.has("annotations"):
        return None
    return meta.object("annotations").choice(SCHEDULER_ANNOTATION, ("", *SCHEDULERS), "") or None


def _cluster_ips(spec: Fields) -> tuple[tuple[Address, ...], bool]:
    single = spec.text("clusterIP")
    several = spec.texts("clusterIPs", str)
    if several and single and several[0] != single:
        spec.wrong(
            "clusterIPs",
            f"the first is {shorten(several[0])}, but clusterIP is {shorten(single)}; "
            "make them the same",
        )
    if "None" in (single, *several):
        return (), True
    if several:
        addresses = [a for a in spec.texts("clusterIPs", _address_or_empty) if a is not None]
    else:
        one = spec.read("clusterIP", address)
        addresses = [] if one is None else [one]
    families = [a.family for a in addresses]
    if len(families) > len(set(families)):
        spec.wrong("clusterIPs", "two addresses of one family; a Service has one of each")
        addresses = addresses[:1]
    return tuple(addresses), False


def _address_or_empty(text: str) -> Address | None:
    return address(text) if text else None


def _ports(spec: Fields, kind: str) -> Iterator[ServicePort]:
    names: set[str] = set()
    numbers: set[tuple[int, str]] = set()
    node_ports: set[tuple[int, str]] = set()
    listed = list(spec.objects("ports"))
    for fields in listed:
        name = fields.name("name")
        protocol = protocol_of(fields)
        number = fields.number("port", 1, 65535, 0)
        if not fields.has("port"):
            fields.wrong(None, "port is missing")
        node_port = fields.number("nodePort", 0, 65535, 0)
        if node_port:
            _tell_node_port(fields, kind, node_port)
        target_port = _target_port(fields)
        if not name and len(listed) > 1 and not fields.has("name"):
            fields.wrong(None, "name is missing; it is needed where there are several ports")
        if name and name in names:
            fields.wrong("name", f"two ports have the name {name!r}")
        if number and (number, protocol) in numbers:
            fields.wrong("port", f"two ports have the number {number}/{protocol}")
        if node_port and (node_port, protocol) in node_ports:
            fields.wrong("nodePort", f"two ports have the node port {node_port}/{protocol}")
        names.add(name)
        numbers.add((number, protocol))
        node_ports.add((node_port, protocol))
        if number:
            yield ServicePort(name, protocol, number, node_port, target_port or number)


def _tell_node_port(fields: Fields, kind: str, number: int) -> None:
    if kind == "ClusterIP":
        message = "a ClusterIP Service has no node port; it is left out (type: NodePort has one)"
        fields.warn("nodePort", message)
    elif number not in DEFAULT_NODE_PORTS:
        first, last = DEFAULT_NODE_PORTS[0], DEFAULT_NODE_PORTS[-1]
        message = f"the API server gives out {first} to {last} unless told otherwise"
        fields.warn("nodePort", message, severity="note")


def _target_port(fields: Fields) -> int | str:
    value = fields.raw("targetPort")
    if isinstance(value, str):
        if value and not (len(value) <= 15 and is_name(value.lower(), "label")):
            fields.wrong("targetPort", f"{shorten(value)} is not a port name")
        return value
    return fields.number("targetPort", 0, 65535, 0)


def _ingress(fields: Fields) -> Iterator[Address]:
    for entry in fields.object("status").object("loadBalancer").objects("ingress"):
        mode = entry.choice("ipMode", ("VIP", "Proxy"), "VIP")
        found = entry.read("ip", address)
        if found is not None and mode == "VIP":
            yield found


def _affinity(spec: Fields) -> int | None:
    client_ip = spec.object("sessionAffinityConfig").object("clientIP")
    timeout = client_ip.number("timeoutSeconds", 1, MAX_AFFINITY_TIMEOUT, DEFAULT_AFFINITY_TIMEOUT)
    mode = spec.choice("sessionAffinity", ("None", "ClientIP"), "None")
    return timeout if mode == "ClientIP" else None


def service_of(kind: str, value: dict[str, Any]) -> tuple[str, str] | None:
    """Namespace and name of the Service that an object is, or has endpoints of.

    None where a text that would tell is missing or wrong.
    """
    meta = value.get("metadata")
    if kind in ("Node", "Pod", "HostList") or not isinstance(meta, dict):
        return None
    namespace, name = meta.get("namespace") or DEFAULT_NAMESPACE, meta.get("name")
    if kind == "EndpointSlice":
        labels = meta.get("labels")
        name = labels.get(SERVICE_NAME_LABEL) if isinstance(labels, dict) else None
    if not (isinstance(namespace, str) and is_name(namespace, "label")):
        return None
    return (namespace, name) if isinstance(name, str) and is_name(name, "label") else None


def node(fields: Fields, origin: Origin) -> Node:
    """A Node (core/v1)."""
    _, name = metadata(fields)
    labels = fields.object("metadata").string_map("labels")
    by_type: dict[str, list[Address]] = {"InternalIP": [], "ExternalIP": []}
    for entry in fields.object("status").objects("addresses"):
        kind = entry.text("type")
        if kind in by_type:
            value = entry.read("address", address)
            if value is not None:
                by_type[kind].append(value)
    spec = fields.object("spec")
    cidrs = spec.texts("podCIDRs", network)
    if not cidrs:
        single = spec.read("podCIDR", network)
        cidrs = [] if single is None else [single]
    zone = next((labels[label] for label in ZONE_LABELS if labels.get(label)), None)
    addresses = dict.fromkeys((*by_type["InternalIP"], *by_type["ExternalIP"]))
    return Node(name, origin, tuple(addresses), tuple(cidrs), zone, labels)
