"""The ranges that numbers are given from, and their static bands.

Source: Kubernetes documentation, "Service ClusterIP allocation" (KEP 3070) and "Avoid collisions
assigning ports to NodePort Services" (KEP 3668).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from svcc.grammar.address import Address, Family, parse_address, parse_network
from svcc.grammar.numbers import decimal_port

MAX_IPV6_SIZE = 1 << 16
"""Of an IPv6 network the API server gives the first addresses only (ipallocator, NewInMemory)."""


@dataclass(frozen=True, slots=True)
class NumberRange:
    """``first`` to ``last``; those before ``dynamic`` are the static band.

    Numbers that people choose themselves are best taken from the static band: from it nothing is
    given while there is something left above.
    """

    first: int
    last: int
    dynamic: int

    def bands(self) -> Iterator[range]:
        """From which to give, in this order."""
        yield range(self.dynamic, self.last + 1)
        if self.first < self.dynamic:
            yield range(self.first, self.dynamic)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last


@dataclass(frozen=True, slots=True)
class Ranges:
    """All of them, with the text that people gave; addresses as integers, by family.

    The first family of ``cluster_ips`` is that of Services which name none.
    """

    cluster_ips: dict[Family, NumberRange]
    node_ports: NumberRange
    balancer: dict[Family, NumberRange]
    texts: dict[str, str]

    @property
    def families(self) -> tuple[Family, ...]:
        """The cluster's families, the one of Services that name none first."""
        return tuple(self.cluster_ips)

    @property
    def of_kubernetes(self) -> dict[Family, Address]:
        """The addresses that are kept for the Service default/kubernetes: the first ones."""
        return {family: Address(family, found.first) for family, found in self.cluster_ips.items()}


CLUSTER_IP_RANGE, NODE_PORT_RANGE = "service-cluster-ip-range", "service-node-port-range"
BALANCER_RANGE = "load-balancer-ip-range"
RANGES = (CLUSTER_IP_RANGE, NODE_PORT_RANGE, BALANCER_RANGE)
"""Their names: those of kube-apiserver's flags, and one of our own."""
DEFAULTS = {CLUSTER_IP_RANGE: "10.96.0.0/12", NODE_PORT_RANGE: "30000-32767"}
"""kubeadm's, and kube-apiserver's."""


def default_ranges() -> Ranges:
    """The ranges where nobody says another."""
    found = Ranges({}, NumberRange(0, 0, 0), {}, {})
    for name, text in DEFAULTS.items():
        found = with_range(found, name, text)
    return found


def with_range(ranges: Ranges, name: str, text: str) -> Ranges:
    """The ranges with another one.

    Args:
        ranges: the others.
        name: one of ``RANGES``.
        text: networks of different families with a comma between (cluster IPs); ``FIRST-LAST``
            (node ports); networks or ``FIRST-LAST`` (balancers), empty for none.

    Raises:
        ValueError: it is no such range.
    """
    texts = {**ranges.texts, name: text}
    if not text and name == BALANCER_RANGE:
        return replace(ranges, balancer={}, texts={k: v for k, v in texts.items() if v})
    if name == NODE_PORT_RANGE:
        return replace(ranges, node_ports=_ports(text), texts=texts)
    of_balancers = name == BALANCER_RANGE
    found: dict[Family, NumberRange] = {}
    for part in text.split(","):
        family, item = _addresses(part.strip(), of_balancers=of_balancers)
        if family in found:
            raise ValueError(f"{text!r} has two IPv{int(family)} ranges; give one of each family")
        found[family] = item
    if of_balancers:
        return replace(ranges, balancer=found, texts=texts)
    return replace(ranges, cluster_ips=found, texts=texts)


def _ports(text: str) -> NumberRange:
    first, dash, last = text.partition("-")
    try:
        low, high = decimal_port(first), decimal_port(last)
    except ValueError:
        low, high = 0, -1
    if not dash or not 0 < low <= high:
        raise ValueError(f"{text!r} is no range of ports; write FIRST-LAST, such as 30000-32767")
    size = high - low + 1
    band = 0 if size <= 16 else min(max(16, size // 32), 128)
    return NumberRange(low, high, low + band)


def _addresses(text: str, *, of_balancers: bool) -> tuple[Family, NumberRange]:
    if of_balancers and "-" in text:
        start, _, end = text.partition("-")
        lowest, highest = parse_address(start), parse_address(end)
        if lowest.family is not highest.family or lowest.value > highest.value:
            raise ValueError(f"{text!r} is no range of addresses; write FIRST-LAST")
        return lowest.family, NumberRange(lowest.value, highest.value, lowest.value)
    network = parse_network(text)
    family = Family(network.family)
    size = 1 << (family.bits - network.prefix_length)
    if of_balancers:
        # Routed to the balancer one by one: no address is the network's own, but of a whole IPv4
        # subnet the first and last are kept out of the way of old routers and hosts.
        edge = 1 if family is Family.IPV4 and size > 2 else 0
        low, high = network.value + edge, network.value + size - 1 - edge
        return family, NumberRange(low, high, low)
    if size < 4:
        raise ValueError(f"{text!r} is too small for Services; /{family.bits - 2} is the smallest")
    # kube-apiserver's own band: nothing of a range so small that it is all of it.
    band = 0 if size <= 16 else min(max(16, size // 16), 256)
    first = network.value + 1
    last = network.value + (size - 2 if family is Family.IPV4 else min(size, MAX_IPV6_SIZE) - 1)
    return family, NumberRange(first, last, first + band)
