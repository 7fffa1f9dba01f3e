"""Numbers for Services: which, from where, and that nobody else's ever moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.compiler.allocate.allocator import Allocation, allocate
from svcc.compiler.allocate.lock import Lock, Number, Slot, pool_of
from svcc.compiler.allocate.ranges import (
    BALANCER_RANGE,
    CLUSTER_IP_RANGE,
    NODE_PORT_RANGE,
    Ranges,
    default_ranges,
    with_range,
)
from svcc.compiler.model.objects import Origin, Protocol, Service, ServicePort
from svcc.grammar.address import Address, Family, parse_address
from tests.support.effort import examples

FOUR, SIX = Family.IPV4, Family.IPV6


def ranges(**texts: str) -> Ranges:
    found = default_ranges()
    for name, text in texts.items():
        flag = {"cluster": CLUSTER_IP_RANGE, "node": NODE_PORT_RANGE, "balancer": BALANCER_RANGE}
        found = with_range(found, flag[name], text)
    return found


DUAL = ranges(cluster="10.96.0.0/16,fd00::/112", balancer="192.0.2.0/24,2001:db8::/64")


def service(name: str, kind: Any = "ClusterIP", **fields: Any) -> Service:
    usual: dict[str, Any] = {"ports": (ServicePort("", "TCP", 80),)}
    origin = Origin(f"{name}.yaml")
    return Service(namespace="shop", name=name, type=kind, origin=origin, **{**usual, **fields})


def one(wanted: Service, limits: Ranges = DUAL) -> Service:
    found = allocate([wanted], Lock(), limits)
    assert not found.remarks
    return found.services[0]


def errors(found: Allocation) -> list[str]:
    return [remark.message for remark in found.remarks if remark.severity == "error"]


@pytest.mark.parametrize(
    ("text", "static", "dynamic", "last"),
    [
        # The examples of the Kubernetes documentation.
        ("10.96.0.0/24", "10.96.0.1", "10.96.0.17", "10.96.0.254"),
        ("10.96.0.0/20", "10.96.0.1", "10.96.1.1", "10.96.15.254"),
        ("10.96.0.0/16", "10.96.0.1", "10.96.1.1", "10.96.255.254"),
        ("10.96.0.0/28", "10.96.0.1", "10.96.0.1", "10.96.0.14"),
        ("10.96.0.0/27", "10.96.0.1", "10.96.0.17", "10.96.0.30"),
        ("fd00::/108", "fd00::1", "fd00::101", "fd00::ffff"),
    ],
)
def test_static_band_of_cluster_ips(text: str, static: str, dynamic: str, last: str) -> None:
    ((family, found),) = ranges(cluster=text).cluster_ips.items()
    edges = [str(Address(family, n)) for n in (found.first, found.dynamic, found.last)]
    assert edges == [static, dynamic, last]


@pytest.mark.parametrize(
    ("text", "dynamic"),
    [("30000-32767", 30086), ("30000-30015", 30000), ("30000-30031", 30016), ("1-65535", 129)],
)
def test_static_band_of_node_ports(text: str, dynamic: int) -> None:
    assert ranges(node=text).node_ports.dynamic == dynamic


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("cluster", "10.96.0.0", "not a CIDR"),
        ("cluster", "10.96.0.0/16,10.97.0.0/16", "two IPv4 ranges"),
        ("cluster", "10.96.0.0/31", "too small"),
        ("cluster", "", "not a CIDR"),
        ("node", "32767-30000", "no range of ports"),
        ("node", "30000", "no range of ports"),
        ("node", "0-10", "no range of ports"),
        ("balancer", "192.0.2.9-192.0.2.1", "no range of addresses"),
        ("balancer", "192.0.2.9-fd00::1", "no range of addresses"),
    ],
)
def test_ranges_that_are_none(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ranges(**{name: text})


@pytest.mark.parametrize(
    ("fields", "families"),
    [
        ({}, (FOUR,)),
        ({"ip_families": (SIX,)}, (SIX,)),
        ({"ip_family_policy": "SingleStack", "ip_families": (SIX,)}, (SIX,)),
        ({"ip_family_policy": "PreferDualStack"}, (FOUR, SIX)),
        ({"ip_family_policy": "PreferDualStack", "ip_families": (SIX,)}, (SIX, FOUR)),
        ({"ip_family_policy": "RequireDualStack", "ip_families": (SIX, FOUR)}, (SIX, FOUR)),
        ({"ip_families": (SIX, FOUR)}, (SIX, FOUR)),
        (
            {"ip_family_policy": "PreferDualStack", "cluster_ips": (parse_address("fd00::5"),)},
            (SIX, FOUR),
        ),
        ({"cluster_ips": (parse_address("fd00::5"),)}, (SIX,)),
        ({"headless": True, "ip_family_policy": "RequireDualStack"}, ()),
    ],
)
def test_families(fields: dict[str, Any], families: tuple[Family, ...]) -> None:
    found = one(service("web", **fields))
    assert tuple(address.family for address in found.cluster_ips) == families
    for address in fields.get("cluster_ips", ()):
        assert address in found.cluster_ips


def test_dual_stack_in_a_cluster_of_one_family() -> None:
    single = ranges(cluster="10.96.0.0/16")
    preferred = service("web", ip_family_policy="PreferDualStack", ip_families=(SIX, FOUR))
    assert [a.family for a in one(preferred, single).cluster_ips] == [FOUR]
    for fields in ({"ip_family_policy": "RequireDualStack"}, {"ip_families": (SIX,)}):
        found = allocate([service("web", **fields)], Lock(), single)
        assert "shop/web needs an IPv6 cluster IP" in errors(found)[0]
        assert found.lock == Lock()


def test_external_names_need_nothing() -> None:
    found = allocate([service("web", "ExternalName")], Lock(), DUAL)
    assert not found.lock.given


def test_ports_of_one_number_share_a_node_port() -> None:
    ports = (
        ServicePort("dns", "UDP", 53),
        ServicePort("dns-tcp", "TCP", 53),
        ServicePort("web", "TCP", 80),
        ServicePort("web-udp", "UDP", 80, 30080),
    )
    dns, dns_tcp, web, web_udp = one(service("web", "NodePort", ports=ports)).ports
    assert dns.node_port == dns_tcp.node_port >= 30086
    assert web.node_port == web_udp.node_port == 30080


def test_balancers() -> None:
    wanted = service("web", "LoadBalancer", external_traffic_policy="Local")
    found = one(wanted)
    assert [str(address).rpartition(".")[0] for address in found.ingress] == ["192.0.2"]
    assert found.health_check_node_port != found.ports[0].node_port
    assert found.health_check_node_port in range(30086, 32768)
    without = one(replace(wanted, allocate_node_ports=False, load_balancer_class="x.io/y"))
    assert without.ports == wanted.ports
    assert not without.ingress
    asked = parse_address("192.0.2.77")
    assert one(replace(wanted, load_balancer_ip=asked)).ingress == (asked,)
    assert not one(wanted, default_ranges()).ingress
    answered = replace(wanted, has_ingress=True)
    assert not one(answered).ingress
    assert one(replace(answered, ingress=(asked,))).ingress == (asked,)


def test_kubernetes_has_the_first_address_and_nobody_else() -> None:
    small = ranges(cluster="10.96.0.0/29")
    api = replace(service("kubernetes"), namespace="default")
    others = [service(f"web-{number}") for number in range(5)]
    found = allocate([*others, api], Lock(), small)
    first = parse_address("10.96.0.1")
    assert [s.key for s in found.services if first in s.cluster_ips] == ["default/kubernetes"]
    full = allocate([*others, service("web-5")], Lock(), small)
    assert "no number is left" in errors(full)[0]
    thief = service("web-0", cluster_ips=(first,))
    assert (
        "is that of Service default/kubernetes" in errors(allocate([thief, api], Lock(), small))[0]
    )


def test_the_dynamic_band_goes_first() -> None:
    small = ranges(cluster="10.96.0.0/27")
    found = allocate([service(f"web-{number}") for number in range(14)], Lock(), small)
    last_bytes = {s.cluster_ips[0].value & 255 for s in found.services}
    assert last_bytes == set(range(17, 31))
    more = allocate([*found.services, service("more")], found.lock, small)
    assert more.services[-1].cluster_ips[0].value & 255 in range(2, 17)


def test_freed_numbers_rest() -> None:
    small = ranges(cluster="10.96.0.0/28")
    gone = [service(f"gone-{number}") for number in range(6)]
    before = allocate(gone, Lock(), small)
    old = set(before.lock.given.values())
    found = allocate([service(f"new-{number}") for number in range(7)], before.lock, small)
    assert not old & set(found.lock.given.values())
    assert set(found.lock.freed.values()) == old
    # One more, and nothing else is left.
    full = allocate([*found.services, service("last")], found.lock, small)
    assert set(full.services[-1].cluster_ips) < old
    assert len(full.lock.freed) == 5


def test_a_service_that_returns_has_its_number_again() -> None:
    before = allocate([service("web"), service("db")], Lock(), DUAL)
    without = allocate([service("db")], before.lock, DUAL)
    after = allocate([service("web"), service("db")], without.lock, DUAL)
    assert after.lock == before.lock


def test_a_service_that_returns_goes_before_new_ones() -> None:
    small = ranges(cluster="10.96.0.0/29")
    old = [service(f"z-{number}") for number in range(5)]
    before = allocate(old, Lock(), small)
    without = allocate(old[1:], before.lock, small)
    # One number is left, and it is that of z-0: a new Service that comes alone is given it.
    alone = allocate([service("a"), *old[1:]], without.lock, small)
    assert alone.services[0].cluster_ips == before.services[0].cluster_ips
    both = allocate([service("a"), *old], without.lock, small)
    assert "no number is left for shop/a" in errors(both)[0]


def test_own_numbers_that_two_services_have() -> None:
    same = (parse_address("10.96.0.10"),)
    pair = [service("a", cluster_ips=same), service("b", cluster_ips=same)]
    (message,) = errors(allocate(pair, Lock(), DUAL))
    assert "Services shop/a and shop/b both have cluster IP 10.96.0.10" in message
    ports = [
        service("a", "NodePort", ports=(ServicePort("", "TCP", 80, 30001),)),
        service("b", "NodePort", ports=(ServicePort("", "UDP", 80, 30001),)),
    ]
    (message,) = errors(allocate(ports, Lock(), DUAL))
    assert "Services shop/a and shop/b both have node port 30001" in message


def test_an_own_number_that_was_given_to_another() -> None:
    before = allocate([service("web")], Lock(), DUAL)
    thief = service("thief", cluster_ips=before.services[0].cluster_ips)
    (message,) = errors(allocate([service("web"), thief], before.lock, DUAL))
    assert "shop/web and shop/thief both have" in message
    # Nobody is there to have it any more.
    assert not errors(allocate([thief], before.lock, DUAL))


def test_a_balancer_address_that_was_given_to_another() -> None:
    before = allocate([service("web", "LoadBalancer")], Lock(), DUAL)
    (address,) = before.services[0].ingress
    thief = service("thief", "LoadBalancer", load_balancer_ip=address)
    (message,) = errors(allocate([service("web", "LoadBalancer"), thief], before.lock, DUAL))
    assert f"shop/web and shop/thief both have balancer address {address}" in message
    # Two that ask for one address themselves share it.
    pair = [replace(thief, name=name) for name in ("a", "b")]
    shared = allocate(pair, Lock(), DUAL)
    assert not errors(shared)
    assert [item.ingress for item in shared.services] == [(address,), (address,)]


def test_what_lies_outside_is_told_and_stays() -> None:
    before = allocate([service("web")], Lock(), DUAL)
    own = service("own", cluster_ips=(parse_address("172.16.0.1"),))
    found = allocate([service("web"), own], before.lock, ranges(cluster="10.1.0.0/16"))
    assert {r.severity for r in found.remarks} == {"warning"}
    assert len(found.remarks) == 2
    assert found.services[0].cluster_ips == before.services[0].cluster_ips


def test_addresses_of_others_are_not_given() -> None:
    small = ranges(cluster="10.96.0.0/29")
    others = [parse_address(f"10.96.0.{number}") for number in (2, 3, 4)]
    found = allocate([service("a"), service("b")], Lock(), small, others)
    assert {str(s.cluster_ips[0]) for s in found.services} == {"10.96.0.5", "10.96.0.6"}


NAMES = [f"web-{number}" for number in range(12)]
PROTOCOLS: tuple[Protocol, ...] = ("TCP", "UDP")
KINDS = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
SMALL = ranges(cluster="10.96.0.0/27,fd00::/123", node="30000-30040", balancer="192.0.2.0/27")


@st.composite
def clusters(draw: st.DrawFn) -> list[Service]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=7))
    return [
        service(
            name,
            draw(st.sampled_from(KINDS)),
            headless=draw(st.integers(0, 5)) == 0,
            ip_family_policy=draw(st.sampled_from(("", "SingleStack", "PreferDualStack"))),
            external_traffic_policy=draw(st.sampled_from(("Cluster", "Local"))),
            ports=tuple(
                ServicePort(f"p{index}", protocol, port)
                for index, (port, protocol) in enumerate(
                    draw(st.sets(st.tuples(st.integers(80, 82), st.sampled_from(PROTOCOLS))))
                )
            ),
        )
        for name in names
    ]


def by_slot(found: Iterable[tuple[Slot, Number]]) -> dict[tuple[Any, Number], str]:
    return {(pool_of(slot), number): slot.owner for slot, number in found}


@examples(120, 3000)
@given(st.lists(clusters(), min_size=2, max_size=6), st.randoms())
def test_nothing_moves(steps: list[list[Service]], random: Any) -> None:
    lock = Lock()
    locks = []
    for services in steps:
        found = allocate(services, lock, SMALL)
        assert not found.remarks
        shuffled = random.sample(services, len(services))
        assert allocate(shuffled, lock, SMALL).lock == found.lock
        assert allocate(found.services, found.lock, SMALL).services == found.services
        lock = found.lock
        locks.append(lock)
        assert len(by_slot(lock.given.items())) == len(lock.given), "a number twice"
        for slot, number in lock.given.items():
            limits = {
                "cluster-ip": SMALL.cluster_ips,
                "load-balancer-ip": SMALL.balancer,
            }.get(pool_of(slot).name)
            if isinstance(number, Address):
                assert limits is not None
                assert number.value in limits[number.family]
            else:
                assert number in SMALL.node_ports
        for item in found.services:
            if item.type != "ExternalName" and not item.headless:
                assert item.cluster_ips
                if item.type != "ClusterIP":
                    assert all(port.node_port for port in item.ports)
    for before, after in pairwise(locks):
        for slot in before.given.keys() & after.given.keys():
            assert before.given[slot] == after.given[slot]
