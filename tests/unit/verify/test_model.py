"""The solver's model and the plain simulator agree on every outcome of random rule sets."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from svcc.grammar.address import Family, parse_address
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import load
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Packet, World
from tests.fuzz.compare import local, own, packet_of, read_rules, way
from tests.fuzz.findings import FINDINGS, Finding
from tests.fuzz.rules import RuleMaker, RuleText
from tests.fuzz.traffic import Traffic
from tests.support.effort import examples
from tests.support.programs.random_rules import ADDRESSES, PORTS, rule_sets
from tests.support.readings.solver_model import difference

TCP = 6
NODE = parse_address("192.168.7.10")
OTHER = parse_address("192.168.7.11")
"""An address of the node that no setting lists; MASQUERADE writes it."""


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    from_node = draw(st.booleans())
    return Packet(
        Family.IPV4,
        from_node,
        NODE.value if from_node else parse_address(draw(st.sampled_from(ADDRESSES[:4]))).value,
        draw(st.sampled_from((80, 40000))),
        parse_address(draw(st.sampled_from(ADDRESSES))).value,
        draw(st.sampled_from(PORTS)),
        TCP,
        "" if from_node else draw(st.sampled_from(("eth0", "veth7", "wlan0"))),
    )


@pytest.mark.slow
@examples(80, 5000)
@given(rule_sets(), packets(), st.sampled_from(({}, {"seen": 30}, {"seen": 300})))
def test_model_and_simulator_agree(text: str, packet: Packet, recent: dict[str, int]) -> None:
    rules = load(parse(text, family=Family.IPV4, source="random"))
    world = World(
        lambda address: address in (NODE.value, OTHER.value),
        recent,
        "eth1",
        own_address=lambda interface, destination: OTHER.value,
    )
    try:
        wrong = difference(rules, packet, world, (NODE,), OTHER.value)
    except UndecidableError:
        # What a rule has rewritten the source to is not known.
        reject()
    assert wrong is None, wrong


@pytest.mark.slow
@examples(80, 5000)
@given(rule_sets(), packets())
def test_long_chains_do_what_short_ones_do(text: str, packet: Packet) -> None:
    """The simulator passes over rules for other addresses there."""
    world = World(lambda address: address == NODE.value)

    def outcomes(longest: int) -> object:
        rules = load(parse(text, family=Family.IPV4, source="random"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("svcc.verify.simulator.interpreter.LONG_CHAIN", longest)
            try:
                return distribution(rules, packet, world)
            except UndecidableError as undecidable:
                return str(undecidable)

    assert outcomes(1) == outcomes(1_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
def test_agree_on_what_the_kernel_is_compared_on(family: Family) -> None:
    """The rule sets and packets of ``python -m tests.fuzz``."""
    random = Random(f"model {family.label}")
    maker = RuleMaker(random, family)
    traffic = Traffic(random, family, lambda destination: _OWN[family])
    compared = 0
    for _ in range(60):
        rules = maker.make()
        for sender, flow in traffic.burst(2):
            packet = packet_of(family, sender == "node", sender, flow)
            lists = frozenset(name for name in ("seen0", "other0") if random.random() < 0.3)
            wrong = _difference(rules, packet, lists)
            if wrong is not None:
                compared += 1
                assert not wrong, f"{packet}: {wrong}\n{_smallest(rules, packet, lists).text()}"
    assert compared > 80


_OWN = {Family.IPV4: "192.168.7.10", Family.IPV6: "fd00:7::10"}


def _difference(rules: RuleText, packet: Packet, lists: frozenset[str]) -> str | None:
    """ "" if there is none, None if the packet meets a rule outside the model."""
    family = packet.family
    node = parse_address(_OWN[family])
    written = own("ext0", packet.destination)
    world = World(
        local,
        dict.fromkeys(lists, 0),
        ways=way,
        own_address=lambda interface, destination: written,
    )
    text = rules.text().replace("@", "0")
    try:
        return difference(read_rules(text, family), packet, world, (node,), written) or ""
    except UndecidableError:
        return None


def _smallest(rules: RuleText, packet: Packet, lists: frozenset[str]) -> RuleText:
    smaller = True
    while smaller:
        smaller = False
        for less in rules.smaller():
            if _difference(less, packet, lists):
                rules, smaller = less, True
                break
    return rules


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.name)
def test_findings(finding: Finding) -> None:
    """What the kernel does (tests/kernel/iptables/test_fuzz.py), in both models."""
    sender, flow = finding.shot
    packet = packet_of(Family.IPV4, sender == "node", sender, flow)
    rules = read_rules(finding.text(), Family.IPV4)
    written = own("lo", packet.destination)
    world = World(local, ways=way, own_address=lambda interface, destination: written)
    fates = {
        "kept" if (result.verdict, result.masqueraded) == ("passed", False) else result.verdict
        for _, result in distribution(rules, packet, world)
    }
    assert fates == {finding.fate}
    node = parse_address("192.168.7.10")
    assert difference(rules, packet, world, (node,), written) is None
