"""What a kube-proxy in ipvs mode writes for objects is proved, damage to any part is found."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from svcc.api.own_rules import read_back
from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_files
from svcc.verify.spec.codes import CUTS_OFF
from tests.support.clusters.cases import case_names, case_objects, read_case
from tests.support.layouts.kube_proxy_ipvs import is_of_cluster_policies, written
from tests.support.proofs import verify

ITS_OWN = {
    "balancer-address-that-is-its-backend",
    "external-ip-on-the-node",
    "source-ranges-everyone",
}
"""What it gets wrong or cannot load: an address that is its own backend, a node port on an
external IP, a range of prefix length 0."""


def judge(folder: Path, objects: Objects, settings: NodeSettings, texts: dict[str, str]) -> Report:
    for name, text in texts.items():
        (folder / name).write_text(text)
    rules = from_files([str(folder / name) for name in texts], None)
    return verify(objects, settings, rules)


def has_cluster_policies(name: str) -> bool:
    """Local policies are not written here."""
    specs = [document.get("spec", {}) for document in read_case(name).documents]
    policies = ("externalTrafficPolicy", "internalTrafficPolicy")
    return all(spec.get(policy) != "Local" for spec in specs for policy in policies)


CASES = [name for name in case_names() if name not in ITS_OWN and has_cluster_policies(name)]


@pytest.mark.parametrize("name", CASES)
def test_behaviour_case_is_proved(name: str, tmp_path: Path) -> None:
    objects, settings = case_objects(name)
    assert is_of_cluster_policies(objects)
    settings = replace(settings, mode="ipvs")
    report = judge(tmp_path, objects, settings, written(objects, settings).files())
    assert report.verdict == "proved", report.to_text()


DAMAGE = (
    ("cluster-ip", "ipvsadm.txt", r"10.244.2.7:8080", "10.244.2.8:8080"),
    ("cluster-ip", "ipvsadm.txt", r"-a .* -r 10.244.2.7:8080 .*\n", ""),
    ("cluster-ip", "ipvsadm.txt", r"-m -w 1\n", "-m -w 0\n"),
    ("cluster-ip", "ipset.txt", r"add KUBE-CLUSTER-IP .*\n", ""),
    ("cluster-ip", "ipset.txt", r"add KUBE-LOOP-BACK .*\n", ""),
    ("cluster-ip", "addresses.txt", r"address add 10.96.0.10.*\n", ""),
    ("cluster-ip", "iptables.txt", r"! -s 10.244.0.0/16", "-s 10.244.0.0/16"),
    ("cluster-ip", "iptables.txt", r"-A KUBE-POSTROUTING -j MASQUERADE.*\n", ""),
    ("cluster-ip", "iptables.txt", r"-A KUBE-MARK-MASQ .*\n", ""),
    ("cluster-ip", "iptables.txt", r"(-A INPUT -j KUBE-IPVS-FILTER)", r"-A INPUT -j DROP\n\1"),
    ("cluster-ip", "iptables.txt", r"-A KUBE-FORWARD .*ESTABLISHED .*\n", ""),
    ("cluster-ip", "iptables.txt", r"-A KUBE-IPVS-FILTER .*CLUSTER-IP.*\n", ""),
    ("affinity", "ipvsadm.txt", r" -p \d+", " -p 7"),
    ("affinity", "ipvsadm.txt", r" -p \d+", ""),
    ("external-ips", "ipset.txt", r"add KUBE-EXTERNAL-IP .*\n", ""),
    ("load-balancer", "ipset.txt", r"add KUBE-LOAD-BALANCER .*\n", ""),
    ("load-balancer", "iptables.txt", r"-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ\n", ""),
    ("node-port", "ipset.txt", r"add KUBE-NODE-PORT-TCP .*\n", ""),
    ("node-port", "iptables.txt", r"-A KUBE-SERVICES .*KUBE-NODE-PORT\n", ""),
    ("node-port", "ipvsadm.txt", r"(-A -t 192.168.7.10:30080 .*\n)(-a .*\n)+", ""),
    ("source-ranges", "ipset.txt", r"add KUBE-LOAD-BALANCER-FW .*\n", ""),
    ("source-ranges", "ipset.txt", r"add KUBE-LOAD-BALANCER-SOURCE-CIDR .*\n", ""),
    ("source-ranges", "iptables.txt", r"-A KUBE-SOURCE-RANGES-FIREWALL -j DROP\n", ""),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda d: f"{d[0]} {d[1]} {d[2]} {d[3]}".strip())
def test_damage_is_found(damage: tuple[str, str, str, str], tmp_path: Path) -> None:
    name, file, pattern, replacement = damage
    objects, settings = case_objects(name)
    settings = replace(settings, mode="ipvs")
    texts = written(objects, settings).files()
    damaged = re.sub(pattern, replacement, texts[file], count=1)
    assert damaged != texts[file]
    report = judge(tmp_path, objects, settings, {**texts, file: damaged})
    assert report.verdict == "violated", report.to_text()
    assert "internal error" not in report.to_text()


ANOTHER_NODE = """
apiVersion: v1
kind: Node
metadata: {name: node-a}
status: {addresses: [{type: InternalIP, address: 192.168.7.10}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-b}
status: {addresses: [{type: InternalIP, address: 192.168.7.20}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.10, externalIPs: [EXTERNAL], ports: [{port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: shop}
subsets: [{addresses: [{ip: 192.168.7.30}], ports: [{port: 80}]}]
"""


@pytest.mark.parametrize(
    ("address", "whose"),
    [
        ("192.168.7.20", "Node node-b"),
        ("192.168.7.30", "an endpoint of shop/web"),
        ("192.0.2.1", ""),
    ],
)
def test_a_virtual_ip_that_cuts_a_host_off_is_told(
    address: str, whose: str, tmp_path: Path
) -> None:
    """kubernetes#127410: kube-proxy binds it; svcc does not, and serves it all the same."""
    path = tmp_path / "objects.yaml"
    path.write_text(ANOTHER_NODE.replace("EXTERNAL", address))
    objects = load([str(path)])
    pods = PodDetection({Family.IPV4: parse_network("10.244.0.0/16")})
    own = (parse_address("192.168.7.10"),)
    settings = NodeSettings(node_name="node-a", addresses=own, mode="ipvs", pods=pods)
    report = judge(tmp_path, objects, settings, written(objects, settings).files())
    told = [f for f in report.findings if f.code == CUTS_OFF]
    assert [f.reason for f in told] == (
        [f"it is the address of {whose}, which this node can no longer reach"] if whose else []
    )
    compiled = compile_objects(objects, settings)
    assert compiled.ipvs is not None
    bound = compiled.ipvs.addresses[Family.IPV4]
    assert (parse_address(address).value in bound) == (not whose)
    assert any(whose in note and "shop/web" in note for note in compiled.notes) == bool(whose)
    own_report = verify(objects, settings, read_back(compiled))
    assert own_report.verdict == "proved", own_report.to_text()
