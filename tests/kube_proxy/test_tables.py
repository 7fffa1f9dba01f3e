"""The tables of kube-proxy's tests: which endpoints, which of them, which frontends."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.verify.spec.expectation import expect
from tests.kube_proxy.asking import Node, ends_of, family_of, load_objects
from tests.kube_proxy.dumps import place
from tests.kube_proxy.known import unexplained
from tests.kube_proxy.recorded import cases, names, objects_of

POD = "10.9.9.9"
OUTSIDE = {Family.IPV4: "203.0.113.2", Family.IPV6: "2001:db8:ffff::1"}
Object = dict[str, Any]


def on_node(name: str, zone: str | None = None) -> NodeSettings:
    network = parse_network("10.0.0.0/8")
    return NodeSettings(
        node_name=name,
        zone=zone,
        addresses=(parse_address("192.168.0.2"),),
        pods=PodDetection({network.family: network}),
    )


def said(where: str, wanted: list[str], got: list[str]) -> str:
    return f"{where}: kube-proxy: {' | '.join(wanted)}; svcc: {' | '.join(got)}"


@pytest.mark.parametrize("name", names("endpoints"))
def test_endpoints(name: str) -> None:
    """A Service is made for each port, and its cluster IP asked who is behind it."""
    case = cases()[name]
    objects = objects_of(name)
    wanted = {
        (e["namespace"], e["name"], e["port"], e["protocol"]): e["endpoints"]
        for e in case["expected"]
    }
    services, asked = _services_for(objects, wanted)
    node = Node(
        [*services, *objects], on_node(case["settings"]["nodeName"] or "test-hostname"), Family.IPV4
    )
    differences = []
    for key, (address, number) in sorted(asked.items()):
        expected = sorted(_used(wanted.get(key, []))) or ["rejected"]
        got = node.ends(POD, address, number, key[3])
        if got != expected:
            differences.append(said(f"{name} [{case['test']}: {'/'.join(key)}]", expected, got))
    assert not unexplained("endpoints", differences)


Key = tuple[str, str, str, str]


def _services_for(
    objects: list[Object], wanted: dict[Key, list[Object]]
) -> tuple[list[Object], dict[Key, tuple[str, int]]]:
    """Services of the ports that the table or a slice names, and where to ask for each."""
    keys = set(wanted)
    for item in objects:
        owner = (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name")
        if item["kind"] == "EndpointSlice" and owner:
            space = item["metadata"]["namespace"]
            for port in item.get("ports") or []:
                keys.add((space, owner, port.get("name") or "", port.get("protocol") or "TCP"))
    of_table = {key[:2] for key in wanted}
    services: dict[tuple[str, str], Object] = {}
    asked = {}
    for key in sorted(keys):
        if wanted and key[:2] not in of_table:
            continue  # The table looks at one Service only.
        space, name, port_name, protocol = key
        address = f"172.30.9.{len(services) + 1}"
        made = services.setdefault(
            (space, name),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": space, "name": name},
                "spec": {"type": "ClusterIP", "clusterIP": address, "ports": []},
            },
        )
        number = 1000 + len(made["spec"]["ports"])
        made["spec"]["ports"].append({"name": port_name, "port": number, "protocol": protocol})
        asked[key] = (made["spec"]["clusterIP"], number)
    return list(services.values()), asked


def _used(endpoints: list[Object]) -> set[str]:
    """Of the endpoints that kube-proxy keeps, those that it would use."""
    if not any("ready" in e for e in endpoints):
        return {e["endpoint"] for e in endpoints}
    ready = {e["endpoint"] for e in endpoints if e["ready"]}
    return ready or {e["endpoint"] for e in endpoints if e["serving"] and e["terminating"]}


@pytest.mark.parametrize("name", names("categorize"))
def test_topology(name: str) -> None:
    """Which endpoints Cluster and Local policy use, asked at the cluster IP and node port."""
    assert not unexplained("topology", topology(name))


def topology(name: str) -> list[str]:
    case = cases()[name]
    settings, expected = case["settings"], case["expected"]
    cluster, local = expected["cluster"] or [], expected["local"] or []
    any_usable = bool(cluster or local or expected["all"]) or expected["onlyRemoteEndpoints"]
    objects = objects_of(name)
    own = next((n for n in load_objects(objects).nodes if n.name == settings["nodeName"]), None)
    zone = None if own is None else own.zone
    node = Node(objects, on_node(settings["nodeName"], zone), Family.IPV4)
    inside = local if settings["internalPolicyLocal"] else cluster
    asked = [("pod to cluster IP", POD, "172.30.0.41", 80, inside)]
    if port := settings["nodePort"]:
        outside = local if settings["externalPolicyLocal"] else cluster
        source = OUTSIDE[Family.IPV4]
        asked.append(("outside to node port", source, "192.168.0.2", port, outside))
        asked.append(("pod to node port", POD, "192.168.0.2", port, cluster))
    differences = []
    for what, source, target, number, chosen in asked:
        wanted = sorted(chosen) or (["dropped"] if any_usable else ["rejected"])
        got = node.ends(source, target, number, "tcp")
        if got != wanted:
            differences.append(said(f"{name} [{case['test']}: {what}]", wanted, got))
    return differences


@pytest.mark.parametrize("name", names("service"))
def test_frontends(name: str) -> None:
    """The frontends of a Service in one family, and who may use its balancer addresses."""
    case = cases()[name]
    family = family_of(case["settings"])
    objects = _with_endpoints(objects_of(name), family)
    settings = NodeSettings(
        node_name="n1", addresses=(parse_address("192.168.0.2"), parse_address("2001:db8::1"))
    )
    found = expect(load_objects(objects), settings, family).frontends
    got = {str(item.frontend).split(" ")[0] for item in found if item.frontend.address is not None}
    wanted = set()
    for port in case["expected"]:
        for address in (port["clusterIP"], *port["externalIPs"], *port["loadBalancerVIPs"]):
            text = place(str(ipaddress.ip_address(address)), port["number"])
            wanted.add(f"{text}/{port['protocol']}")
    differences = []
    where = f"{name} [{case['test']}]"
    if got != wanted:
        differences.append(said(where, sorted(wanted), sorted(got)))
    for port in case["expected"]:
        for vip in set(port["loadBalancerVIPs"]) - set(port["externalIPs"]):
            ranges = [ipaddress.ip_network(text) for text in port["loadBalancerSourceRanges"]]
            for source in (str(ranges[0][1]), OUTSIDE[family]) if ranges else ():
                may = any(ipaddress.ip_address(source) in network for network in ranges)
                served = place("fd00:9::9" if family is Family.IPV6 else POD, 8080)
                end = ends_of(
                    objects, settings, family, (source, vip, port["number"], port["protocol"])
                )
                if end != [served if may else "dropped"]:
                    differences.append(
                        said(f"{where} {source}", [served, "dropped"][not may :], end)
                    )
    assert not unexplained("services", differences)


def _with_endpoints(services: list[Object], family: Family) -> list[Object]:
    """The Services with an endpoint each. The table has names such as ``testPort``, which the API
    server would refuse.
    """
    found = list(services)
    for item in services:
        item["metadata"]["name"] = item["metadata"]["name"].lower()
        ports = item["spec"].get("ports") or []
        for port in ports:
            port["name"] = (port.get("name") or "").lower()
        found.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": "IPv6" if family is Family.IPV6 else "IPv4",
                "metadata": {
                    "namespace": item["metadata"]["namespace"],
                    "name": f"{item['metadata']['name']}-1",
                    "labels": {"kubernetes.io/service-name": item["metadata"]["name"]},
                },
                "endpoints": [
                    {
                        "addresses": ["fd00:9::9" if family is Family.IPV6 else POD],
                        "nodeName": "n1",
                    }
                ],
                "ports": [
                    {
                        "name": p["name"],
                        "port": 8080,
                        "protocol": p.get("protocol") or "TCP",
                    }
                    for p in ports
                ],
            }
        )
    return found
