"""Each kind of statement is proved, and refuted with a packet; damage turns verdicts round."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

import pytest

from svcc.compiler.bundle import script
from svcc.compiler.load.loader import load as load_objects
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.configuration import Overrides, load_configuration, node_settings
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_network
from svcc.grammar.errors import InputError
from svcc.grammar.iptables.parse import parse as parse_rules
from svcc.grammar.iptables.ruleset import load
from svcc.grammar.iptables.write import write_rule
from svcc.grammar.policy import Placed, parse
from svcc.verify.confirm.findings import Finding
from svcc.verify.policy.claims import check
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.proof.prover import Prover
from svcc.verify.spec.properties import POLICY
from tests.paths import ROOT
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.proofs import verify

SHOP = ROOT / "examples" / "shop"
FIREWALL = (
    "*raw\n-A PREROUTING -s 198.51.100.0/24 -j DROP\n"
    "-A PREROUTING ! -s 10.244.0.0/16 -d 10.96.0.0/16 -j DROP\nCOMMIT\n"
)


@lru_cache(maxsize=1)
def shop() -> tuple[Objects, NodeSettings]:
    objects = load_objects([str(SHOP)])
    configuration = load_configuration(str(SHOP / "config.yaml"))
    node, _ = node_settings(objects, configuration, Overrides(), Overrides(), hostname="node-a")
    return objects, node


def own_text(node: NodeSettings) -> str:
    return script(compile_objects(shop()[0], node), Family.IPV4)


def verdicts(
    text: str, objects: Objects, node: NodeSettings, statements: list[Placed]
) -> list[Finding]:
    check(statements, objects, [node])
    rules = load(parse_rules(text, family=Family.IPV4, source="x"))
    report = verify(objects, node, {Family.IPV4: LoadedRules(rules, "x")}, policies=statements)
    return [finding for finding in report.findings if finding.property == POLICY]


def one(text: str, statement: str, node: NodeSettings | None = None) -> Finding:
    """The verdict on one statement on the shop."""
    node = shop()[1] if node is None else node
    (found,) = verdicts(text, shop()[0], node, parse(statement, source="p").statements)
    return found


def confirmed(finding: Finding) -> str:
    """What a violation shows."""
    assert finding.verdict == "violated", finding
    assert finding.counterexample is not None
    assert finding.counterexample.trace
    return f"{finding.counterexample.packet}; {finding.counterexample.got}"


OWN = [
    ("never external -> service shop/api", "198.51.100.1:40000 -> 10.96.10.2:80 from"),
    ("never 198.51.100.9 -> service shop/api", "198.51.100.9:40000 -> 10.96.10.2:80 from"),
    ("never anyone -> service shop/returns", ""),
    ("never external -> loadbalancer shop/checkout", "198.51.100.1:40000 -> 203.0.113.11:443"),
    ("never 203.0.113.64/26 -> loadbalancer shop/checkout", ""),
    # kube-proxy lets a balancer's own address pass its source ranges.
    ("never 203.0.113.11 -> loadbalancer shop/checkout", "203.0.113.11:40000 -> 203.0.113.11"),
    ("never external -> nodeport shop/search", ""),
    ("never pod -> nodeport 30090", "10.244.0.1:40000 -> "),
    ("never node -> nodeport 30090/udp if any", None),
    ("never anyone -> address 203.0.113.20:80/tcp", "-> 203.0.113.20:80"),
    ("never external -> address 192.168.7.10:30080", "-> 192.168.7.10:30080"),
    ("never external -> address 192.168.7.10:30090", ""),
    ("only pod, node -> clusterip shop/api", "198.51.100.1:40000"),
    ("only anyone -> any service", ""),
    ("never 192.168.7.10 -> clusterip shop/web", "from the node itself"),
    ("never 192.168.7.8/29, pod -> clusterip shop/returns", ""),
    (
        "only 198.51.100.0/24, 192.168.7.0/24, 203.0.113.11 -> loadbalancer shop/checkout",
        "",
    ),
    (
        "only 198.51.100.0/25, 192.168.7.0/24, 203.0.113.11 -> loadbalancer shop/checkout",
        "198.51.100.",
    ),
    ("only not external -> nodeport shop/search", ""),
    ("only pod -> nodeport shop/search", "from the node itself"),
    ("always anyone -> service shop/web", ""),
    ("always pod -> clusterip shop/returns", "rejected"),
    ("always external -> loadbalancer shop/checkout", "dropped"),
    ("always 198.51.100.0/24 -> loadbalancer shop/checkout", ""),
    ("always external -> nodeport shop/web", ""),
    ("always external -> nodeport shop/web:443", ""),
    ("always external -> nodeport shop/search", "dropped"),
    ("always pod -> service shop/web via >= 3 backends", ""),
    ("always pod -> service shop/web via >= 4 backends", "10.96.10.1:"),
    ("always external -> nodeport shop/checkout via >= 2 backends", "-> 192.168.7.10:30444"),
    ("always pod -> nodeport shop/checkout via >= 2 backends", ""),
    ("always pod -> clusterip shop/cart via >= 2 backends", ""),
    ("always pod -> clusterip shop/cart via >= 3 backends", "10.96.10.3:80"),
    ("always pod -> clusterip shop/w* via only 10.244.0.0/16", ""),
    ("always pod -> clusterip shop/w* via only 10.244.1.0/24, 10.244.2.0/24", "10.244.3.10"),
    ("always pod -> clusterip shop/web with source kept", ""),
    ("always external -> clusterip shop/web with source kept", "sent to 10.244.1.10:8080, masq"),
    ("always external -> clusterip shop/web with source masqueraded", ""),
    ("always pod -> clusterip shop/web with source masqueraded", "not masqueraded"),
]


@pytest.mark.parametrize(("statement", "shown"), OWN)
def test_on_our_own_rules(statement: str, shown: str | None) -> None:
    objects, node = shop()
    found = verdicts(own_text(node), objects, node, parse(statement, source="p").statements)
    if shown is None:
        assert found == []
        return
    (finding,) = found
    assert finding.frontend == f"p:1: {statement}"
    if shown:
        assert shown in confirmed(finding)
    else:
        assert finding.verdict == "proved", finding


KUBE_PROXY = [
    ("lb-source-ranges", "only 203.0.113.0/24, 198.51.100.7 -> loadbalancer */*", ""),
    ("lb-source-ranges", "only 203.0.113.0/24 -> loadbalancer */*", "198.51.100.7:40000"),
    ("lb-source-ranges", "never pod -> address 192.0.2.80", ""),
    ("lb-source-ranges", "always 203.0.113.0/24 -> service shop/web via >= 3 backends", ""),
    ("lb-source-ranges", "always external -> service shop/web", "dropped"),
    ("nodeport", "always external -> nodeport 30080/tcp via only 10.244.0.0/16", ""),
    ("nodeport", "always external -> nodeport shop/web:80 with source masqueraded", ""),
    ("nodeport", "never external -> nodeport shop/web:http", "-> 192.168.7.10:30080"),
    ("etp-local-with-local", "always external -> nodeport */* with source kept", ""),
    ("etp-local-with-local", "always external -> nodeport */* via >= 2 backends", "only 10.244."),
    ("etp-local-without-local", "never external -> nodeport */*", ""),
    ("no-endpoints", "never anyone -> any service", ""),
    ("affinity-clientip", "always pod -> any service via >= 3 backends", ""),
    ("affinity-clientip", "always pod -> any service via >= 4 backends", "can be reached"),
    ("masquerade-all", "always pod -> clusterip */* with source kept", ", masqueraded"),
    ("external-ips", "always external -> externalip */*", ""),
]


def dump_text(name: str) -> str:
    return (DUMPS / name / "iptables-save.txt").read_text()


@pytest.mark.parametrize(("dump", "statement", "shown"), KUBE_PROXY)
def test_on_what_a_kube_proxy_wrote(dump: str, statement: str, shown: str) -> None:
    found = verdicts(
        dump_text(dump),
        dump_objects(dump),
        dump_settings(dump),
        parse(statement, source="p").statements,
    )
    (finding,) = found
    if shown:
        assert shown in confirmed(finding)
    else:
        assert finding.verdict == "proved", finding


@pytest.mark.parametrize(
    ("dump", "statement", "old", "new"),
    [
        (
            "lb-source-ranges",
            "only 203.0.113.0/24, 198.51.100.7 -> loadbalancer */*",
            r"-A KUBE-FW-67NZLRHBNDSAWJRO -s 203.0.113.0/24",
            "-A KUBE-FW-67NZLRHBNDSAWJRO -s 203.0.112.0/23",
        ),
        (
            "etp-local-without-local",
            "never external -> nodeport */*",
            r"(?m)^-A KUBE-EXT-.* --src-type LOCAL -j KUBE-SVC",
            "-A KUBE-EXT-M6LC6DVNLFAXE3BZ -j KUBE-SVC",
        ),
        (
            "nodeport",
            "always external -> nodeport shop/web via >= 3 backends",
            "--probability 0.33333333349",
            "--probability 0.00000000000",
        ),
        (
            "nodeport",
            "always pod -> any service via only 10.244.0.0/16",
            "--to-destination 10.244.3.9:8080",
            "--to-destination 10.9.3.9:8080",
        ),
        (
            "nodeport",
            "always external -> nodeport */* via >= 2 backends",
            r":FORWARD ACCEPT (.*)\n",
            r":FORWARD ACCEPT \1" "\n-A FORWARD -d 10.244.3.0/24 -j DROP\n",
        ),
    ],
)
def test_damage_turns_the_verdict_round(dump: str, statement: str, old: str, new: str) -> None:
    text = dump_text(dump)
    if dump == "etp-local-without-local":
        chain = re.search(r"KUBE-EXT-\w+", text)
        assert chain
        new = new.replace("KUBE-EXT-M6LC6DVNLFAXE3BZ", chain[0])
    damaged = re.sub(old, new, text, count=1)
    assert damaged != text
    objects, node = dump_objects(dump), dump_settings(dump)
    policy = parse(statement, source="p").statements
    assert [f.verdict for f in verdicts(text, objects, node, policy)] == ["proved"]
    (found,) = verdicts(damaged, objects, node, policy)
    confirmed(found)


@pytest.mark.parametrize(
    ("statement", "verdict"),
    [
        ("never external -> clusterip */*", "proved"),
        ("never 198.51.100.0/24 -> any service", "proved"),
        ("never external -> any service", "violated"),
        ("always pod -> service shop/web", "proved"),
    ],
)
def test_rules_of_others_count(statement: str, verdict: str) -> None:
    assert one(FIREWALL + own_text(shop()[1]), statement).verdict == verdict


def test_what_is_outside_the_model_is_undecided() -> None:
    limit = "*filter\n-A FORWARD -m limit --limit 3/min -j DROP\nCOMMIT\n"
    text = limit + own_text(shop()[1])
    found = one(text, "always pod -> service shop/web")
    assert found.verdict == "undecided"
    assert found.reason.startswith("at 10.96.10.1:80/TCP (shop/web:http): ")
    assert found.reason.endswith("outside the model")
    (rule,) = found.rules
    assert write_rule(rule, Family.IPV4) == "-A FORWARD -m limit --limit 3/min -j DROP"
    assert rule.line == 2
    assert one(text, "never external -> nodeport shop/search").verdict == "proved"


def test_several_frontends_are_named() -> None:
    found = one(own_text(shop()[1]), "never external -> clusterip */*")
    assert found.reason.startswith("at 10.96.10.1:80/TCP (shop/web:http); also at ")
    assert found.reason.count("10.96.10.") == 5
    assert found.reason.endswith("; no more were looked for")


def test_pods_by_interface() -> None:
    node = replace(shop()[1], pods=PodDetection(in_interface="veth+"))
    text = own_text(node)
    assert one(text, "always pod -> clusterip shop/web with source kept", node).verdict == "proved"
    shown = confirmed(one(text, "never pod -> service shop/web", node))
    assert "from veth0" in shown
    found = one(text, "always external -> clusterip shop/web with source kept", node)
    assert "from eth0" in confirmed(found)


def test_node_ports_on_some_addresses() -> None:
    networks = (parse_network("192.168.7.0/24"),)
    node = replace(shop()[1], node_port_networks=networks)
    text = own_text(node)
    assert one(text, "always external -> nodeport shop/web", node).verdict == "proved"
    assert one(text, "never external -> address 192.168.7.10:30090", node).verdict == "proved"


def test_families() -> None:
    objects, node = shop()
    compiled = compile_objects(objects, node)
    loaded = {
        family: LoadedRules(
            load(parse_rules(script(compiled, family), family=family, source="x")), "x"
        )
        for family in Family
    }
    policy = parse(
        "always pod -> clusterip shop/catalog\nalways fd00:244::/32 -> clusterip shop/catalog\n"
        "only 10.0.0.0/8 -> clusterip shop/catalog\n",
        source="p",
    ).statements
    check(policy, objects, [node])
    report = verify(objects, node, loaded, policies=policy)
    found = [
        (f.frontend[2], f.family.label, f.verdict) for f in report.findings if f.property == POLICY
    ]
    assert sorted(found) == [
        ("1", "ipv4", "proved"),
        ("1", "ipv6", "proved"),
        ("2", "ipv6", "proved"),
        ("3", "ipv4", "violated"),
    ]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("never pod -> service shop/wev", "p:1:1: error: service shop/wev is no frontend of these"),
        ("never pod -> service shop/database", "p:1:1: error: service shop/database is no"),
        ("never pod -> nodeport 30081", "p:1:1: error: nodeport 30081 is no frontend"),
        ("never pod -> nodeport shop/web:8080", "p:1:1: error: nodeport shop/web:8080 is no"),
        ("never fd00::/8 -> address 10.96.10.1", "p:1:1: error: its addresses are not all of one"),
        ("never fd00::/8 -> service shop/web", "p:1:1: error: service shop/web is no frontend"),
    ],
)
def test_statements_about_nothing_are_errors(statement: str, message: str) -> None:
    objects, node = shop()
    with pytest.raises(InputError) as caught:
        check(parse(statement, source="p").statements, objects, [node])
    assert str(caught.value).startswith(message)


def test_pods_that_cannot_be_told_are_an_error() -> None:
    objects, node = shop()
    blind = replace(node, pods=PodDetection())
    with pytest.raises(InputError, match="packets of pods cannot be told on node node-a; give"):
        check(parse("never external -> service shop/web", source="p").statements, objects, [blind])
    check(parse("never not node -> service shop/web", source="p").statements, objects, [blind])


def test_proofs_are_shared() -> None:
    objects, node = shop()
    rules = load(parse_rules(own_text(node), family=Family.IPV4, source="x"))
    policy = parse("always anyone -> clusterip shop/w* via >= 2 backends", source="p").statements
    prover = Prover()
    loaded = {Family.IPV4: LoadedRules(rules, "x")}
    verify(objects, node, loaded, prover=prover, policies=policy)
    before = prover.statistics.solver_calls
    assert prover.settled
    verify(objects, node, loaded, prover=prover, policies=policy)
    without = Prover()
    verify(objects, node, loaded, prover=without)
    again = without.statistics.solver_calls
    verify(objects, node, loaded, prover=without)
    assert prover.statistics.solver_calls - before == without.statistics.solver_calls - again
