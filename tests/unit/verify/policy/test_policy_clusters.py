"""Verdicts on statements agree with packets sent through the simulator, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from svcc.api.own_rules import read_back
from svcc.compiler.bundle import script
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.grammar.errors import InputError, Position
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import RuleSet, load
from svcc.grammar.policy import (
    AddressTarget,
    AnyTarget,
    NodePortTarget,
    Placed,
    Sender,
    ServiceTarget,
    SourceWord,
    Statement,
    Target,
)
from svcc.verify.policy.claims import check
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.packet import Packet, World
from svcc.verify.spec.properties import ENDS, POLICY
from tests.support.clusters.objects import Cluster, clusters
from tests.support.damage.edits import HOST_DROPS, RULE_CHANGES, with_a_rule_changed
from tests.support.effort import examples
from tests.support.kernel.probes import frontends
from tests.support.proofs import verify
from tests.support.readings.policy_reading import holds, meant, of_family, sends

pytestmark = pytest.mark.slow

_SOURCE_WORDS: tuple[SourceWord, ...] = ("", "", "kept", "masqueraded")
_WORDS = ("anyone", "external", "pod", "node")
_NETWORKS = (
    *("203.0.113.0/24", "203.0.113.7/32", "10.244.0.0/16", "10.244.1.0/24", "10.0.0.0/8"),
    *("192.168.7.0/24", "0.0.0.0/0", "2001:db8::/64", "fd00:244::/32", "fd00:7::/64"),
)
_SOURCES = {
    Family.IPV4: ("10.244.1.77", "10.244.1.5", "10.244.2.77", "203.0.113.7", "192.168.7.99"),
    Family.IPV6: ("fd00:244:1::77", "fd00:244:1::5", "fd00:244:2::77", "2001:db8::7"),
}
_OWN = {
    Family.IPV4: ("192.168.7.10", "172.16.5.10", "10.244.1.1"),
    Family.IPV6: ("fd00:7::10", "fd00:16:5::10", "fd00:244:1::1"),
}
_LOCAL = {parse_address(a).value for own in _OWN.values() for a in own} | {1}
_TARGETS: tuple[Target, ...] = (
    *(AnyTarget(), ServiceTarget("service", "*", "*"), ServiceTarget("service", "a", "web-*")),
    *(ServiceTarget("service", "*", "web-0", port) for port in ("80", "http", "dns")),
    *(ServiceTarget(kind, "*", "*") for kind in ("clusterip", "externalip", "loadbalancer")),
    *(ServiceTarget("nodeport", "*", "*"), ServiceTarget("nodeport", "*", "web-1", "80")),
    *(NodePortTarget(30000), NodePortTarget(30001, 6)),
    AddressTarget(parse_address("198.51.100.20")),
    AddressTarget(parse_address("192.168.7.10"), 30000),
    AddressTarget(parse_address("fd00:7::10")),
)
_NETWORK = st.sampled_from(_NETWORKS).map(parse_network)
_SENDER = st.one_of(
    st.sampled_from([Sender(word) for word in _WORDS]),
    st.sampled_from([Sender(word, True) for word in _WORDS[1:]]),
    st.builds(Sender, _NETWORK, st.booleans()),
)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    senders = tuple(draw(st.lists(_SENDER, min_size=1, max_size=3)))
    target = draw(st.sampled_from(_TARGETS))
    if draw(st.booleans()):
        if draw(st.booleans()):
            return Statement(verb="never", senders=senders, target=target, if_any=True)
        return Statement(verb="only", senders=senders, target=target, if_any=True)
    inside = tuple(draw(st.lists(_NETWORK, max_size=2))) if draw(st.booleans()) else ()
    source: SourceWord = draw(st.sampled_from(_SOURCE_WORDS))
    at_least = draw(st.sampled_from((0, 0, 1, 2, 3)))
    return Statement(
        verb="always",
        senders=senders,
        target=target,
        at_least=at_least,
        inside=inside,
        source=source,
        if_any=True,
    )


def packets(objects: Objects, family: Family) -> Iterator[Packet]:
    """Packets of every kind of sender to every frontend."""
    for text, port, protocol in set(frontends(objects)):
        address = parse_address(text)
        if address.family is not family:
            continue
        for source in _SOURCES[family]:
            for wire in ("ext0", "pod0"):
                yield Packet(
                    family,
                    False,
                    parse_address(source).value,
                    40000,
                    address.value,
                    port,
                    protocol,
                    wire,
                )
        for source in _OWN[family]:
            value = parse_address(source).value
            yield Packet(family, True, value, 40000, address.value, port, protocol)


def is_local(address: int) -> bool:
    return address in _LOCAL or address >> 24 == 127


def complaint_about(item: Placed, objects: Objects, node: NodeSettings) -> str:
    try:
        check([item], objects, [node])
    except InputError as error:
        return str(error)
    return ""


def compare(
    objects: Objects,
    node: NodeSettings,
    rules: RuleSet,
    wanted: list[Statement],
    virtual: frozenset[int] = frozenset(),
) -> dict[str, int]:
    """Check the verdicts on statements; how many there are of each."""
    family = rules.family
    placed = [Placed(item, Position("p", n, 1)) for n, item in enumerate(wanted, 1)]
    kept = []
    for item in placed:
        complaint = complaint_about(item, objects, node)
        told = node.pods.in_interface or len(node.pods.networks) == 2
        assert not complaint or "IP version" in complaint or not told
        if not complaint:
            kept.append(item)
    report = verify(objects, node, {family: LoadedRules(rules, "x")}, policies=kept)
    if any(f.property == ENDS and f.verdict == "violated" for f in report.findings):
        return {}
    found = {f.frontend: f for f in report.findings if f.property == POLICY}
    world = World(lambda address: is_local(address) or address in virtual)
    sent = [(packet, distribution(rules, packet, world)) for packet in packets(objects, family)]
    counts: dict[str, int] = {}
    for item in kept:
        statement = item.statement
        of = [
            (packet, outcomes)
            for packet, outcomes in sent
            if of_family(statement, family)
            and meant(statement, objects, packet, node, is_local(packet.destination))
            and packet.source not in virtual
        ]
        if str(item) not in found:
            assert not of, f"{item}: no finding, but {of[0][0]}"
            continue
        finding = found[str(item)]
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
        assert finding.verdict != "undecided", finding
        wrong = [packet for packet, outcomes in of if not holds(statement, packet, node, outcomes)]
        if finding.verdict == "proved":
            assert not wrong, f"{item}: proved, but {wrong[0]}"
        else:
            assert finding.counterexample is not None
            packet = finding.counterexample.packet
            listed = any(
                sends(statement.verb, sender, packet, node) for sender in statement.senders
            )
            assert listed == (statement.verb != "only"), finding
            local = True if statement.verb != "always" else is_local(packet.destination)
            local = local or finding.reason.startswith("at node port")
            assert meant(statement, objects, packet, node, local), finding
    return counts


def read(text: str, family: Family) -> RuleSet:
    return load(parse(text, family=family, source="x"))


_SETTINGS = examples(15, 500)


@_SETTINGS
@given(
    cluster=clusters(most_services=3),
    family=st.sampled_from(Family),
    wanted=st.lists(statements(), min_size=4, max_size=8),
)
def test_right_rules(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    family: Family,
    wanted: list[Statement],
) -> None:
    objects, node = cluster.load(tmp_path_factory.mktemp("cluster"))
    rules = read(script(compile_objects(objects, node), family), family)
    for verdict, count in compare(objects, node, rules, wanted).items():
        event(f"{verdict}: {count}")


@_SETTINGS
@given(
    cluster=clusters(most_services=2),
    family=st.sampled_from(Family),
    number=st.integers(0, 10_000),
    change=st.sampled_from((*RULE_CHANGES, *HOST_DROPS)),
    wanted=st.lists(statements(), min_size=4, max_size=8),
)
def test_damaged_rules(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    family: Family,
    number: int,
    change: tuple[str, str],
    wanted: list[Statement],
) -> None:
    objects, node = cluster.load(tmp_path_factory.mktemp("cluster"))
    text = script(compile_objects(objects, node), family)
    try:
        rules = read(with_a_rule_changed(text, number, "change", change), family)
    except InputError:
        return
    compare(objects, node, rules, wanted)


@_SETTINGS
@given(
    cluster=clusters(most_services=2),
    family=st.sampled_from(Family),
    wanted=st.lists(statements(), min_size=4, max_size=8),
)
def test_ipvs_mode(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    family: Family,
    wanted: list[Statement],
) -> None:
    objects, node = cluster.load(tmp_path_factory.mktemp("cluster"))
    compiled = compile_objects(objects, replace(node, mode="ipvs"))
    rules = read_back(compiled)[family].rules
    assert rules.ipvs is not None
    virtual = frozenset(rules.ipvs.addresses.get(family, ()))
    compare(objects, compiled.settings, rules, wanted, virtual)
