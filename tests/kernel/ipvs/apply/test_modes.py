"""From iptables mode to ipvs mode and back: what packets see after every single command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from svcc.apply.iptables.tool import Iptables
from svcc.apply.system.tools import Result, run_tool
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.grammar.address import parse_address
from tests.kernel.ipvs.apply.shop import changes, put
from tests.paths import ROOT
from tests.support.clusters.cases import BehaviourCase, case_names, case_objects, read_case
from tests.support.clusters.ipvs_cases import with_own
from tests.support.command import Done, svcc
from tests.support.effort import LONG
from tests.support.kernel.namespace import Namespace
from tests.support.kernel.probing import probe_of
from tests.support.kernel.testbed import Delivered, Outcome, Sent, Testbed
from tests.support.programs import random_ipvs
from tests.support.readings.outcomes import Serve, show

pytestmark = pytest.mark.ipvs

FEW = (
    "address-of-another-node", "affinity-local", "backend-that-is-a-node-port",
    "balancer-address-that-is-its-backend", "both-policies-local", "dual-stack",
    "external-local", "external-local-ipv6", "external-local-none-here", "hints-zone",
    "no-endpoints-local-policies", "node-port", "source-ranges-local-policy", "terminating-local",
)  # fmt: skip
"""One case of each kind: 70 take too long in a kernel as slow as User Mode Linux."""


@pytest.fixture(scope="module")
def shared_testbed() -> Iterator[Testbed]:
    with Testbed() as made:
        yield made


@pytest.fixture
def testbed(shared_testbed: Testbed) -> Testbed:
    shared_testbed.reset("legacy")
    random_ipvs.unload(shared_testbed)
    return shared_testbed


def in_mode(name: str, mode: str) -> Compiled:
    objects, settings = case_objects(name, mode)
    return compile_objects(objects, replace(settings, addresses=with_own(settings.addresses)))


def reached(outcome: Outcome) -> tuple[str, int] | None:
    """Where a packet went, None if nowhere."""
    match outcome:
        case Sent(_, flow) | Delivered(flow):
            return flow.destination, flow.destination_port
        case _:
            return None


class Watch:
    """Sends every packet of a case that both modes treat alike."""

    def __init__(self, testbed: Testbed, case: BehaviourCase, ipvs: Compiled) -> None:
        assert ipvs.ipvs is not None
        virtual = {a for addresses in ipvs.ipvs.addresses.values() for a in addresses}
        self._testbed = testbed
        self._packets = [
            packet
            for packet in case.packets
            if not (packet.source and parse_address(packet.source).value in virtual)
        ]
        self.wrong: list[str] = []
        self.count = 0

    def run(self, arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        result = run_tool(arguments, text, keep_open)
        if changes(arguments):
            self.count += 1
            self.look(f"after {arguments[0]} {self.count}: {(text or '')[:300]}")
        return result

    def look(self, when: str) -> None:
        for packet in self._packets:
            probe = probe_of(
                self._testbed, packet.sender, packet.source, packet.destination, packet.port,
                packet.protocol,
            )  # fmt: skip
            flow = replace(probe.flow, source_port=self._testbed.fresh_port())
            outcome = self._testbed.send(packet.sender, flow)
            place, itself = reached(outcome), (packet.destination, packet.port)
            match packet.wanted:
                case Serve(backends=backends):
                    is_right = place in backends
                case _:
                    is_right = place in (None, itself)
            if not is_right:
                self.wrong.append(f"{when}\n  {packet.text}: {show(outcome)}")


@pytest.mark.parametrize("name", case_names() if LONG else FEW)
def test_packets_never_see_anything_else(name: str, testbed: Testbed) -> None:
    nat, ipvs = in_mode(name, "iptables"), in_mode(name, "ipvs")
    with testbed.node.entered():
        put(nat)
        watch = Watch(testbed, read_case(name), ipvs)
        watch.look("before")
        for what in (ipvs, nat):
            outcome = put(what, Iptables("legacy", run=watch.run), drain=5)
            assert not watch.wrong, "\n".join(watch.wrong[:20]) + "\n" + outcome.summary()
            assert outcome.warnings == ()
            assert not put(what).changed
        assert watch.count > 10


Change = Callable[[str], Done]


@pytest.fixture
def change(node: Namespace) -> Change:
    """``svcc apply`` of the shop in a mode, proof and all."""
    objects = ROOT / "examples" / "shop"

    def apply(mode: str) -> Done:
        return svcc(
            "apply", "-f", objects, "--config", objects / "config.yaml", "--mode", mode,
            "--iptables", "legacy", "--drain-timeout", 1, inside=node,
        )  # fmt: skip

    return apply


def test_the_shop_changes_its_mode(node: Namespace, change: Change) -> None:
    for mode in ("iptables", "ipvs", "iptables", "ipvs"):
        done = change(mode)
        assert done.code == 0, done.err
        assert "not proved" not in done.err
        servers = node.run("ipvsadm", "-Sn")
        assert ("-A " in servers) == (mode == "ipvs"), servers


def test_an_address_that_the_node_has_not(change: Change, node: Namespace) -> None:
    """Node ports lead to the address of the Node object, wherever it is, and go with the rest."""
    node.run("ip", "address", "flush", "dev", "ext0")
    assert change("ipvs").code == 0
    assert "192.168.7.10:30080" in node.run("ipvsadm", "-Sn")
    done = svcc("cleanup", "--iptables", "legacy", inside=node)
    assert done.code == 0, done.err
    assert node.run("ipvsadm", "-Sn") == ""


def test_a_balancer_with_source_ranges(node: Namespace, tmp_path: Path) -> None:
    objects, config = read_case("source-ranges").write(tmp_path)
    for mode in ("iptables", "ipvs", "iptables"):
        done = svcc(
            "apply", "-f", objects, "--config", config, "--mode", mode, "--iptables", "legacy",
            "--drain-timeout", 1, inside=node,
        )  # fmt: skip
        assert done.code == 0, done.err
