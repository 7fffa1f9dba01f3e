"""The oracle itself: it sees what rules do, and kube-proxy's own rules pass it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from svcc.grammar.address import Family
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import (
    Delivered,
    Lost,
    Outcome,
    Refused,
    Sender,
    Sent,
    Testbed,
    Variant,
)
from tests.support.readings.agreement import disagreements

pytestmark = pytest.mark.kernel

FILES: Mapping[Family, str] = {
    Family.IPV4: "iptables-save.txt",
    Family.IPV6: "ip6tables-save.txt",
}
RULES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p {protocol} -d {refused} -j REJECT --reject-with {unreachable}
-A OUTPUT -p {protocol} -d {refused} -j REJECT --reject-with {unreachable}
-A FORWARD -p {protocol} -d {dropped} -j DROP
-A OUTPUT -p {protocol} -d {dropped} -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p {protocol} -d {served} -j DNAT --to-destination {backend}
-A OUTPUT -p {protocol} -d {served} -j DNAT --to-destination {backend}
-A PREROUTING -p {protocol} -d {near} -j DNAT --to-destination {own}
-A OUTPUT -p {protocol} -d {near} -j DNAT --to-destination {own}
-A POSTROUTING -p {protocol} -d {pod} -j MASQUERADE --random-fully
COMMIT
"""
WORLDS: Mapping[int, Mapping[str, str]] = {
    4: {
        "refused": "10.96.0.1",
        "dropped": "10.96.0.2",
        "served": "10.96.0.3",
        "near": "10.96.0.4",
        "plain": "10.96.0.5",
        "pod": "10.244.1.5",
        "backend": "10.244.1.5:8080",
        "own": "192.168.7.10:8080",
        "node": "192.168.7.10",
        "pod_side": "10.244.1.1",
        "outside": "203.0.113.7",
        "unreachable": "icmp-port-unreachable",
    },
    6: {
        "refused": "fd00:96::1",
        "dropped": "fd00:96::2",
        "served": "fd00:96::3",
        "near": "fd00:96::4",
        "plain": "fd00:96::5",
        "pod": "fd00:244:1::5",
        "backend": "[fd00:244:1::5]:8080",
        "own": "[fd00:7::10]:8080",
        "node": "fd00:7::10",
        "pod_side": "fd00:244:1::1",
        "outside": "2001:db8::7",
        "unreachable": "icmp6-port-unreachable",
    },
}


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("sender", ["ext0", "node"])
def test_sees_what_rules_do(
    testbed: Testbed, variant: Variant, version: int, protocol: str, sender: Sender
) -> None:
    world = WORLDS[version]
    testbed.restore(variant, version, RULES.format(protocol=protocol, **world))
    source = world["node"] if sender == "node" else world["outside"]

    def flow(destination: str) -> Flow:
        number = packets.PROTOCOLS[protocol]
        return Flow(source, testbed.fresh_port(), world[destination], 80, number)

    assert testbed.send(sender, flow("refused")) == Refused()
    assert testbed.send(sender, flow("dropped")) == Lost()
    plain = flow("plain")
    assert testbed.send(sender, plain) == Sent("ext0", plain)
    to_node = flow("node")
    assert testbed.send(sender, to_node) == Delivered(to_node)
    served = testbed.send(sender, flow("served"))
    assert isinstance(served, Sent)
    assert served.wire == "pod0"
    assert (served.flow.destination, served.flow.destination_port) == (world["pod"], 8080)
    assert served.flow.source == world["pod_side"]
    near = flow("near")
    expected = Flow(near.source, near.source_port, world["node"], 8080, near.protocol)
    assert testbed.send(sender, near) == Delivered(expected)


@pytest.mark.parametrize("name", sorted(path.name for path in DUMPS.iterdir() if path.is_dir()))
def test_kube_proxy_does_what_the_objects_ask(
    name: str, testbed: Testbed, variant: Variant
) -> None:
    """Rules that a real kube-proxy wrote: no laxity of the oracle's own, and no severity."""
    texts = {family: (DUMPS / name / file).read_text() for family, file in FILES.items()}
    testbed.route_localnet(True)
    for family, text in texts.items():
        testbed.restore(variant, int(family), text)
    wrong = disagreements(testbed, dump_objects(name), dump_settings(name), texts, strict=False)
    assert not wrong, "\n".join(wrong)


DAMAGE = {
    "another backend": ("10.244.2.7:8080", "10.244.2.8:8080"),
    "another port": ("--to-destination 10.244.3.9:8080", "--to-destination 10.244.3.9:8081"),
    "no share": ("--probability 0.50000000000", "--probability 1.00000000000"),
    "no masquerade": ("-j MASQUERADE --random-fully", "-j RETURN"),
    "masquerade for pods": ("! -s 10.244.0.0/16 ", ""),
    "another frontend": ("--dport 30080", "--dport 30081"),
    "wider": ("-d 10.96.0.11/32 -p tcp", "-d 10.96.0.10/31 -p tcp"),
    "no hairpin": ("-s 10.244.1.5/32", "-s 10.244.1.4/32"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_seen(damage: str, testbed: Testbed, variant: Variant) -> None:
    name, (before, after) = "nodeport", DAMAGE[damage]
    texts = {family: (DUMPS / name / file).read_text() for family, file in FILES.items()}
    assert before in texts[Family.IPV4]
    texts[Family.IPV4] = texts[Family.IPV4].replace(before, after)
    testbed.route_localnet(True)
    for family, text in texts.items():
        testbed.restore(variant, int(family), text)
    wrong = disagreements(testbed, dump_objects(name), dump_settings(name), texts, strict=False)
    assert any(line.startswith("kernel:") for line in wrong)
    assert not [line for line in wrong if line.startswith("model and kernel")]


def test_replies_find_their_way_back(testbed: Testbed, variant: Variant) -> None:
    """The answer of a backend leaves the node as the frontend's, though FORWARD drops."""
    texts = {family: (DUMPS / "nodeport" / file).read_text() for family, file in FILES.items()}
    closed = texts[Family.IPV4].replace(":FORWARD ACCEPT", ":FORWARD DROP")
    testbed.restore(variant, 4, closed, "-T", "nat")
    first: Outcome = Lost()
    while not (isinstance(first, Sent) and first.wire == "pod0"):
        flow = Flow("203.0.113.7", testbed.fresh_port(), "192.168.7.10", 30080, packets.TCP)
        first = testbed.send("ext0", flow)
    seen = first.flow
    answer = Flow(
        seen.destination, seen.destination_port, seen.source, seen.source_port, packets.TCP
    )
    back = testbed.send("pod0", answer, tcp_flags=packets.SYN | packets.ACK)
    turned = Flow(
        flow.destination, flow.destination_port, flow.source, flow.source_port, packets.TCP
    )
    assert back == Sent("ext0", turned)
