"""Sentences about Services, ports and endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from svcc.compiler.model.eligibility import PROXY_NAME_LABEL, why_not_forwarded
from svcc.compiler.model.objects import Endpoint, Objects, Service
from svcc.compiler.model.passed_over_reasons import REASONS
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address
from svcc.verify.simulator.packet import endpoint_text
from svcc.verify.spec.expectation import PROTOCOL_NUMBER

MOST = 5


def named(names: Sequence[str], last: str, most: int = MOST) -> str:
    """``a, b and c``, or ``a, b and 7 more``."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def protocol_name(number: int) -> str:
    """``TCP``, ``UDP`` or ``SCTP``."""
    return next(name for name, known in PROTOCOL_NUMBER.items() if known == number)


def ports_of(service: Service) -> str:
    """``80/TCP (http) and 443/TCP (https)``."""
    return named(
        [f"{p.port}/{p.protocol}" + (f" ({p.name})" if p.name else "") for p in service.ports],
        "and",
    )


def no_port(service: Service, port: int, protocol: int, reason: str) -> str:
    """That a Service has not the port; ``reason``: that it has no frontends at all."""
    if reason:
        return f"no port {port}/{protocol_name(protocol)}; {service.key}: {reason}"
    return f"no port {port}/{protocol_name(protocol)}; {service.key} has {ports_of(service)}"


def checked_by(service: Service) -> str:
    """What the health check node port of a Service is."""
    return (
        f"{service.health_check_node_port} is the health check node port of {service.key}: no rule "
        "sends it on, the service proxy itself answers whether the node has an endpoint"
    )


def no_frontends(service: Service, objects: Objects, settings: NodeSettings) -> str:
    """Why a Service has no frontends, "" if it has some."""
    match why_not_forwarded(service):
        case "headless":
            addresses = sorted(
                {
                    endpoint.address
                    for item in objects.slices
                    if (item.namespace, item.service) == (service.namespace, service.name)
                    for endpoint in item.endpoints
                    if endpoint.ready
                }
            )
            those = f" ({named([str(a) for a in addresses], 'and')})" if addresses else ""
            return f"headless: DNS gives the pods' addresses{those}, there are no rules for it"
        case "external-name":
            return "ExternalName: DNS gives another name, there are no rules for it"
        case "another-proxy":
            name = service.labels[PROXY_NAME_LABEL]
            return f"the label {PROXY_NAME_LABEL} leaves it to the proxy {name!r}, not to this one"
        case None:
            pass
        case other:
            return REASONS[other]
    if not service.cluster_ips:
        return REASONS["no-cluster-ip"]
    return "" if service.ports else REASONS["no-ports"]


def endpoint_words(objects: Objects, address: Address, port: int | None) -> Iterator[str]:
    """Of which Services an address is an endpoint, and in what state."""
    by_key = {service.key: service for service in objects.services}
    told: set[str] = set()
    for item in objects.slices:
        key = f"{item.namespace}/{item.service}"
        for endpoint in item.endpoints:
            if endpoint.address != address:
                continue
            for known in item.ports:
                if port not in (None, known.port):
                    continue
                place = endpoint_text(address.family, address.value, known.port)
                if not known.port:
                    place = str(address)
                name = f"{key}:{known.name}" if known.name else key
                where = f" on {endpoint.node_name}" if endpoint.node_name else ""
                words = f"{place} is an endpoint of {name}{where}, {state(endpoint)}"
                reason = why_not_forwarded(by_key[key]) if key in by_key else "no-such-service"
                if reason is not None:
                    words += f"; nothing is sent there for it: {REASONS[reason]}"
                if words not in told:
                    told.add(words)
                    yield words


def state(endpoint: Endpoint) -> str:
    """``ready``, ``not ready`` or ``terminating``."""
    if endpoint.ready and not endpoint.terminating:
        return "ready"
    if endpoint.terminating:
        return "terminating, still serving" if endpoint.serving else "terminating"
    return "not ready"
