"""Rules are prepared in one place, and nobody's rules are changed by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.grammar.iptables.program import NatTarget, OtherTarget, SetMark
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.ipvs import ipvsadm
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.equivalence.compare import compare
from svcc.verify.explain import Explainer
from svcc.verify.other_variant import touching
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.prepare import prepare
from svcc.verify.rule_files import from_text
from tests.support.clusters.cases import case_objects
from tests.support.layouts.kube_proxy_frame import LAYOUTS
from tests.support.layouts.kube_proxy_layouts import written
from tests.support.proofs import verify

OURS = """\
*mangle
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff
-A PREROUTING -m connmark --mark 0x0 -j MARK --set-xmark 0x1/0x1
-A OUTPUT -j MARK --set-xmark 0x2/0x2
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 1 -j REDIRECT --to-ports 2
COMMIT
"""
SERVERS = """\
-A -t 192.168.9.9:6443 -s rr
-A -t 10.96.0.99:80 -s rr
"""


@pytest.fixture
def node() -> tuple[Objects, NodeSettings]:
    objects, settings = case_objects("node-port")
    networks = (parse_network("192.168.9.0/24"),)
    return objects, replace(settings, ipvs=replace(settings.ipvs, exclude_networks=networks))


def older(objects: Objects, settings: NodeSettings) -> RuleSet:
    """An older kube-proxy's rules without the kubelet's, with all that is ever rewritten."""
    layout = next(item for item in LAYOUTS if item.name == "1.23")
    text = written(layout, objects, settings, Family.IPV4)
    lines = [
        line
        for line in text.splitlines()
        if "KUBE-FIREWALL" not in line and not line.startswith("-A KUBE-MARK-DROP")
    ]
    nat = lines.index("*nat")
    first = next(i for i in range(nat + 1, len(lines)) if lines[i].startswith("-"))
    mangle, own_nat = OURS.split("*nat\n")
    rule = next(line for line in own_nat.splitlines() if line.startswith("-A"))
    lines.insert(first, rule)
    rules = from_text(mangle + "\n".join(lines) + "\n", Family.IPV4, "x").rules
    rules.ipvs = Ipvs(ipvsadm.parse(SERVERS, source="x"))
    return rules


def test_everything_is_rewritten_and_nothing_is_changed(
    node: tuple[Objects, NodeSettings],
) -> None:
    _, settings = node
    rules = older(*node)
    before = repr(rules)
    prepared = prepare(rules, settings)
    assert repr(rules) == before
    assert not prepared.endless
    tables = prepared.rules.tables
    assert "KUBE-FIREWALL" in tables["filter"]
    assert "KUBE-FIREWALL" not in rules.tables["filter"]
    assert tables["nat"]["KUBE-MARK-DROP"].rules
    restore, asked = tables["mangle"]["PREROUTING"].rules
    assert isinstance(restore.target, SetMark)
    assert not asked.matches
    redirects = [
        rule.target
        for rule in tables["nat"]["PREROUTING"].rules
        if isinstance(rule.target, NatTarget) and rule.target.name == "REDIRECT"
    ]
    own = settings.primary_address(Family.IPV4)
    assert own is not None
    assert [target.first_address for target in redirects] == [own.value]
    assert prepared.rules.ipvs is not None
    kept = [key.address for key in prepared.rules.ipvs.servers]
    assert kept == [parse_address("10.96.0.99").value]


def test_what_is_the_same_is_shared(node: tuple[Objects, NodeSettings]) -> None:
    _, settings = node
    rules = older(*node)
    prepared = prepare(rules, settings).rules
    same = [
        (table, name)
        for table, chains in rules.tables.items()
        for name, chain in chains.items()
        if prepared.tables[table][name] is chain
    ]
    changed = {(table, name) for table, chains in rules.tables.items() for name in chains} - set(
        same
    )
    assert changed == {
        ("mangle", "PREROUTING"), ("nat", "PREROUTING"), ("nat", "KUBE-MARK-DROP"),
        ("filter", "INPUT"), ("filter", "OUTPUT"),
    }  # fmt: skip
    again = prepare(prepared, settings).rules
    assert again.tables["mangle"] is prepared.tables["mangle"]


def test_rules_as_they_stand(node: tuple[Objects, NodeSettings]) -> None:
    _, settings = node
    rules = older(*node)
    prepared = prepare(rules, settings, as_they_stand=True).rules
    assert "KUBE-FIREWALL" not in prepared.tables["filter"]
    assert prepared.ipvs is not None
    assert rules.ipvs is not None
    assert prepared.ipvs.servers == rules.ipvs.servers
    restore = prepared.tables["mangle"]["PREROUTING"].rules[0]
    assert not isinstance(restore.target, OtherTarget)


def test_nobody_changes_the_rules_that_are_judged(node: tuple[Objects, NodeSettings]) -> None:
    objects, settings = node
    rules = older(objects, settings)
    before = repr(rules)
    loaded = {Family.IPV4: LoadedRules(rules, "x")}
    verify(objects, settings, loaded)
    explainer = Explainer(objects, settings, Family.IPV4, loaded[Family.IPV4])
    assert list(explainer.service("shop/web"))
    compare(objects, settings, loaded, loaded)
    touching(objects, settings, rules)
    assert repr(rules) == before
