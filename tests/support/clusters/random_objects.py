"""Random valid Services, endpoints and nodes, with everything that changes a packet's way."""

from __future__ import annotations

from random import Random
from typing import Literal

from svcc.compiler.model.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Objects,
    Origin,
    Policy,
    Protocol,
    Service,
    ServicePort,
)
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Address, Family, Network, parse_address, parse_network

ORIGIN = Origin("random.yaml")
NODES = ("node-a", "node-b", None)
ZONES = ("zone-1", "zone-2")
_PROTOCOLS: tuple[Protocol, ...] = ("TCP", "UDP", "SCTP")
_POLICIES: tuple[Policy, ...] = ("Cluster", "Cluster", "Local")
_TYPES: tuple[Literal["ClusterIP", "NodePort", "LoadBalancer"], ...] = (
    "ClusterIP",
    "NodePort",
    "LoadBalancer",
    "LoadBalancer",
)
_BLOCKS = {
    "cluster": ("10.96.0.0/16", "fd00:96::/112"),
    "external": ("198.51.100.0/24", "2001:db8:e::/112"),
    "balancer": ("203.0.113.0/24", "2001:db8:b::/112"),
}
_PODS = {Family.IPV4: "10.244.{}.{}", Family.IPV6: "fd00:244:{}::{:x}"}
_RANGES = ("192.0.2.0/24", "192.168.7.0/24", "10.244.0.0/16", "0.0.0.0/0")
_RANGES6 = ("2001:db8:1::/48", "fd00:7::/64", "::/0")
NODE_ADDRESSES = (parse_address("192.168.7.10"), parse_address("fd00:7::10"))


class Makers:
    def __init__(self, random: Random) -> None:
        self.random = random
        self._taken: dict[tuple[str, Family], int] = {}
        self.node_ports = random.sample(range(30000, 32768), 400)

    def address(self, kind: str, family: Family) -> Address:
        """An address that no other frontend has."""
        number = self._taken.get((kind, family), 0) + self.random.randint(1, 3)
        self._taken[kind, family] = number
        block = parse_network(_BLOCKS[kind][0 if family is Family.IPV4 else 1])
        return Address(family, block.value + number)

    def some(self, kind: str, families: list[Family]) -> tuple[Address, ...]:
        count = self.random.choice((0, 0, 1, 1, 2))
        return tuple(self.address(kind, self.random.choice(families)) for _ in range(count))

    def endpoint(self, family: Family, number: int, hints: str) -> Endpoint:
        random = self.random
        host = random.randint(1, 3)
        ready = random.random() < 0.7
        return Endpoint(
            address=parse_address(_PODS[family].format(host, 10 + number)),
            ready=ready,
            serving=ready or random.random() < 0.6,
            terminating=not ready and random.random() < 0.6,
            node_name=random.choice(NODES),
            zone_hints=frozenset({random.choice(ZONES)} if "zone" in hints else ()),
            node_hints=frozenset({random.choice(("node-a", "node-b"))} if "node" in hints else ()),
        )

    def slices(self, service: Service, families: list[Family]) -> list[EndpointSlice]:
        random = self.random
        found = []
        hints = random.choice(("", "", "zone", "node", "zone and node"))
        most = random.choice((0, 1, 2, 3, 6, 20))
        from_endpoints = random.random() < 0.3
        for family in families:
            for number in range(random.choice((1, 1, 2))):
                ports = tuple(
                    EndpointPort(p.name, p.protocol, random.choice((8080, 9090)))
                    for p in service.ports
                    if random.random() < 0.95
                )
                endpoints = tuple(
                    self.endpoint(family, i, hints) for i in range(random.randint(0, most))
                )
                found.append(
                    EndpointSlice(
                        namespace=service.namespace,
                        name=f"{service.name}-{family.label}-{number}",
                        service=service.name,
                        family=family,
                        ports=ports,
                        endpoints=endpoints,
                        origin=ORIGIN,
                        from_endpoints=from_endpoints,
                    )
                )
        return found

    def service(self, number: int) -> tuple[Service, list[Family]]:
        random = self.random
        kind = random.choice(_TYPES)
        families = random.sample(list(Family), random.choice((1, 2)))
        ports = tuple(
            ServicePort(
                f"p{i}" if i or random.random() < 0.5 else "",
                random.choice(_PROTOCOLS),
                80 + i,
                self.node_ports.pop() if kind != "ClusterIP" else 0,
            )
            for i in range(random.choice((1, 1, 2, 3)))
        )
        ranges = random.choice((0, 0, 1, 2)) if kind == "LoadBalancer" else 0
        external: Policy = random.choice(_POLICIES)
        balanced = kind == "LoadBalancer"
        return (
            Service(
                namespace=random.choice(("default", "shop")),
                name=f"svc-{number}",
                type=kind,
                origin=ORIGIN,
                cluster_ips=tuple(self.address("cluster", family) for family in families),
                ports=ports,
                external_ips=self.some("external", families),
                ingress=self.some("balancer", families) if balanced else (),
                source_ranges=tuple(
                    parse_network(random.choice(_RANGES + _RANGES6)) for _ in range(ranges)
                ),
                internal_traffic_policy=random.choice(_POLICIES),
                external_traffic_policy=external,
                affinity_timeout=random.choice((None, None, 300, 10800)),
                health_check_node_port=(
                    self.node_ports.pop() if balanced and external == "Local" else 0
                ),
            ),
            families,
        )


def random_objects(random: Random, services: int) -> Objects:
    """Services that claim no frontend twice, with slices or Endpoints."""
    makers = Makers(random)
    objects = Objects()
    for number in range(services):
        service, families = makers.service(number)
        objects.services.append(service)
        objects.slices.extend(makers.slices(service, families))
    random.shuffle(objects.services)
    random.shuffle(objects.slices)
    return objects


def random_settings(random: Random) -> NodeSettings:
    """Settings of ``node-a``: pods told in every way, node ports on some of its addresses."""
    networks = {
        Family.IPV4: parse_network("10.244.0.0/16"),
        Family.IPV6: parse_network("fd00:244::/32"),
    }
    pods = random.choice(
        (
            PodDetection(networks),
            PodDetection({Family.IPV4: networks[Family.IPV4]}),
            PodDetection(in_interface="cni0"),
            PodDetection(in_interface="veth+"),
            PodDetection(),
        )
    )
    selected: tuple[Network, ...] | None = random.choice(
        (
            None,
            tuple(Network(a.family, a.value, a.family.bits) for a in NODE_ADDRESSES),
            (parse_network("192.168.0.0/16"), parse_network("::/0")),
            (parse_network("0.0.0.0/0"), parse_network("fd00:7::/64")),
            (parse_network("127.0.0.0/8"), parse_network("192.168.7.0/24")),
            (parse_network("64.0.0.0/2"), parse_network("127.0.0.1/32")),
            (),
        )
    )
    return NodeSettings(
        node_name="node-a",
        known_node=random.random() < 0.9,
        addresses=NODE_ADDRESSES,
        zone=random.choice((None, "zone-1")),
        pods=pods,
        masquerade_all=random.random() < 0.2,
        masquerade_bit=random.choice((14, 14, 0, 31)),
        node_port_networks=selected,
        localhost_node_ports=random.random() < 0.7,
        tcp_be_liberal=random.random() < 0.2,
    )
