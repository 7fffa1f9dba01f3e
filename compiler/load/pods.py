"""Pods, and hosts that stand for them, to typed objects.

Source: k8s.io/api core/v1 types. Of a Pod nothing is read but what selection asks for. A HostList
(svcc.io/v1) is svcc's own kind: hosts that Services select where there are no Pods.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from svcc.compiler.load.addresses import remote_address
from svcc.compiler.load.fields import Fields, is_name
from svcc.compiler.load.text import shorten
from svcc.compiler.load.validate import metadata, protocol_of
from svcc.compiler.model.objects import DEFAULT_NAMESPACE, ContainerPort, Origin, Pod
from svcc.grammar.address import Address, Family

_FINISHED = ("Succeeded", "Failed")
_PHASES = ("", "Pending", "Running", "Unknown", *_FINISHED)


def is_in_a_cluster(value: dict[str, Any]) -> bool:
    """Whether a Pod has a status; one without, as people write it, has no address either."""
    return bool(value.get("status"))


def pod(fields: Fields, origin: Origin) -> Pod:
    """A Pod (core/v1) as a cluster has it."""
    namespace, name = metadata(fields)
    meta, spec, status = (fields.object(key) for key in ("metadata", "spec", "status"))
    return Pod(
        namespace=namespace,
        name=name,
        origin=origin,
        labels=meta.string_map("labels"),
        addresses=tuple(_addresses(status)),
        ports=tuple(container_ports(spec)),
        ready=_is_ready(status),
        terminating=meta.has("deletionTimestamp"),
        is_finished=status.choice("phase", _PHASES, "") in _FINISHED,
        node_name=spec.name("nodeName", what="subdomain") or None,
        hostname=spec.name("hostname"),
        subdomain=spec.name("subdomain"),
    )


def container_ports(spec: Fields) -> Iterator[ContainerPort]:
    """The ports of a pod's containers, then those of init containers that keep running.

    Source: FindPort in k8s.io/endpointslice utils.go.
    """
    for container in spec.objects("containers"):
        yield from _ports(container)
    for container in spec.objects("initContainers"):
        if container.text("restartPolicy") == "Always":
            yield from _ports(container)


def _ports(container: Fields) -> Iterator[ContainerPort]:
    for port in container.objects("ports"):
        number = port.number("containerPort", 1, 65535, 0)
        if not port.has("containerPort"):
            port.wrong(None, "containerPort is missing")
        yield ContainerPort(port_name(port), protocol_of(port), number)


def port_name(port: Fields) -> str:
    """``name`` of a port: at most 15 letters, digits and hyphens (an IANA service name)."""
    name = port.text("name")
    if name and not (len(name) <= 15 and is_name(name.lower(), "label")):
        port.wrong("name", f"{shorten(name)} is not a port name")
    return name


def _addresses(status: Fields) -> Iterator[Address]:
    """``podIPs``; where there are none, as until 1.15, ``podIP``. One of each family counts."""
    several = [entry.read("ip", remote_address) for entry in status.objects("podIPs")]
    listed = several or [status.read("podIP", remote_address)]
    found: dict[Family, Address] = {}
    for address in listed:
        if address is not None:
            found.setdefault(address.family, address)
    yield from found.values()


def _is_ready(status: Fields) -> bool:
    return any(
        condition.text("type") == "Ready" and condition.text("status") == "True"
        for condition in status.objects("conditions")
    )


def hosts(fields: Fields, origin: Origin) -> Iterator[Pod]:
    """The hosts of a HostList (svcc.io/v1), as Pods."""
    namespace = fields.object("metadata").name("namespace") or DEFAULT_NAMESPACE
    if not fields.has("hosts"):
        fields.wrong(None, "hosts is missing; write a list of hosts, [] if there are none")
    for number, host in enumerate(fields.objects("hosts")):
        name = host.name("name", what="subdomain")
        if not host.has("name"):
            host.wrong(None, "name is missing; every host has one")
        addresses = host.texts("ips", remote_address)
        single = host.read("ip", remote_address)
        if single is not None and single not in addresses:
            addresses.insert(0, single)
        if not (host.has("ip") or host.has("ips")):
            host.wrong(None, "ip is missing; every host has one (or two families in ips)")
        if len({address.family for address in addresses}) < len(addresses):
            host.wrong("ips", "two addresses of one family; a host has one of each")
        yield Pod(
            kind="host",
            namespace=host.name("namespace") or namespace,
            name=name,
            origin=Origin(origin.file, origin.document, (*origin.path, "hosts", number)),
            labels=host.string_map("labels"),
            addresses=tuple(addresses),
            ports=tuple(_host_ports(host)),
            ready=host.flag("ready", True),
            node_name=host.name("node", what="subdomain") or None,
            zone=host.text("zone") or None,
        )


def _host_ports(host: Fields) -> Iterator[ContainerPort]:
    for port in host.objects("ports"):
        number = port.number("port", 1, 65535, 0)
        if not port.has("port"):
            port.wrong(None, "port is missing")
        yield ContainerPort(port_name(port), protocol_of(port), number)
