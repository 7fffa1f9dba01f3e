"""Pods to slices: each rule of the endpoint slice controller, and random clusters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

import svcc.api
from svcc.api import Family, Objects
from svcc.compiler.model.objects import Endpoint, EndpointSlice, Origin
from svcc.compiler.select.documents import slice_document
from tests.support.clusters.random_pods import Document, clusters
from tests.support.effort import examples
from tests.support.readings.selection_reading import EndpointFacts, endpoints_of

READY = [{"type": "Ready", "status": "True"}]


def service(**spec: Any) -> Document:
    meta = {"name": "web", "namespace": "shop", "labels": {"team": "x"}}
    usual = {
        "clusterIP": "10.96.0.10",
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {**usual, **spec}}


def pod(number: int = 5, port: int = 8080, **changes: Any) -> Document:
    """A ready Pod; ``changes`` by ``meta``, ``spec`` and ``status``."""
    containers = [{"name": "c", "ports": [{"name": "http", "containerPort": port}]}]
    address = f"10.244.{number // 250}.{number % 250 + 1}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"web-{number}",
            "namespace": "shop",
            "labels": {"app": "web"},
            **changes.get("meta", {}),
        },
        "spec": {"nodeName": "node-a", "containers": containers, **changes.get("spec", {})},
        "status": {
            "phase": "Running", "podIP": address, "conditions": READY, **changes.get("status", {})
        },
    }  # fmt: skip


def made(*documents: Document) -> list[EndpointSlice]:
    objects = svcc.api.load(objects=documents)
    assert all(item.from_pods for item in objects.slices)
    return objects.slices


def only(*documents: Document) -> Endpoint:
    (item,) = made(*documents)
    (endpoint,) = item.endpoints
    return endpoint


def test_a_slice_is_the_services() -> None:
    (item,) = made(service(), pod())
    assert item.name.startswith("web-")
    assert len(item.name) == len("web-") + 5
    assert (item.namespace, item.service, item.family) == ("shop", "web", Family.IPV4)
    assert item.labels["team"] == "x"
    assert item.labels["kubernetes.io/service-name"] == "web"
    assert [(p.name, p.protocol, p.port) for p in item.ports] == [("http", "TCP", 8080)]
    assert (item.endpoints[0].pod, item.endpoints[0].node_name) == ("web-5", "node-a")


@pytest.mark.parametrize(
    ("changes", "conditions"),
    [
        ({}, (True, True, False)),
        ({"status": {"conditions": []}}, (False, False, False)),
        ({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}, (False,) * 3),
        ({"meta": {"deletionTimestamp": "2026-11-23T10:00:00Z"}}, (False, True, True)),
        (
            {
                "meta": {"deletionTimestamp": "2026-11-23T10:00:00Z"},
                "status": {"conditions": []},
            },
            (False, False, True),
        ),
    ],
)
def test_conditions(changes: dict[str, Any], conditions: tuple[bool, bool, bool]) -> None:
    found = only(service(), pod(**changes))
    assert (found.ready, found.serving, found.terminating) == conditions
    published = only(service(publishNotReadyAddresses=True), pod(**changes))
    assert (published.ready, published.serving, published.terminating) == (True, *conditions[1:])


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"phase": "Succeeded"}},
        {"status": {"phase": "Failed"}},
        {"status": {"phase": "Pending", "podIP": None}},
        {"meta": {"namespace": "shop", "labels": {"app": "api"}}},
        {"meta": {"labels": {}}},
    ],
)
def test_pods_that_are_no_endpoints(changes: dict[str, Any]) -> None:
    (item,) = made(service(), pod(**changes))
    assert (item.ports, item.endpoints) == ((), ())


def test_named_ports_that_differ_make_slices_of_their_own() -> None:
    other = {"containers": [{"name": "c", "ports": [{"name": "https", "containerPort": 1}]}]}
    found = made(service(), pod(5), pod(6, port=9090), pod(7), pod(8, spec=other))
    shape = [([p.port for p in s.ports], [e.pod for e in s.endpoints]) for s in found]
    assert shape == [([8080], ["web-5", "web-7"]), ([9090], ["web-6"]), ([], ["web-8"])]
    assert len({item.name for item in found}) == 3


def test_a_sidecar_names_ports_and_an_init_container_does_not() -> None:
    init = {"name": "i", "ports": [{"name": "http", "containerPort": 15000}]}
    bare = {"containers": [{"name": "c"}], "initContainers": [init]}
    (item,) = made(service(), pod(spec=bare))
    assert item.ports == ()
    init["restartPolicy"] = "Always"
    (item,) = made(service(), pod(spec=bare))
    assert [port.port for port in item.ports] == [15000]


def test_a_port_of_that_name_and_another_protocol_is_none() -> None:
    udp = {"ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "UDP"}]}
    (item,) = made(service(**udp), pod())
    assert item.ports == ()


def test_slices_have_at_most_a_hundred_endpoints() -> None:
    found = made(service(), *(pod(number) for number in range(1, 252)))
    assert [len(item.endpoints) for item in found] == [100, 100, 51]
    assert len({item.name for item in found}) == 3


def test_dual_stack_has_slices_of_both_families_be_they_empty() -> None:
    both = {"clusterIPs": ["10.96.0.10", "fd00::10"], "ipFamilies": ["IPv4", "IPv6"]}
    several = [{"ip": "10.244.0.6"}, {"ip": "fd00:244::6"}]
    found = made(service(**both), pod(status={"podIPs": several}))
    assert [str(item.endpoints[0].address) for item in found] == ["10.244.0.6", "fd00:244::6"]
    found = made(service(**both), pod())
    assert [(item.family, len(item.endpoints)) for item in found] == [(4, 1), (6, 0)]


def test_a_headless_service_has_hostnames_and_its_label() -> None:
    named = pod(spec={"hostname": "db-0", "subdomain": "web"})
    found = made(service(clusterIP="None", ipFamilies=["IPv4"]), named)
    assert found[0].endpoints[0].hostname == "db-0"
    assert "service.kubernetes.io/headless" in found[0].labels
    elsewhere = pod(spec={"hostname": "db-0", "subdomain": "other"})
    assert only(service(), elsewhere).hostname is None


@pytest.mark.parametrize(
    ("distribution", "zones", "nodes"),
    [
        (None, set(), set()),
        ("PreferClose", {"z1"}, set()),
        ("PreferSameZone", {"z1"}, set()),
        ("PreferSameNode", {"z1"}, {"node-a"}),
    ],
)
def test_traffic_distribution(distribution: str | None, zones: set[str], nodes: set[str]) -> None:
    labels = {"topology.kubernetes.io/zone": "z1"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a", "labels": labels}}
    (item,) = made(
        service(trafficDistribution=distribution), pod(5), pod(6, status={"conditions": []}), node
    )
    ready, waiting = item.endpoints
    assert (ready.zone, ready.zone_hints, ready.node_hints) == (
        "z1",
        frozenset(zones),
        frozenset(nodes),
    )
    assert (waiting.zone, waiting.zone_hints, waiting.node_hints) == (
        "z1",
        frozenset(),
        frozenset(),
    )


@pytest.mark.parametrize(
    ("annotations", "zones"),
    [
        ({"service.kubernetes.io/topology-mode": "Auto"}, set()),
        ({"service.kubernetes.io/topology-mode": "Disabled"}, {"z1"}),
        (
            {
                "service.kubernetes.io/topology-aware-hints": "Disabled",
                "service.kubernetes.io/topology-mode": "Auto",
            },
            {"z1"},
        ),
    ],
)
def test_hints_by_processors_are_not_made(annotations: dict[str, str], zones: set[str]) -> None:
    labels = {"topology.kubernetes.io/zone": "z1"}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a", "labels": labels}}
    web = service(trafficDistribution="PreferClose")
    web["metadata"]["annotations"] = annotations
    assert only(web, pod(), node).zone_hints == frozenset(zones)


def test_a_plain_list_of_hosts() -> None:
    hosts = {
        "apiVersion": "svcc.io/v1",
        "kind": "HostList",
        "metadata": {"namespace": "shop"},
        "hosts": [
            {
                "name": "h1", "ip": "192.0.2.7", "labels": {"app": "web"}, "node": "rack-1",
                "zone": "z1", "ports": [{"name": "http", "port": 8000}],
            },
            {"name": "h2", "ip": "192.0.2.8", "labels": {"app": "web"}, "ready": False},
        ],
    }  # fmt: skip
    numbered = service(ports=[{"port": 80}], trafficDistribution="PreferClose")
    (item,) = made(numbered, hosts)
    first, second = item.endpoints
    assert [port.port for port in item.ports] == [80]
    assert (first.node_name, first.zone, first.zone_hints) == ("rack-1", "z1", frozenset({"z1"}))
    assert (first.ready, second.ready) == (True, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"selector": None},
        {"selector": {}},
        {"type": "ExternalName", "externalName": "example.com", "clusterIP": None},
    ],
)
def test_services_whose_endpoints_somebody_else_makes(changes: dict[str, Any]) -> None:
    assert made(service(**changes), pod()) == []


def test_what_was_given_stays_as_it_is() -> None:
    given_slice = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "web-a", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4",
        "endpoints": [],
    }  # fmt: skip
    objects = svcc.api.load(objects=[service(), given_slice, pod()])
    assert [item.name for item in objects.slices] == ["web-a"]
    alone = svcc.api.load(objects=[service(), pod(meta={"namespace": "other"})])
    assert alone.slices == [], "nothing is known of the Pods in that namespace"
    bare = {key: value for key, value in pod().items() if key != "status"}
    unseen = svcc.api.load(objects=[service(), bare])
    assert (unseen.slices, unseen.skipped_kinds) == ([], {"Pod": 1})


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (pod(status={"podIP": "10.0.0.256"}), "status.podIP: '10.0.0.256'"),
        (pod(status={"podIP": "127.0.0.1"}), "is a loopback address"),
        (pod(status={"phase": "Runing"}), "'Runing' is not known"),
        (pod(spec={"containers": [{"ports": [{}]}]}), "containerPort is missing"),
        (
            {"apiVersion": "svcc.io/v1", "kind": "HostList", "hosts": [{"name": "a"}]},
            "hosts[0]: ip is missing",
        ),
        ({"apiVersion": "svcc.io/v1", "kind": "HostList"}, "hosts is missing"),
        ({"apiVersion": "v1", "kind": "HostList"}, "write svcc.io/v1"),
        ({"apiVersion": "svcc.io/v1", "kind": "Host"}, "its only kind is HostList"),
        (
            {
                "apiVersion": "svcc.io/v1",
                "kind": "HostList",
                "hosts": [{"name": "a", "ip": "192.0.2.1"}, {"name": "a", "ip": "192.0.2.2"}],
            },
            "host 'default/a' stands here for the second time",
        ),
    ],
)
def test_pods_and_hosts_that_are_wrong(document: Document, says: str) -> None:
    with pytest.raises(svcc.api.InputError) as raised:
        svcc.api.load(objects=[service(), document])
    assert says in str(raised.value)


def test_slips_in_pods_are_told_and_what_is_not_read_is_not() -> None:
    slip = pod(spec={"hostNetwrok": True, "volumes": [{"emptyDri": {}}]})
    said = [problem.message for problem in svcc.api.load(objects=[service(), slip]).problems]
    assert said == [
        "spec.hostNetwrok: Pod has no such field, so it is passed over; did you mean hostNetwork?"
    ]


def facts_of(objects: Objects, name: str, namespace: str) -> Counter[EndpointFacts]:
    return Counter(
        EndpointFacts(
            address=str(endpoint.address),
            ports=frozenset((port.name, port.protocol, port.port) for port in item.ports),
            ready=endpoint.ready,
            serving=endpoint.serving,
            terminating=endpoint.terminating,
            node=endpoint.node_name,
            zone=endpoint.zone,
            hostname=endpoint.hostname,
            for_zones=endpoint.zone_hints,
            for_nodes=endpoint.node_hints,
        )
        for item in objects.slices
        if (item.service, item.namespace) == (name, namespace)
        for endpoint in item.endpoints
    )


@examples(60, 3000)
@given(clusters())
def test_random_clusters(documents: list[Document]) -> None:
    objects = svcc.api.load(objects=documents)
    known = {item["metadata"]["namespace"] for item in documents if item["kind"] == "Pod"}
    for item in documents:
        if item["kind"] == "Service":
            meta = item["metadata"]
            wanted = endpoints_of(item, documents) if meta["namespace"] in known else Counter()
            assert facts_of(objects, meta["name"], meta["namespace"]) == wanted


@examples(20, 1000)
@given(clusters())
def test_slices_as_documents_are_read_as_the_same(documents: list[Document]) -> None:
    objects = svcc.api.load(objects=documents)
    shown = [slice_document(item) for item in objects.slices]
    services = [item for item in documents if item["kind"] == "Service"]
    again = svcc.api.load(objects=[*services, *shown])
    nowhere = Origin("")
    assert [replace(item, origin=nowhere) for item in again.slices] == [
        replace(item, origin=nowhere, from_pods=False) for item in objects.slices
    ]
