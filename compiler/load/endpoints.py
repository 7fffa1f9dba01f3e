"""EndpointSlices and Endpoints to typed objects.

Source: k8s.io/api discovery/v1, discovery/v1beta1 and core/v1 types.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.api_names.nearest import nearest
from svcc.compiler.load.addresses import remote_address
from svcc.compiler.load.fields import Fields
from svcc.compiler.load.text import shorten
from svcc.compiler.load.validate import SERVICE_NAME_LABEL, metadata, protocol_of
from svcc.compiler.model.objects import Endpoint, EndpointPort, EndpointSlice, Origin, PassedOver
from svcc.grammar.address import Family

HOSTNAME_LABEL = "kubernetes.io/hostname"
TRUNCATED_ANNOTATION = "endpoints.kubernetes.io/over-capacity"


def endpoint_slice(fields: Fields, origin: Origin) -> EndpointSlice | PassedOver:
    """An EndpointSlice (discovery.k8s.io/v1 or v1beta1), passed over if it is of no Service."""
    namespace, name = metadata(fields)
    key = f"{namespace}/{name}"
    labels = fields.object("metadata").string_map("labels")
    kind = fields.choice("addressType", ("IPv4", "IPv6", "FQDN"), "IPv4")
    if not fields.has("addressType"):
        fields.wrong(None, "addressType is missing; write IPv4 or IPv6")
    if kind == "FQDN":
        return PassedOver("EndpointSlice", key, "fqdn", origin)
    family = Family.IPV6 if kind == "IPv6" else Family.IPV4
    ports = tuple(_endpoint_ports(fields))
    endpoints = tuple(_endpoints(fields, family))
    owner = labels.get(SERVICE_NAME_LABEL, "")
    if not owner:
        meant = nearest(SERVICE_NAME_LABEL, labels)
        message = f"no label {SERVICE_NAME_LABEL}, so this EndpointSlice is of no Service"
        message += f"; {shorten(meant)} is not the same" if meant else ""
        fields.object("metadata").warn(None, message)
        return PassedOver("EndpointSlice", key, "no-service-label", origin)
    return EndpointSlice(
        namespace=namespace,
        name=name,
        service=owner,
        family=family,
        ports=ports,
        endpoints=endpoints,
        origin=origin,
        labels=labels,
    )


def _endpoint_ports(fields: Fields) -> Iterator[EndpointPort]:
    for port in fields.objects("ports"):
        yield EndpointPort(port.name("name"), protocol_of(port), port.number("port", 0, 65535, 0))


def _endpoints(fields: Fields, family: Family) -> Iterator[Endpoint]:
    # In v1beta1 the node's name stood in topology until 1.20, and in nodeName too until 1.25.
    old = fields.raw("apiVersion") == "discovery.k8s.io/v1beta1"
    for entry in fields.objects("endpoints"):
        addresses = entry.texts("addresses", remote_address)
        conditions = entry.object("conditions")
        ready = conditions.flag("ready", True)
        serving = conditions.flag("serving", True)
        terminating = conditions.flag("terminating", False)
        node = entry.name("nodeName", what="subdomain")
        if not node and old:
            node = entry.object("topology").name(HOSTNAME_LABEL, what="subdomain")
        hints = entry.object("hints") if entry.has("hints") else None
        zones = nodes = frozenset[str]()
        if hints is not None:
            zones = frozenset(zone.text("name") for zone in hints.objects("forZones"))
            nodes = frozenset(hint.text("name") for hint in hints.objects("forNodes"))
        for found in addresses:
            if found.family is not family:
                entry.wrong(
                    "addresses", f"{found} is no {family.name.replace('IPV', 'IPv')} address"
                )
        if addresses and addresses[0].family is family:
            yield Endpoint(
                address=addresses[0],
                ready=ready,
                serving=serving,
                terminating=terminating,
                node_name=node or None,
                zone_hints=zones,
                node_hints=nodes,
                zone=entry.text("zone") or None,
                hostname=entry.name("hostname") or None,
                pod=_pod_name(entry),
            )


def _pod_name(entry: Fields) -> str | None:
    # Many thousands come this way.
    target = entry.raw("targetRef")
    if not isinstance(target, dict) or target.get("kind") != "Pod":
        return None
    name = target.get("name")
    return name if isinstance(name, str) and name else None


def endpoints(fields: Fields, origin: Origin) -> list[EndpointSlice]:
    """An Endpoints object (core/v1): a slice per subset and family."""
    namespace, name = metadata(fields)
    meta = fields.object("metadata")
    labels = meta.string_map("labels")
    truncated = meta.string_map("annotations").get(TRUNCATED_ANNOTATION) == "truncated"
    found = []
    for number, subset in enumerate(fields.objects("subsets")):
        ports = tuple(_endpoint_ports(subset))
        by_family: dict[Family, list[Endpoint]] = {}
        for entry in subset.objects("addresses"):
            value = entry.read("ip", remote_address)
            if value is None:
                if not entry.has("ip"):
                    entry.wrong(None, "ip is missing")
                continue
            node = entry.name("nodeName", what="subdomain")
            endpoint = Endpoint(
                address=value,
                node_name=node or None,
                hostname=entry.name("hostname") or None,
                pod=_pod_name(entry),
            )
            by_family.setdefault(value.family, []).append(endpoint)
        for entry in subset.objects("notReadyAddresses"):
            entry.read("ip", remote_address)
        for family, members in by_family.items():
            found.append(
                EndpointSlice(
                    namespace=namespace,
                    name=f"{name}-{number:06}",
                    service=name,
                    family=family,
                    ports=ports,
                    endpoints=tuple(members),
                    origin=origin,
                    labels=labels,
                    from_endpoints=True,
                    truncated=truncated,
                )
            )
    if not found:
        # As a slice without endpoints it tells that there are none, not that none were given.
        found.append(
            EndpointSlice(
                namespace=namespace,
                name=name,
                service=name,
                family=Family.IPV4,
                ports=(),
                endpoints=(),
                origin=origin,
                labels=labels,
                from_endpoints=True,
                truncated=truncated,
            )
        )
    return found
