"""Variables by which a pod finds Services: what the kubelet gives each container.

Source: kubernetes pkg/kubelet/envvars/envvars.go (FromServices), pkg/kubelet/kubelet_pods.go
(getServiceEnvVarMap); Docker's container links, whose names the second half has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.compiler.model.objects import Service
from svcc.grammar.address import Family

_KUBERNETES = ("default", "kubernetes")
"""The one Service that pods of all namespaces are told of."""


def environment(services: Iterable[Service], namespace: str) -> dict[str, str]:
    """The variables of a pod, Service by Service in the order of their names.

    Args:
        services: with their cluster IPs; those that have none are no variables.
        namespace: the pod's. A Service ``kubernetes`` of its own hides the one of ``default``.
    """
    by_name: dict[str, Service] = {}
    for service in services:
        if not service.cluster_ips or not service.ports:
            continue
        key = (service.namespace, service.name)
        if service.namespace == namespace or (key == _KUBERNETES and service.name not in by_name):
            by_name[service.name] = service
    return {
        name: value for _, service in sorted(by_name.items()) for name, value in _variables(service)
    }


def _variables(service: Service) -> Iterator[tuple[str, str]]:
    prefix = _upper(service.name)
    address = service.cluster_ips[0]
    yield f"{prefix}_SERVICE_HOST", str(address)
    yield f"{prefix}_SERVICE_PORT", str(service.ports[0].port)
    for port in service.ports:
        if port.name:
            yield f"{prefix}_SERVICE_PORT_{_upper(port.name)}", str(port.port)
    host = f"[{address}]" if address.family is Family.IPV6 else str(address)
    for index, port in enumerate(service.ports):
        protocol = port.protocol.lower()
        url = f"{protocol}://{host}:{port.port}"
        link = f"{prefix}_PORT_{port.port}_{port.protocol}"
        if not index:
            yield f"{prefix}_PORT", url
        yield link, url
        yield f"{link}_PROTO", protocol
        yield f"{link}_PORT", str(port.port)
        yield f"{link}_ADDR", str(address)


def _upper(name: str) -> str:
    found = name.replace("-", "_").replace(".", "_").upper()
    return f"_{found}" if found[:1].isdigit() else found
