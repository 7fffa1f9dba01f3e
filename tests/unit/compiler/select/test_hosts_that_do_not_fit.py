"""Hosts written by hand: on a Node that is not there, without the port that a Service asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

import svcc.api

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: http}
  - {name: metrics, port: 9090, targetPort: 9090}
---
"""
NODES = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: rack-1}}
- {apiVersion: v1, kind: Node, metadata: {name: rack-2}}
---
"""
HOSTS = """apiVersion: svcc.io/v1
kind: HostList
metadata: {namespace: shop}
hosts:
- name: web-1
  ip: 192.0.2.11
  labels: {app: web}
  node: rack-1
  ports: [{name: http, port: 8080}]
"""


def told(folder: Path, *texts: str) -> list[str]:
    for number, text in enumerate(texts):
        (folder / f"{number}.yaml").write_text(text)
    return [
        f"{problem.position.line}:{problem.position.column}: {problem.severity}: {problem.message}"
        for problem in svcc.api.load(folder).problems
        if problem.position is not None
    ]


def test_hosts_that_fit(tmp_path: Path) -> None:
    assert told(tmp_path, SERVICE, HOSTS, NODES) == []


def test_without_nodes_nobody_knows_them(tmp_path: Path) -> None:
    assert told(tmp_path, SERVICE, HOSTS.replace("rack-1", "rack-9")) == []


def test_a_host_on_no_node(tmp_path: Path) -> None:
    assert told(tmp_path, SERVICE, HOSTS.replace("rack-1", "rack-9"), NODES) == [
        "8:9: warning: host shop/web-1: no Node rack-9 among the objects; there are rack-1, rack-2"
    ]


@pytest.mark.parametrize(
    ("written", "place", "there"),
    [
        ("{name: htp, port: 8080}", "9:10", "htp/TCP"),
        ("{name: http, port: 8080, protocol: UDP}", "9:10", "http/UDP"),
        ("{port: 8080}", "9:10", "none"),
    ],
)
def test_a_host_without_a_port(tmp_path: Path, written: str, place: str, there: str) -> None:
    hosts = HOSTS.replace("{name: http, port: 8080}", written)
    assert told(tmp_path, SERVICE, hosts) == [
        f"{place}: warning: host shop/web-1: it has no port http/TCP, to which port 80 of Service "
        f"shop/web leads, and gets nothing from there; its named ports: {there}"
    ]


def test_a_host_without_any_port(tmp_path: Path) -> None:
    hosts = HOSTS.replace("  ports: [{name: http, port: 8080}]\n", "")
    (found,) = told(tmp_path, SERVICE, hosts)
    assert found.startswith("5:3: warning: host shop/web-1: it has no port http/TCP")


@pytest.mark.parametrize(
    "change",
    [
        ("labels: {app: web}", "labels: {app: api}"),
        ("namespace: shop", "namespace: other"),
    ],
)
def test_a_host_that_is_not_selected_needs_no_port(tmp_path: Path, change: tuple[str, str]) -> None:
    assert told(tmp_path, SERVICE, HOSTS.replace("http", "htp").replace(*change)) == []


def test_a_service_with_slices_asks_no_host(tmp_path: Path) -> None:
    slices = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.11]}]
ports: [{name: http, port: 8080}]
"""
    assert told(tmp_path, SERVICE, HOSTS.replace("http", "htp"), slices) == []
