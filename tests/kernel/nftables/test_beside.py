"""svcc's tables beside those of a host firewall, with packets."""

from __future__ import annotations

import re

import pytest

from svcc.compiler.bundle import NFTABLES, render
from svcc.compiler.pipeline import compile_objects
from tests.paths import DATA
from tests.support.clusters.cases import case_objects
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import Delivered, Lost, Refused, Sent, Testbed

pytestmark = pytest.mark.kernel


def load(testbed: Testbed, *changes: tuple[str, str]) -> None:
    """Load svcc's tables and a firewall's; the testbed's sentinels may pass."""
    objects, settings = case_objects("node-port", "nftables")
    firewall = (DATA / "foreign-nftables" / "firewalld.nft").read_text()
    # No module for it is needed here.
    firewall = re.sub(r"\tct helper \S+ \{\n(?:.*\n)*?\t\}\n\n|.*ct helper set.*\n", "", firewall)
    # The testbed knows one kind of refusal.
    firewall = firewall.replace("admin-prohibited", "port-unreachable")
    sentinels = ((r"(chain filter_(?:IN|FWD)_public_allow \{\n)", r"\1\t\tudp dport 9 accept\n"),)
    for pattern, by in (*sentinels, *changes):
        firewall, count = re.subn(pattern, by, firewall)
        assert count, pattern
    own = render(compile_objects(objects, settings))[NFTABLES]
    testbed.node.run("nft", "flush", "ruleset")
    testbed.node.run("nft", "-f", "-", text=own + firewall)


def connection(testbed: Testbed, source: str, destination: str, port: int) -> Flow:
    return Flow(source, testbed.fresh_port(), destination, port, packets.TCP)


def test_services_work_beside_a_firewall(testbed: Testbed) -> None:
    load(testbed)
    of_pod = testbed.send("pod0", connection(testbed, "10.244.1.77", "10.96.0.11", 80))
    assert isinstance(of_pod, Sent)
    outside = testbed.send("ext0", connection(testbed, "203.0.113.7", "192.168.7.10", 30080))
    assert isinstance(outside, Sent)
    assert outside.flow.destination_port == 8080
    ssh = connection(testbed, "203.0.113.7", "192.168.7.10", 22)
    assert testbed.send("ext0", ssh) == Delivered(ssh)
    other = connection(testbed, "203.0.113.7", "192.168.7.10", 23)
    assert isinstance(testbed.send("ext0", other), Refused)


def test_a_firewall_that_takes_no_translated_packets(testbed: Testbed) -> None:
    drop = (r"(chain filter_FORWARD \{\n.*\n.*\n)\t\tct status dnat accept\n", r"\1")
    load(testbed, drop)
    of_pod = connection(testbed, "10.244.1.77", "10.96.0.11", 80)
    assert isinstance(testbed.send("pod0", of_pod), Refused)


def test_a_firewall_that_drops_where_packets_come_in(testbed: Testbed) -> None:
    """The chain stands behind the translation, and sees where packets go."""
    drop = (r"(chain filter_PREROUTING \{\n.*\n)", r"\1\t\tip daddr 10.244.0.0/16 drop\n")
    load(testbed, drop)
    assert testbed.send("pod0", connection(testbed, "10.244.1.77", "10.96.0.11", 80)) == Lost()
    # The node's own come in nowhere.
    source = testbed.natural_source("10.96.0.11")
    assert source is not None
    outcome = testbed.send("node", connection(testbed, source, "10.96.0.11", 80))
    assert isinstance(outcome, Sent)
