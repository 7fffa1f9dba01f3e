"""Ipvs mode: every behaviour case is proved; damage is in tests/unit/verify/test_damages.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from svcc.api.own_rules import read_back
from svcc.compiler.bundle import IPVSADM, render
from svcc.compiler.load.loader import load
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import parse_address, parse_network
from svcc.verify.rule_files import from_files
from tests.support.clusters.cases import case_names, case_objects
from tests.support.clusters.ipvs_cases import compiled_case
from tests.support.damage.ipvs_damage import judge
from tests.support.proofs import verify


@pytest.mark.parametrize("name", case_names())
def test_behaviour_case_is_proved(name: str) -> None:
    report = judge(name)
    assert report.verdict == "proved", report.to_text()


def test_virtual_servers_of_others_are_left_alone(tmp_path: Path) -> None:
    """One that nobody declared captures packets, unless excludeCIDRs says whose it is."""
    compiled = compiled_case("external-local")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for name, text in render(compiled).items():
        (bundle / name).write_text(text)
    foreign = "-A -t 192.168.7.10:6443 -s rr\n-a -t 192.168.7.10:6443 -r 10.9.9.9:6443 -m -w 1\n"
    (bundle / IPVSADM).write_text((bundle / IPVSADM).read_text() + foreign)
    objects, _ = case_objects("external-local")

    def verdict(settings: NodeSettings) -> str:
        return verify(objects, settings, from_files([str(bundle)], None)).verdict

    assert verdict(compiled.settings) == "violated"
    others = (parse_network("192.168.7.0/24"),)
    # Node ports have their virtual servers on the node's address, too.
    elsewhere = replace(
        compiled.settings,
        addresses=(parse_address("172.16.5.10"), *compiled.settings.addresses),
        ipvs=replace(compiled.settings.ipvs, exclude_networks=others),
    )
    for name, text in render(compile_objects(objects, elsewhere)).items():
        (bundle / name).write_text(text)
    (bundle / IPVSADM).write_text((bundle / IPVSADM).read_text() + foreign)
    assert verdict(elsewhere) == "proved"


HOST_NETWORK = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.24
  type: NodePort
  ports: [{port: 80, targetPort: 30080, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 30080}]
endpoints: [{addresses: [192.168.7.10], nodeName: node-a}, {addresses: [192.168.7.20]}]
"""


def test_a_backend_that_is_a_frontend_has_no_node_port_on_loopback(tmp_path: Path) -> None:
    """IPVS would translate what the rules for loopback have translated."""
    path = tmp_path / "objects.yaml"
    path.write_text(HOST_NETWORK)
    objects = load([str(path)])
    settings = NodeSettings(
        node_name="node-a", addresses=(parse_address("192.168.7.10"),), mode="ipvs"
    )
    compiled = compile_objects(objects, settings)
    assert "shop/web" in compiled.notes[-1]
    assert "not served on loopback" in compiled.notes[-1]
    report = verify(objects, settings, read_back(compiled))
    assert report.verdict == "proved", report.to_text()
