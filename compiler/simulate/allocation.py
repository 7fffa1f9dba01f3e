"""Cluster IPs, node ports and balancer addresses of the Services that have none.

Source: Kubernetes documentation, "ServiceIP allocation"; pkg/registry/core/service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import Service, ServicePort
from svcc.compiler.simulate.numbers import Addresses, Ports
from svcc.grammar.address import Address, Family, Network, parse_network

NODE_PORTS = range(30000, 32768)
CLUSTER_NETWORKS = {
    Family.IPV4: parse_network("10.96.0.0/12"),
    Family.IPV6: parse_network("fd00:10:96::/112"),
}
"""Those of kubeadm; and one of unique local addresses (RFC 4193)."""
BALANCER_NETWORKS = {
    Family.IPV4: parse_network("198.19.0.0/16"),
    Family.IPV6: parse_network("2001:2:0:1::/64"),
}
"""Addresses for benchmarks (RFC 2544, RFC 5180): nobody has them."""


class Allocator:
    """Hands out what Services lack: no node port that one of them has, no address in ``taken``."""

    def __init__(self, services: Sequence[Service], taken: Collection[Address]) -> None:
        self._cluster_ips = _by_family(CLUSTER_NETWORKS, taken)
        self._balancers = _by_family(BALANCER_NETWORKS, taken)
        ports = [port.node_port for service in services for port in service.ports]
        health = [service.health_check_node_port for service in services]
        self.given: list[Address] = []
        """The addresses that were handed out."""
        self._ports = Ports(NODE_PORTS, [*ports, *health], "--simulate")

    def allocated(self, service: Service) -> Service:
        """The Service with all that the API server and a balancer would give it."""
        if not is_forwarded(service):
            return service
        families = _wanted_families(service)
        found = service
        if not found.cluster_ips:
            found = replace(found, cluster_ips=self._next(self._cluster_ips, families))
        if found.type in ("NodePort", "LoadBalancer"):
            found = replace(found, ports=tuple(self._node_ports(found)))
        if found.type == "LoadBalancer":
            if not found.ingress and found.load_balancer_ip is not None:
                found = replace(found, ingress=(found.load_balancer_ip,))
            if not found.ingress:
                found = replace(found, ingress=self._next(self._balancers, families))
            if found.external_traffic_policy == "Local" and not found.health_check_node_port:
                found = replace(found, health_check_node_port=self._ports.next())
        return found

    def _next(
        self, addresses: dict[Family, Addresses], families: tuple[Family, ...]
    ) -> tuple[Address, ...]:
        found = tuple(addresses[family].next() for family in families)
        self.given += found
        return found

    def _node_ports(self, service: Service) -> Iterator[ServicePort]:
        for port in service.ports:
            yield port if port.node_port else replace(port, node_port=self._ports.next())


def addresses_of(service: Service) -> Iterator[Address]:
    """The addresses that a Service has or asks for."""
    yield from service.cluster_ips
    yield from service.external_ips
    yield from service.ingress
    if service.load_balancer_ip is not None:
        yield service.load_balancer_ip


def _by_family(
    networks: dict[Family, Network], taken: Collection[Address]
) -> dict[Family, Addresses]:
    return {family: Addresses(network, taken, "--simulate") for family, network in networks.items()}


def _wanted_families(service: Service) -> tuple[Family, ...]:
    if service.cluster_ips:
        return tuple(address.family for address in service.cluster_ips)
    families = service.ip_families or (Family.IPV4,)
    if service.ip_family_policy in ("RequireDualStack", "PreferDualStack"):
        return tuple(dict.fromkeys((*families, *Family)))
    return families[:1]
