"""Words for whose packets a condition is about: the same packets, whatever is left out."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from svcc.grammar.address import Family, Network
from svcc.verify.confirm.judge import applies
from svcc.verify.picture.sender_words import merged, words
from svcc.verify.simulator.packet import Packet
from svcc.verify.spec.packet_conditions import (
    Atom,
    DestinationIn,
    FromNode,
    FromPod,
    PacketCondition,
    PortIn,
    ProtocolIn,
    SourceIn,
    negation,
)
from tests.support.effort import examples


def network(text: str, length: int) -> Network:
    value = 0
    for part in text.split("."):
        value = value << 8 | int(part)
    return Network(Family.IPV4, value, length)


PODS, LOOPBACK = network("10.244.0.0", 16), network("127.0.0.0", 8)
NODE_PODS, OFFICE = network("10.244.1.0", 24), network("203.0.113.0", 24)
EVERYBODY = network("0.0.0.0", 0)
NETWORKS = (PODS, LOOPBACK, NODE_PODS, OFFICE, EVERYBODY)
SOURCES = (PODS.value + 513, NODE_PODS.value + 5, LOOPBACK.value + 1, OFFICE.value + 7, 1 << 27)

some_networks = st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=3).map(tuple)
atoms: st.SearchStrategy[Atom] = st.one_of(
    st.builds(SourceIn, some_networks, st.booleans()),
    st.builds(DestinationIn, some_networks, st.booleans()),
    st.builds(FromNode, st.booleans()),
    st.builds(FromPod, st.just("veth+"), st.booleans()),
    st.builds(ProtocolIn, st.just((6,)), st.booleans()),
    st.builds(PortIn, st.just((80,)), st.booleans()),
)
conditions = st.lists(st.lists(atoms, max_size=4).map(tuple), min_size=1, max_size=4)


EVERY_PACKET = [
    Packet(Family.IPV4, not way, source, 40000, destination, port, protocol, way)
    for way in ("", "veth0", "eth0")
    for source, destination in product(SOURCES, SOURCES)
    for port, protocol in ((80, 6), (81, 6), (80, 17))
]


@examples(300, 20_000)
@given(conditions)
@example([(SourceIn((PODS, OFFICE)), SourceIn((PODS,), True))])
@example([(DestinationIn((PODS, OFFICE)), DestinationIn((OFFICE, LOOPBACK)))])
@example([(SourceIn((PODS, OFFICE)), SourceIn((OFFICE, PODS)))])
def test_merged_conditions_are_about_the_same_packets(found: list[PacketCondition]) -> None:
    fewer = merged(found)
    assert len(fewer) <= len(found)
    for packet in EVERY_PACKET:
        before = any(applies(condition, packet) for condition in found)
        assert any(applies(tuple(condition), packet) for condition in fewer) == before


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ((), "everyone"),
        ((SourceIn((PODS,)),), "pods (10.244.0.0/16)"),
        ((negation(SourceIn((PODS,))),), "everyone but pods"),
        ((FromNode(),), "the node itself"),
        ((negation(FromNode()),), "everyone but the node itself"),
        (
            (negation(SourceIn((PODS,))), negation(FromNode())),
            "outside (neither pods nor the node)",
        ),
        (
            (SourceIn((PODS,)), FromNode()),
            "the node itself with an address of pods (10.244.0.0/16)",
        ),
        (
            (negation(SourceIn((OFFICE,))), DestinationIn((LOOPBACK,))),
            "everyone from elsewhere than 203.0.113.0/24, to 127.0.0.0/8",
        ),
    ],
)
def test_words(condition: PacketCondition, said: str) -> None:
    assert words(frozenset(condition), SourceIn((PODS,))) == said


def test_pods_by_interface() -> None:
    pod = FromPod("veth+")
    assert words(frozenset({pod}), pod) == "pods (interface veth+)"
    assert words(frozenset({negation(pod), FromNode()}), pod) == "the node itself"
