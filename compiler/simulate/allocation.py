"""Cluster IPs, node ports and balancer addresses of the Services that have none."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from svcc.compiler.allocate.allocator import allocate
from svcc.compiler.allocate.lock import Lock
from svcc.compiler.allocate.ranges import (
    BALANCER_RANGE,
    CLUSTER_IP_RANGE,
    Ranges,
    default_ranges,
    with_range,
)
from svcc.compiler.model.objects import Service
from svcc.grammar.address import Address
from svcc.grammar.errors import InputError, Position, Problem

RANGES = {
    CLUSTER_IP_RANGE: "10.96.0.0/12,fd00:10:96::/112",
    BALANCER_RANGE: "198.19.0.0/16,2001:2:0:1::/64",
}
"""kubeadm's, and one of unique local addresses (RFC 4193); balancers have addresses for benchmarks
(RFC 2544, RFC 5180), which nobody has."""


def allocated(
    services: Sequence[Service], taken: Collection[Address]
) -> tuple[list[Service], frozenset[Address]]:
    """The Services with what they lack, as by ``svcc allocate`` without a lock file, and the
    addresses that were given; none of them is in ``taken``.

    Raises:
        InputError: nothing is left of a range, or two Services have one number.
    """
    ranges = _ranges()
    found = allocate(services, Lock(ranges), ranges, taken)
    problems = [
        Problem(Position(remark.where.file), remark.message)
        for remark in found.remarks
        if remark.severity == "error"
    ]
    if problems:
        raise InputError(problems)
    given = (number for number in found.lock.given.values() if isinstance(number, Address))
    return list(found.services), frozenset(given)


def _ranges() -> Ranges:
    found = default_ranges()
    for name, text in RANGES.items():
        found = with_range(found, name, text)
    return found


def addresses_of(service: Service) -> Iterator[Address]:
    """The addresses that a Service has or asks for."""
    yield from service.cluster_ips
    yield from service.external_ips
    yield from service.ingress
    if service.load_balancer_ip is not None:
        yield service.load_balancer_ip
