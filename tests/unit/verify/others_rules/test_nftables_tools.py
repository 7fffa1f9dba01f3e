"""Other tools' tables of nftables beside the service tables: what is theirs is left to them, and
what they take from Services is told.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest

from svcc.compiler.bundle import NFTABLES, render
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_text, of_nftables
from tests.kube_proxy.dumps import real_objects, real_settings, real_text
from tests.paths import DATA
from tests.support.clusters.beside import tool
from tests.support.clusters.dumps import dump_objects, dump_settings
from tests.support.proofs import verify

pytestmark = pytest.mark.slow

TOOLS = sorted(path.stem for path in (DATA / "foreign-nftables").glob("*.nft"))
CASES = ("nodeport", "lb-source-ranges", "etp-local-with-local", "affinity-clientip")
OF_KUBE_PROXY = ("clusterip-3ep", "affinity-clientip", "external-ips", "nodeport")


def of_tool(name: str) -> str:
    return (DATA / "foreign-nftables" / f"{name}.nft").read_text()


@cache
def own(name: str) -> tuple[Objects, NodeSettings, str]:
    """Objects, and svcc's own tables of them."""
    objects = dump_objects(name)
    settings = replace(dump_settings(name), mode="nftables")
    text = render(compile_objects(objects, settings))[NFTABLES]
    return objects, settings, text[text.index("table ip svcc {") :]


def beside(name: str, others: str) -> Report:
    objects, settings, text = own(name)
    return verify(objects, settings, of_nftables(text + others, "ruleset"))


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("case", CASES)
def test_own_tables_are_right_beside_them(case: str, name: str) -> None:
    report = beside(case, of_tool(name))
    assert report.verdict == "proved", report.to_text()


@pytest.mark.parametrize("name", TOOLS)
@pytest.mark.parametrize("case", OF_KUBE_PROXY)
def test_kube_proxy_is_right_beside_them(case: str, name: str) -> None:
    text = real_text(case, "nft.txt") + of_tool(name)
    report = verify(real_objects(case), real_settings(case), of_nftables(text, "ruleset"))
    assert report.verdict == "proved", report.to_text()


KUBELET = """\
*mangle
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate DNAT -j DROP
COMMIT
"""
"""What the kubelet loads on every node."""


@pytest.mark.parametrize("name", ["kubelet", "kube-router", "docker", "ufw"])
def test_tables_are_right_beside_rules_of_iptables(name: str) -> None:
    rules = KUBELET if name == "kubelet" else tool(name)
    beside = {Family.IPV4: from_text(rules, Family.IPV4, "iptables-save")}
    real = real_objects("clusterip-3ep"), real_settings("clusterip-3ep")
    written = (*real, real_text("clusterip-3ep", "nft.txt"))
    for objects, settings, text in (own("nodeport"), written):
        report = verify(objects, settings, of_nftables(text, "ruleset", beside=beside))
        assert report.verdict == "proved", report.to_text()


DAMAGE = {
    "a firewall refuses what was translated": (
        "firewalld", r"(chain filter_FORWARD \{\n.*\n.*\n)\t\tct status dnat accept\n", r"\1"),
    "a firewall refuses it where packets come in": (
        "firewalld", r"(chain filter_PREROUTING \{\n.*\n)",
        r"\1\t\tip daddr 10.244.2.7 reject with icmpx admin-prohibited\n"),
    "a firewall drops a backend where packets come in": (
        "firewalld", r"(chain filter_PREROUTING \{\n.*\n)", r"\1\t\tip daddr 10.244.2.7 drop\n"),
    "a firewall's policy drops": (
        "firewalld", r"(hook prerouting priority filter \+ 10; policy) accept", r"\1 drop"),
    "Docker drops a cluster IP": (
        "docker", r"ip daddr 172\.17\.0\.2 iifname != \"docker0\" (.*) drop",
        r"ip daddr 10.96.0.11 \1 drop"),
    "Docker translates a cluster IP": (
        "docker", r"fib daddr type local (counter .*) jump nat-prerouting-and-output\n\t\}\n\n\t"
        r"chain nat-prerouting-and-output \{\n",
        r"\1 jump nat-prerouting-and-output\n\t}\n\n\tchain nat-prerouting-and-output {\n"
        r"\t\tip daddr 10.96.0.11 dnat to 172.17.0.2\n"),
    "Calico drops a backend": (
        "calico", r"(chain filter-FORWARD \{\n.*\n)", r"\1\t\tip daddr 10.244.2.7 drop\n"),
}  # fmt: skip


NODE_PORT_DAMAGE = {
    "node ports on every local address": (
        r"\t\tip daddr @nodeport-ips (meta l4proto . th dport vmap @service-nodeports)",
        r"\t\tfib daddr type local \1"),
    "another address is refused the port": (
        r"(chain nodeport-endpoints-check \{\n)(\t\tip daddr)",
        r"\1\t\tip daddr 198.51.100.2 tcp dport 30080 reject\n\2"),
    "another address's packets are marked": (
        r"(chain services \{\n)(\t\tip daddr)",
        r"\1\t\tip daddr 198.51.100.2 tcp dport 30080 meta mark set meta mark | 0x4000\n\2"),
    "a firewall refuses what was translated": (
        r"(chain filter_FORWARD \{\n.*\n.*\n)\t\tct status dnat accept\n", r"\1"),
    "a firewall drops a backend": (
        r"(chain filter_FORWARD \{\n.*\n)", r"\1\t\tip daddr 10.244.1.5 drop\n"),
}  # fmt: skip


@pytest.mark.parametrize("damage", NODE_PORT_DAMAGE)
def test_what_is_wrong_with_node_ports_beside_a_firewall_is_told(damage: str) -> None:
    """The firewall refuses the port on addresses that have no node ports, as any other port."""
    pattern, by = NODE_PORT_DAMAGE[damage]
    text, count = re.subn(pattern, by, real_text("nodeport", "nft.txt") + of_tool("firewalld"))
    assert count
    rules = of_nftables(text, "ruleset")
    report = verify(real_objects("nodeport"), real_settings("nodeport"), rules)
    found = [f for f in report.findings if f.verdict == "violated"]
    assert any(f.frontend.startswith("node port") for f in found), report.to_text()


UNDECIDED = {
    # A refusal there stands before what the routing drops.
    "a firewall refuses it where packets come in": "undecided",
    # Nobody can see which of two tables at one priority was registered first.
    "Docker translates a cluster IP": "undecided",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_they_take_from_services_is_told(damage: str) -> None:
    name, pattern, by = DAMAGE[damage]
    text, count = re.subn(pattern, by, of_tool(name))
    assert count
    report = beside("nodeport", text)
    wanted = UNDECIDED.get(damage, "violated")
    assert report.verdict == wanted, report.to_text()
    if wanted == "violated":
        found = [f for f in report.findings if f.verdict == "violated"]
        assert any(f.counterexample is not None for f in found)
