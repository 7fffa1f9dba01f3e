"""Who has which number: by its own object, or by the lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from svcc.compiler.allocate.lock import Lock, Number, Pool, Slot, pool_of
from svcc.compiler.allocate.needs import Need, own_balancer_addresses
from svcc.compiler.model.objects import Origin, Service
from svcc.grammar.errors import Position, Severity

Needs = list[tuple[Service, list[Need]]]
_WORDS = {
    "cluster-ip": "cluster IP",
    "load-balancer-ip": "balancer address",
    "node-port": "node port",
}


class Remark(NamedTuple):
    """What is to be told of a Service's field, or of a line of the lock."""

    where: Origin | Position
    message: str
    severity: Severity = "error"
    services: tuple[Service, ...] = ()


def field_of(service: Service, path: tuple[str | int, ...]) -> Origin:
    """Where a field of a Service stands."""
    origin = service.origin
    return Origin(origin.file, origin.document, (*origin.path, *path))


def own_numbers(services: Iterable[Service]) -> Iterator[tuple[Pool, Number, Service]]:
    """The cluster IPs and node ports that objects have themselves."""
    for service in services:
        for address in service.cluster_ips:
            yield Pool("cluster-ip", address.family), address, service
        if service.type not in ("NodePort", "LoadBalancer"):
            continue
        for number in dict.fromkeys(port.node_port for port in service.ports if port.node_port):
            yield Pool("node-port"), number, service
        if service.health_check_node_port:
            yield Pool("node-port"), service.health_check_node_port, service


def own_clashes(services: Iterable[Service]) -> Iterator[Remark]:
    """Numbers that two Services have themselves.

    As in the API server a cluster IP and a node port are of one Service, whatever the ports and
    protocols. Several Services may ask for one balancer address.
    """
    owners: dict[tuple[Pool, Number], Service] = {}
    for pool, number, service in own_numbers(services):
        owner = owners.setdefault((pool, number), service)
        if owner is not service:
            message = (
                f"Services {owner.key} and {service.key} both have {_of_pool(pool, number)}; "
                "change one of them"
            )
            yield Remark(field_of(service, ("spec",)), message, services=(owner, service))


def lock_clashes(services: Needs, lock: Lock) -> Iterator[Remark]:
    """Numbers that one Service has itself and the lock has given to another."""
    owners: dict[tuple[Pool, Number], Service] = {}
    for pool, number, service in own_numbers(service for service, _ in services):
        owners.setdefault((pool, number), service)
    for service, _ in services:
        for address in own_balancer_addresses(service):
            owners.setdefault((Pool("load-balancer-ip", address.family), address), service)
    for service, found in services:
        for need in found:
            if need.own is not None or (given := lock.given.get(need.slot)) is None:
                continue
            other = owners.get((pool_of(need.slot), given))
            if other is not None:
                message = (
                    f"Services {service.key} and {other.key} both have "
                    f"{_of_pool(pool_of(need.slot), given)}: {service.key} was given it in "
                    f"{lock.place(need.slot)}; change {other.key}, or remove that line and run "
                    "svcc allocate, which moves the other"
                )
                yield Remark(field_of(other, ("spec",)), message, services=(service, other))


def _of_pool(pool: Pool, number: Number) -> str:
    return f"{_WORDS[pool.name]} {number}"


def missing(found: Iterable[Need], given: Mapping[Slot, Number]) -> list[Slot]:
    """What a Service needs and neither has nor was given."""
    return [need.slot for need in found if need.own is None and need.slot not in given]
