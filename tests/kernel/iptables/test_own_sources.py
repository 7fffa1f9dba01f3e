"""What the kernel does with packets from a wire whose source is an address of the node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcc.grammar.address import Family
from svcc.verify.netfilter.routing import drops_own_sources
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import ADDRESSES, Delivered, Lost, Testbed, Wire

pytestmark = pytest.mark.kernel

VIRTUAL_IPS = ("10.96.0.10", "fd00:96::a")
"""As ipvs mode puts them on a device of their own."""
OUTSIDE, HERE = ("203.0.113.9", "2001:db8:9::9"), ("192.168.7.10", "fd00:7::10")


@pytest.fixture
def node(testbed: Testbed) -> Iterator[Testbed]:
    places = [(a, f"{a}/{128 if ':' in a else 32}") for a in VIRTUAL_IPS]
    for address, place in places:
        extra = ["nodad"] if ":" in address else []
        testbed.node.run("ip", "address", "add", place, "dev", "lo", *extra)
    yield testbed
    for _, place in places:
        testbed.node.run("ip", "address", "del", place, "dev", "lo")


@pytest.mark.parametrize("wire", ["ext0", "pod0"])
def test_it_takes_none_of_ipv4(node: Testbed, wire: Wire) -> None:
    """What :mod:`svcc.verify.netfilter.routing` says."""
    for source in (*ADDRESSES["ext0"], *ADDRESSES["pod0"], *VIRTUAL_IPS):
        family = Family.IPV6 if ":" in source else Family.IPV4
        for destination in (HERE[family is Family.IPV6], OUTSIDE[family is Family.IPV6]):
            flow = Flow(source, node.fresh_port(), destination, 80, packets.TCP)
            is_taken = node.send(wire, flow) != Lost()
            assert is_taken != drops_own_sources(family), f"{source} to {destination}"


@pytest.mark.parametrize("wire", ["ext0", "pod0"])
def test_it_takes_others(node: Testbed, wire: Wire) -> None:
    for version, source in ((0, "203.0.113.7"), (1, "2001:db8::7")):
        flow = Flow(source, node.fresh_port(), HERE[version], 80, packets.TCP)
        assert node.send(wire, flow) == Delivered(flow)
