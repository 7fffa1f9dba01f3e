"""What one node forwards where, by hand-made objects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svcc.compiler.model.objects import (
    Endpoint,
    EndpointPort,
    EndpointSlice,
    Objects,
    Origin,
    Service,
    ServicePort,
)
from svcc.compiler.resolve.forwarding import Forwarding
from svcc.compiler.resolve.forwarding import ServicePort as Port
from svcc.compiler.resolve.resolver import resolve
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, format_address, parse_address, parse_network

ORIGIN = Origin("test.yaml")
HERE = NodeSettings(node_name="node-a", addresses=(parse_address("192.168.7.10"),), zone="zone-1")
Conditions = tuple[bool, bool, bool]
"""ready, serving, terminating"""
READY: Conditions = (True, True, False)
GONE: Conditions = (False, False, True)
LEAVING: Conditions = (False, True, True)
SERVING: Conditions = (False, True, False)
NOT_READY: Conditions = (False, False, False)


def addresses(*texts: str) -> tuple[Address, ...]:
    return tuple(parse_address(text) for text in texts)


WEB = Service(
    namespace="shop",
    name="web",
    type="LoadBalancer",
    origin=ORIGIN,
    cluster_ips=addresses("10.96.0.10"),
    ports=(ServicePort("http", "TCP", 80, 30080),),
    ingress=addresses("192.0.2.80"),
)


def endpoint(
    address: str,
    node: str | None = None,
    zones: tuple[str, ...] = (),
    nodes: tuple[str, ...] = (),
    conditions: Conditions = READY,
) -> Endpoint:
    ready, serving, terminating = conditions
    return Endpoint(
        address=parse_address(address),
        ready=ready,
        serving=serving,
        terminating=terminating,
        node_name=node,
        zone_hints=frozenset(zones),
        node_hints=frozenset(nodes),
    )


def slice_of(
    *endpoints: Endpoint,
    name: str = "web-a",
    ports: tuple[EndpointPort, ...] = (EndpointPort("http", "TCP", 8080),),
    family: Family = Family.IPV4,
    from_endpoints: bool = False,
    labels: dict[str, str] | None = None,
) -> EndpointSlice:
    return EndpointSlice(
        namespace="shop",
        name=name,
        service="web",
        family=family,
        ports=ports,
        endpoints=endpoints,
        origin=ORIGIN,
        labels=labels or {},
        from_endpoints=from_endpoints,
    )


def forwarding(
    *slices: EndpointSlice, service: Service = WEB, node: NodeSettings = HERE
) -> Forwarding:
    return resolve(Objects([service], list(slices)), node)


def port_of(*slices: EndpointSlice, service: Service = WEB, node: NodeSettings = HERE) -> Port:
    (port,) = forwarding(*slices, service=service, node=node).service_ports
    return port


def shown(port: Port) -> tuple[list[str], list[str]]:
    """The backends under Cluster and under Local policy."""
    everywhere, here = (
        [f"{format_address(port.family, b.address)}:{b.port}" for b in group]
        for group in (port.everywhere, port.here)
    )
    return everywhere, here


# -- backends ------------------------------------------------------------------------------


def test_ready_endpoints_serve() -> None:
    port = port_of(
        slice_of(
            endpoint("10.244.2.7", "node-b"),
            endpoint("10.244.1.5", "node-a"),
            endpoint("10.244.1.6", "node-a", conditions=NOT_READY),
            endpoint("10.244.1.7", "node-a", conditions=LEAVING),
        )
    )
    assert shown(port) == (["10.244.1.5:8080", "10.244.2.7:8080"], ["10.244.1.5:8080"])
    assert port.usable


def test_leaving_endpoints_serve_if_nothing_else_does() -> None:
    port = port_of(
        slice_of(
            endpoint("10.244.1.5", "node-a", conditions=LEAVING),
            endpoint("10.244.2.7", "node-b", conditions=LEAVING),
            endpoint("10.244.2.8", "node-b", conditions=GONE),
            endpoint("10.244.2.9", "node-b", conditions=SERVING),
        )
    )
    assert shown(port) == (["10.244.1.5:8080", "10.244.2.7:8080"], ["10.244.1.5:8080"])


def test_the_local_fallback_is_the_nodes_own() -> None:
    """Ready endpoints elsewhere do not keep a leaving one here from serving Local policy."""
    port = port_of(
        slice_of(
            endpoint("10.244.1.5", "node-a", conditions=LEAVING), endpoint("10.244.2.7", "node-b")
        )
    )
    assert shown(port) == (["10.244.2.7:8080"], ["10.244.1.5:8080"])


@pytest.mark.parametrize("conditions", [NOT_READY, SERVING, GONE])
def test_endpoints_that_do_not_serve(conditions: Conditions) -> None:
    port = port_of(slice_of(endpoint("10.244.1.5", "node-a", conditions=conditions)))
    assert shown(port) == ([], [])
    assert not port.usable


def test_an_unknown_node_runs_none_of_the_endpoints() -> None:
    nowhere = replace(HERE, known_node=False)
    port = port_of(slice_of(endpoint("10.244.1.5", "node-a")), node=nowhere)
    assert shown(port) == (["10.244.1.5:8080"], [])


def test_ports_match_by_name_and_protocol() -> None:
    port = port_of(
        slice_of(endpoint("10.244.1.5")),
        slice_of(endpoint("10.244.1.6"), name="web-b", ports=(EndpointPort("http", "TCP", 9090),)),
        slice_of(endpoint("10.244.1.7"), name="web-c", ports=(EndpointPort("http", "UDP", 8080),)),
        slice_of(endpoint("10.244.1.8"), name="web-d", ports=(EndpointPort("admin", "TCP", 8080),)),
        slice_of(endpoint("10.244.1.9"), name="web-e", ports=(EndpointPort("http", "TCP", 0),)),
    )
    assert shown(port)[0] == ["10.244.1.5:8080", "10.244.1.6:9090"]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_of_an_address_used_again_the_endpoint_that_does_not_terminate_counts(
    names: tuple[str, str],
) -> None:
    """kubernetes#135266: whichever comes first, and wherever the old one was."""
    for gone in (LEAVING, GONE):
        old = slice_of(endpoint("10.244.1.5", "node-a", conditions=gone), name=names[0])
        new = slice_of(endpoint("10.244.1.5", "node-c"), name=names[1])
        assert shown(port_of(old, new)) == (["10.244.1.5:8080"], [])
        waiting = endpoint("10.244.1.5", "node-c", conditions=NOT_READY)
        assert not port_of(old, slice_of(waiting, name=names[1])).usable


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_of_other_duplicates_a_ready_one_counts_and_one_that_is_here(
    names: tuple[str, str],
) -> None:
    first = slice_of(endpoint("10.244.1.5", "node-c"), name=names[0])
    waiting = slice_of(endpoint("10.244.1.5", "node-a", conditions=NOT_READY), name=names[1])
    assert shown(port_of(first, waiting)) == (["10.244.1.5:8080"], [])
    local = slice_of(endpoint("10.244.1.5", "node-a"), name=names[1])
    assert shown(port_of(first, local)) == (["10.244.1.5:8080"], ["10.244.1.5:8080"])


def test_slices_win_over_endpoints() -> None:
    old = slice_of(endpoint("10.244.1.9"), name="a", from_endpoints=True)
    assert shown(port_of(old, slice_of(endpoint("10.244.1.5"))))[0] == ["10.244.1.5:8080"]
    assert shown(port_of(old))[0] == ["10.244.1.9:8080"]


def test_labels_leave_a_service_to_another_proxy_and_a_slice_to_none() -> None:
    """Each on its own kind of object, as kube-proxy 1.36 has it."""
    other, headless = "service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"
    assert forwarding(service=replace(WEB, labels={other: "x"})).service_ports == ()
    assert forwarding(service=replace(WEB, labels={headless: ""})).service_ports != ()
    assert port_of(slice_of(endpoint("10.244.1.5"), labels={other: "x"})).usable
    assert not port_of(slice_of(endpoint("10.244.1.5"), labels={headless: ""})).usable


# -- hints ---------------------------------------------------------------------------------


def test_zone_hints_narrow_the_cluster_policy_only() -> None:
    port = port_of(
        slice_of(
            endpoint("10.244.1.5", "node-a", zones=("zone-2",)),
            endpoint("10.244.2.7", "node-b", zones=("zone-1", "zone-2")),
            endpoint("10.244.2.8", "node-b", zones=("zone-2",)),
        )
    )
    assert shown(port) == (["10.244.2.7:8080"], ["10.244.1.5:8080"])


def test_node_hints_come_before_zone_hints() -> None:
    slices = slice_of(
        endpoint("10.244.1.5", "node-a", zones=("zone-2",), nodes=("node-a",)),
        endpoint("10.244.2.7", "node-b", zones=("zone-1",), nodes=("node-b",)),
    )
    assert shown(port_of(slices))[0] == ["10.244.1.5:8080"]
    other = replace(HERE, node_name="node-c")
    assert shown(port_of(slices, node=other))[0] == ["10.244.2.7:8080"]


@pytest.mark.parametrize(
    ("zones", "node"),
    [
        ((("zone-1",), ()), HERE),
        ((("zone-2",), ("zone-3",)), HERE),
        ((("zone-1",), ("zone-2",)), replace(HERE, zone=None)),
    ],
    ids=["one has no hint", "none for this zone", "the zone is not known"],
)
def test_hints_that_do_not_fit_are_ignored(
    zones: tuple[tuple[str, ...], ...], node: NodeSettings
) -> None:
    slices = slice_of(
        endpoint("10.244.1.5", zones=zones[0]), endpoint("10.244.2.7", zones=zones[1])
    )
    assert len(port_of(slices, node=node).everywhere) == 2


def test_endpoints_that_are_not_ready_have_no_say_in_hints() -> None:
    slices = slice_of(
        endpoint("10.244.1.5", zones=("zone-1",)),
        endpoint("10.244.2.7", zones=("zone-2",)),
        endpoint("10.244.2.8", conditions=LEAVING),
    )
    assert shown(port_of(slices))[0] == ["10.244.1.5:8080"]


def test_hints_do_not_apply_to_the_fallback() -> None:
    slices = slice_of(
        endpoint("10.244.1.5", zones=("zone-1",), conditions=LEAVING),
        endpoint("10.244.2.7", zones=("zone-2",), conditions=LEAVING),
    )
    assert len(port_of(slices).everywhere) == 2


# -- frontends -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "service",
    [
        replace(WEB, type="ExternalName", cluster_ips=()),
        replace(WEB, headless=True, cluster_ips=()),
    ],
    ids=["ExternalName", "headless"],
)
def test_services_without_frontends(service: Service) -> None:
    found = forwarding(service=service)
    assert found.service_ports == ()
    assert found.notes == ()


def test_a_service_without_cluster_ip_is_noted() -> None:
    found = forwarding(service=replace(WEB, cluster_ips=()))
    assert found.service_ports == ()
    assert len(found.notes) == 1
    assert "shop/web has no clusterIP" in found.notes[0]


def test_one_address_claimed_twice_by_one_service() -> None:
    """The cluster IP comes first, then the external IP, then the balancer."""
    port = port_of(
        service=replace(
            WEB,
            external_ips=addresses("192.0.2.80", "198.51.100.9", "198.51.100.9", "10.96.0.10"),
            ingress=addresses("192.0.2.80", "192.0.2.81", "10.96.0.10"),
        )
    )
    assert [format_address(Family.IPV4, a) for a in port.external_addresses] == [
        "192.0.2.80",
        "198.51.100.9",
    ]
    assert [format_address(Family.IPV4, a) for a in port.balancer_addresses] == ["192.0.2.81"]


def test_each_family_has_its_own_frontends_and_backends() -> None:
    service = replace(
        WEB,
        cluster_ips=addresses("10.96.0.10", "fd00:96::10"),
        ingress=addresses("192.0.2.80", "2001:db8::80"),
        source_ranges=(parse_network("203.0.113.0/24"),),
    )
    found = forwarding(
        slice_of(endpoint("10.244.1.5")),
        slice_of(endpoint("fd00:244::5"), name="web-6", family=Family.IPV6),
        service=service,
    )
    four, six = found.service_ports
    assert (four.family, six.family) == (Family.IPV4, Family.IPV6)
    assert shown(four)[0] == ["10.244.1.5:8080"]
    assert shown(six)[0] == ["fd00:244::5:8080"]
    assert four.allowed_sources == (parse_network("203.0.113.0/24"),)
    assert six.allowed_sources is None


@pytest.mark.parametrize(
    ("ranges", "allowed"),
    [
        (["203.0.113.0/24"], ["203.0.113.0/24"]),
        (["192.168.0.0/16"], ["192.0.2.80/32", "192.168.0.0/16"]),
        (["2001:db8::/32"], None),
    ],
    ids=["other networks", "one with the node in it", "only the other family's"],
)
def test_source_ranges(ranges: list[str], allowed: list[str] | None) -> None:
    networks = tuple(parse_network(text) for text in ranges)
    port = port_of(service=replace(WEB, source_ranges=networks))
    found = port.allowed_sources
    assert (None if found is None else [str(n) for n in found]) == allowed


def test_health_checks_are_for_the_local_policy() -> None:
    service = replace(WEB, external_traffic_policy="Local", health_check_node_port=32000)
    ((family, check),) = forwarding(service=service).health_checks
    assert (family, check.port) == (Family.IPV4, 32000)
    assert (
        forwarding(service=replace(service, external_traffic_policy="Cluster")).health_checks == ()
    )


def test_loopback_needs_an_ipv4_node_port() -> None:
    assert forwarding().loopback_node_ports
    without = replace(WEB, ports=(ServicePort("http", "TCP", 80),))
    assert not forwarding(service=without).loopback_node_ports
    assert not forwarding(node=replace(HERE, localhost_node_ports=False)).loopback_node_ports
    selected = replace(HERE, node_port_networks=(parse_network("192.168.7.0/24"),))
    assert not forwarding(node=selected).loopback_node_ports


@pytest.mark.parametrize(
    ("networks", "answers"),
    [
        (["192.168.7.0/24"], True),
        (["127.0.0.1/32"], False),
        (["127.0.0.1/32", "10.0.0.0/8"], True),
        (["0.0.0.0/0"], True),
        (["fd00::/8"], False),
        ([], False),
    ],
)
def test_a_node_port_that_no_address_answers_is_none(networks: list[str], answers: bool) -> None:
    selected = tuple(parse_network(text) for text in networks)
    node = replace(HERE, node_port_networks=selected, localhost_node_ports=False)
    assert bool(port_of(node=node).node_port) is answers


def test_a_service_network_is_for_cluster_ips_alone() -> None:
    networks = (parse_network("10.96.0.0/12"), parse_network("fd00:96::/108"))
    settings = replace(HERE, mode="nftables", service_networks=networks)
    outside, inside = (
        EndpointSlice(
            namespace="shop",
            name="web-1",
            service="web",
            family=Family.IPV4,
            ports=(),
            endpoints=(endpoint(address, conditions=NOT_READY),),
            origin=ORIGIN,
        )
        for address in ("10.244.1.5", "10.97.0.5")
    )
    clean = resolve(Objects(services=[WEB], slices=[outside]), settings)
    assert (clean.unallocated, clean.notes) == (networks, ())
    mixed = resolve(Objects(services=[WEB], slices=[inside]), settings)
    assert mixed.unallocated == networks[1:]
    (note,) = mixed.notes
    assert "10.97.0.5, an endpoint of shop/web, is in 10.96.0.0/12 too" in note
    balanced = replace(WEB, ingress=addresses("10.96.7.7"))
    assert resolve(Objects(services=[balanced]), settings).unallocated == networks[1:]
