"""``-m ipvs --vaddr --vport --vproto``: the simulator against the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.cli import main
from svcc.grammar.address import Family, parse_address
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.rule_files import from_text
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.packet import World
from tests.support.clusters.cases import read_case
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import LOCAL, Lost, Sender, Testbed, Variant
from tests.support.readings.agreement import packet_of
from tests.support.readings.outcomes import Probe

pytestmark = pytest.mark.ipvs

VIP = "10.96.0.10"
ASKED = (
    "--vaddr 10.96.0.10", "! --vaddr 10.96.0.10", "--vaddr 10.96.0.0/16", "--vaddr 10.97.0.0/16",
    "--vport 80", "! --vport 80", "--vport 8080", "--vproto tcp", "! --vproto tcp", "--vproto udp",
    "--vproto tcp --vaddr 10.96.0.10 --vport 80", "--vproto tcp --vaddr 10.96.0.11 --vport 80",
)  # fmt: skip
PLACES = (("filter", "OUTPUT"), ("filter", "INPUT"), ("mangle", "POSTROUTING"), ("mangle", "INPUT"))
SENDERS: dict[Sender, str] = {"node": "192.168.7.10", "ext0": "203.0.113.7", "pod0": "10.244.1.77"}


def test_the_simulator_agrees_with_the_kernel(
    testbed: Testbed, variant: Variant, tmp_path: Path
) -> None:
    read_case("cluster-ip").write(tmp_path)
    given = ["-f", str(tmp_path / "objects.yaml"), "--config", str(tmp_path / "config.yaml")]
    with testbed.node.entered():
        assert main(["apply", *given, "--mode", "ipvs", "--iptables", variant, "--no-verify"]) == 0
    run = testbed.node.run
    ipvs = Ipvs(
        ipvsadm.parse(run("ipvsadm", "-Sn"), source="ipvsadm"),
        ipset.parse(run("ipset", "save"), source="ipset"),
    )
    local = {parse_address(text).value for text in (*LOCAL, VIP) if ":" not in text}
    dropped = 0
    for table, chain in PLACES:
        for asked in ASKED:
            rule = [chain, "-m", "ipvs", *asked.split(), "-j", "DROP"]
            run(f"iptables-{variant}", "-t", table, "-I", *rule)
            rules = from_text(run(f"iptables-{variant}-save"), Family.IPV4, "iptables").rules
            rules.ipvs = ipvs
            for sender, source in SENDERS.items():
                flow = Flow(source, testbed.fresh_port(), VIP, 80, packets.TCP)
                packet = packet_of(Probe(sender, flow))
                ends = {
                    result.verdict
                    for _, result in distribution(rules, packet, World(local.__contains__))
                }
                is_lost = testbed.send(sender, flow) == Lost()
                assert ends == {"dropped" if is_lost else "passed"}, f"{sender} {table} {rule}"
                dropped += is_lost
            run(f"iptables-{variant}", "-t", table, "-D", *rule)
    assert dropped > 20
