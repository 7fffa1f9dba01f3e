"""Statements about addresses: which are meant, which lie outside, and where that is told."""

from __future__ import annotations

from pathlib import Path

import pytest

import svcc.api
from svcc.api import Finding
from svcc.verify.spec.properties import POLICY

SERVICES = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  clusterIPs: [10.96.0.10, "fd00:96::10"]
  clusterIP: 10.96.0.10
  externalIPs: [198.51.100.7]
  ports: [{port: 80, nodePort: 30080}]
status:
  loadBalancer:
    ingress: [{ip: 203.0.113.10}, {ip: 192.0.2.9}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{port: 80}]}
"""


def judged(statement: str, text: str = SERVICES) -> list[Finding]:
    objects = svcc.api.load(text=text)
    node = svcc.api.node_settings(objects, node="node-a")
    policies = svcc.api.read_policies(text={"p": statement})
    report = svcc.api.verify(objects, node, policies=policies, policies_only=True)
    return [finding for finding in report.findings if finding.property == POLICY]


@pytest.mark.parametrize(
    ("statement", "outside"),
    [
        ("loadbalancer shop/* inside 203.0.113.0/24, 192.0.2.0/24", []),
        ("loadbalancer shop/* inside 203.0.113.0/24", ["192.0.2.9"]),
        ("loadbalancer */web inside 10.0.0.0/8", ["203.0.113.10", "192.0.2.9"]),
        ("externalip shop/web inside 198.51.100.0/24", []),
        ("externalip shop/web inside 198.51.100.8/29", ["198.51.100.7"]),
        ("clusterip */* inside 10.96.0.0/16, fd00:96::/112", []),
        ("clusterip */* inside 10.97.0.0/16, fd00:96::/112", ["10.96.0.10"]),
        ("clusterip */* inside fd00:97::/112", ["fd00:96::10"]),
        ("service shop/web inside 10.0.0.0/8, 203.0.113.0/24", ["198.51.100.7", "192.0.2.9"]),
        ("any service inside 0.0.0.0/0", []),
        ("loadbalancer other/* inside 10.0.0.0/8 if any", []),
    ],
)
def test_addresses(statement: str, outside: list[str]) -> None:
    found = judged(statement)
    assert found
    wrong = [finding for finding in found if finding.verdict == "violated"]
    assert {finding.code for finding in wrong} <= {"SVC060"}
    assert [f.frontend for f in wrong] == [f"p:1: {statement}: {a} (shop/web)" for a in outside]
    assert all(f.verdict == "proved" for f in found if f not in wrong)


@pytest.mark.parametrize(
    "statement",
    ["loadbalancer other/* inside 10.0.0.0/8", "loadbalancer shop/web inside 2001:db8::/32"],
)
def test_a_range_of_nothing_is_an_error(statement: str) -> None:
    with pytest.raises(svcc.api.InputError, match="correct it, or write 'if any' behind it"):
        judged(statement)


def test_the_place(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml"
    path.write_text(SERVICES)
    objects = svcc.api.load(path)
    node = svcc.api.node_settings(objects, node="node-a")
    policies = svcc.api.read_policies(text="loadbalancer shop/* inside 203.0.113.0/24")
    text = svcc.api.verify(objects, node, policies=policies).to_text()
    assert "192.0.2.9 (shop/web) lies outside\n  " + f"{path}:12:14\n" in text


def test_simulated_addresses_are_not_judged() -> None:
    text = SERVICES.partition("status:")[0].replace("  type: LoadBalancer", "  type: LoadBalancer")
    objects = svcc.api.load(text=text, simulate=True)
    node = svcc.api.node_settings(objects, node="node-1", cluster_cidr="10.244.0.0/16")
    policies = svcc.api.read_policies(text="loadbalancer shop/* inside 203.0.113.0/24")
    assert svcc.api.verify(objects, node, policies=policies).verdict == "proved"
    asked = text.replace("spec:", "spec:\n  loadBalancerIP: 192.0.2.9")
    objects = svcc.api.load(text=asked, simulate=True)
    assert svcc.api.verify(objects, node, policies=policies).verdict == "violated"
