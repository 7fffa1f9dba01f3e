"""Which numbers a Service needs, which it has, and the Service with those it was given.

Source: kube-apiserver, pkg/registry/core/service/storage (alloc.go); Kubernetes documentation,
"IPv4/IPv6 dual-stack".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from svcc.compiler.allocate.lock import Kind, Number, Slot
from svcc.compiler.allocate.ranges import Ranges
from svcc.compiler.model.objects import Service
from svcc.grammar.address import Address, Family

KUBERNETES = "default/kubernetes"
"""The API server's own Service."""


class Need(NamedTuple):
    """A number that a Service needs; ``own`` is the one that it has, None to be given one.

    ``path`` leads to the field in the object.
    """

    slot: Slot
    own: Number | None
    path: tuple[str | int, ...]


def needs(service: Service, ranges: Ranges) -> list[Need]:
    """The numbers that a Service needs.

    Headless Services and ExternalNames need none. A balancer address is needed where there is a
    range of them and no other balancer is named (``loadBalancerClass``) or has answered.

    Raises:
        ValueError: a family is asked for that the cluster IP range has not.
    """
    if service.type == "ExternalName" or service.headless:
        return []
    families = _families(service, ranges)
    cluster_ips = {address.family: address for address in service.cluster_ips}
    found = [
        Need(_of_family(service, "cluster-ip", family), cluster_ips.get(family), ("clusterIP",))
        for family in families
    ]
    found += _node_ports(service)
    if service.type == "LoadBalancer":
        if service.external_traffic_policy == "Local":
            slot = Slot(service.key, "health-check-node-port")
            number = service.health_check_node_port or None
            found.append(Need(slot, number, ("healthCheckNodePort",)))
        found += _balancer_addresses(service, families, ranges)
    return [need._replace(path=("spec", *need.path)) for need in found]


def _balancer_addresses(
    service: Service, families: Iterable[Family], ranges: Ranges
) -> Iterator[Need]:
    if service.load_balancer_class:
        return
    own = {address.family: address for address in reversed(own_balancer_addresses(service))}
    for family in families:
        if family in ranges.balancer and (family in own or not service.has_ingress):
            slot = _of_family(service, "load-balancer-ip", family)
            yield Need(slot, own.get(family), ("loadBalancerIP",))


def own_balancer_addresses(service: Service) -> tuple[Address, ...]:
    """The balancer addresses that a Service has, or asks for."""
    if service.type != "LoadBalancer":
        return ()
    if service.ingress or service.load_balancer_ip is None:
        return service.ingress
    return (service.load_balancer_ip,)


def filled(service: Service, ranges: Ranges, given: Mapping[Slot, Number]) -> Service:
    """The Service with its own numbers and those given; what neither has stays empty."""
    numbers = {
        need.slot: need.own if need.own is not None else given.get(need.slot)
        for need in needs(service, ranges)
    }
    addresses: dict[Kind, tuple[Address, ...]] = {
        kind: tuple(
            number
            for slot, number in numbers.items()
            if slot.kind == kind and isinstance(number, Address)
        )
        for kind in ("cluster-ip", "load-balancer-ip")
    }
    health = numbers.get(Slot(service.key, "health-check-node-port"))
    return replace(
        service,
        cluster_ips=addresses["cluster-ip"],
        ports=tuple(
            replace(port, node_port=_port(numbers.get(_of_port(service, port.port))))
            if not port.node_port
            else port
            for port in service.ports
        ),
        health_check_node_port=_port(health) or service.health_check_node_port,
        ingress=service.ingress or addresses["load-balancer-ip"],
    )


def _port(number: Number | None) -> int:
    return number if isinstance(number, int) else 0


def _of_family(service: Service, kind: Kind, family: Family) -> Slot:
    return Slot(service.key, kind, family.label)


def _of_port(service: Service, port: int) -> Slot:
    return Slot(service.key, "node-port", str(port))


def _families(service: Service, ranges: Ranges) -> list[Family]:
    """The families of a Service, the first one first."""
    own = [address.family for address in service.cluster_ips]
    asked = list(service.ip_families)
    wanted = own or asked or list(ranges.families[:1])
    is_dual = service.ip_family_policy in ("PreferDualStack", "RequireDualStack")
    if (len(asked) < 2 and not is_dual) or service.ip_family_policy == "SingleStack":
        wanted = own or wanted[:1]
    else:
        wanted = list(dict.fromkeys((*wanted, *asked, *ranges.families)))
        if service.ip_family_policy == "PreferDualStack" and not own:
            wanted = [family for family in wanted if family in ranges.families] or wanted[:1]
        elif service.ip_family_policy != "PreferDualStack":
            wanted = list(dict.fromkeys((*wanted, *Family)))
    for family in wanted:
        if family not in own and family not in ranges.families:
            there = " and ".join(f"IPv{int(item)}" for item in ranges.families)
            raise ValueError(
                f"Service {service.key} needs an IPv{int(family)} cluster IP, and the cluster IP "
                f"range has {there} only; give --service-cluster-ip-range a network of each"
            )
    return wanted


def _node_ports(service: Service) -> Iterator[Need]:
    """One for all ports of a number: TCP and UDP share it, as the API server has them do."""
    if service.type not in ("NodePort", "LoadBalancer"):
        return
    if service.type == "LoadBalancer" and not service.allocate_node_ports:
        return
    own: dict[int, int] = {}
    places: dict[int, int] = {}
    for index, port in enumerate(service.ports):
        places.setdefault(port.port, index)
        own[port.port] = own.get(port.port) or port.node_port
    for number, index in places.items():
        path = ("ports", index, "nodePort")
        yield Need(_of_port(service, number), own[number] or None, path)
