"""Hosts of a HostList that do not fit the other objects.

Pods come from a cluster, where such things may be for a moment; hosts are written by hand.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from svcc.compiler.consistency.contradictions import Contradiction
from svcc.compiler.model.objects import Objects, Pod, Service, ServicePort


def hosts_that_do_not_fit(
    objects: Objects, wrong: Container[tuple[str, str]]
) -> Iterator[Contradiction]:
    """Hosts on a Node that is not there, and hosts without the port that a Service asks for.

    Without any Nodes among the objects nothing is told of the former. Of ``wrong`` Services
    (namespace and name) nothing is told, nor of those whose slices were given.
    """
    hosts = [pod for pod in objects.pods if pod.kind == "host"]
    if not hosts:
        return
    nodes = sorted(node.name for node in objects.nodes)
    for host in hosts:
        if nodes and host.node_name is not None and host.node_name not in nodes:
            yield Contradiction(
                host.origin,
                ("node",),
                f"host {host.key}: no Node {host.node_name} among the objects; there are "
                f"{', '.join(nodes[:3])}{', …' if nodes[3:] else ''}",
                "host on no Node",
            )
    by_label: dict[tuple[str, str, str], list[Pod]] = {}
    for host in hosts:
        for name, value in host.labels.items():
            by_label.setdefault((host.namespace, name, value), []).append(host)
    given = {(s.namespace, s.service) for s in objects.slices if not s.from_pods}
    for service in objects.services:
        key = (service.namespace, service.name)
        if key in wrong or key in given or service.type == "ExternalName":
            continue
        for label, value in list(service.selector.items())[:1]:
            for host in by_label.get((service.namespace, label, value), ()):
                if service.selector.items() <= host.labels.items():
                    yield from _ports_missing(service, host)


def _ports_missing(service: Service, host: Pod) -> Iterator[Contradiction]:
    there = {(port.name, port.protocol) for port in host.ports}
    for port in service.ports:
        if isinstance(port.target_port, str) and (port.target_port, port.protocol) not in there:
            yield _without(service, port, host)


def _without(service: Service, port: ServicePort, host: Pod) -> Contradiction:
    named = [f"{own.name}/{own.protocol}" for own in host.ports if own.name]
    return Contradiction(
        host.origin,
        ("ports",) if host.ports else (),
        f"host {host.key}: it has no port {port.target_port}/{port.protocol}, to which port "
        f"{port.port} of Service {service.key} leads, and gets nothing from there; its named "
        f"ports: {', '.join(named) or 'none'}",
        "host without a port",
    )
