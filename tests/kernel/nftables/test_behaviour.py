"""``tests/data/behaviour`` in nftables mode, applied and tried with real packets.

What nftables mode does otherwise than iptables mode: ports of a cluster IP that no Service has are
refused (docs/semantics.md).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from svcc.cli import main
from svcc.compiler.model.eligibility import is_forwarded
from svcc.grammar.address import parse_address
from tests.kernel.iptables.test_behaviour import FORM_CASES, send_all
from tests.support.clusters.cases import BehaviourCase, case_names, case_objects, read_case
from tests.support.command import svcc
from tests.support.kernel.packets import Flow
from tests.support.kernel.probes import senders
from tests.support.kernel.probing import check
from tests.support.kernel.testbed import Testbed
from tests.support.readings.outcomes import Drop, Probe, Refuse, Untouched

pytestmark = pytest.mark.kernel


def in_nftables_mode(name: str) -> BehaviourCase:
    """The case with what its packets must see in this mode."""
    case = read_case(name)
    objects, _ = case_objects(name)
    cluster_ips = {
        address for service in objects.services if is_forwarded(service)
        for address in service.cluster_ips
    }  # fmt: skip
    packets = tuple(
        replace(packet, wanted=Refuse())
        if packet.wanted == Untouched() and parse_address(packet.destination) in cluster_ips
        else packet
        for packet in case.packets
    )
    return replace(case, packets=packets)


@pytest.mark.parametrize(("name", "form"), FORM_CASES)
def test_packets_see_what_they_must(
    name: str,
    form: str,
    testbed: Testbed,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = in_nftables_mode(name)
    objects, config = case.write(tmp_path, endpoints=form == "endpoints")
    given = ["-f", str(objects), "--config", str(config), "--mode", "nftables"]
    with testbed.node.entered():
        assert main(["apply", *given, "--no-verify"]) == 0, capsys.readouterr().err
    wrong = send_all(testbed, case)
    if wrong:
        wrong.append(testbed.node.run("nft", "list", "ruleset"))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", ["external-local", "dual-stack", "affinity"])
def test_the_way_people_do_it(name: str, testbed: Testbed, tmp_path: Path) -> None:
    """With the proof; what is live is judged, and nothing is left to do."""
    case = in_nftables_mode(name)
    objects, config = case.write(tmp_path)
    given = ["-f", objects, "--config", config, "--mode", "nftables"]
    done = svcc("apply", *given, inside=testbed.node)
    assert done.code == 0, done.err
    assert not send_all(testbed, case)
    live = svcc("verify", *given, "--live", inside=testbed.node)
    assert live.code == 0, live
    assert svcc("diff", *given, inside=testbed.node).out == ""
    assert "nothing to do" in svcc("apply", *given, inside=testbed.node).out
    gone = svcc("cleanup", inside=testbed.node)
    assert gone.code == 0, gone.err
    assert "svcc" not in testbed.node.run("nft", "list", "ruleset")
    assert svcc("verify", *given, "--live", inside=testbed.node).code == 3


def test_cluster_ips_that_nobody_has_are_dropped(testbed: Testbed, tmp_path: Path) -> None:
    """Where the range is known; applied over tables that did not know it, and back."""
    case = in_nftables_mode("dual-stack")
    objects, config = case.write(tmp_path)
    given = ["-f", objects, "--config", config, "--mode", "nftables"]
    known = [*given, "--service-cluster-ip-range", "10.96.0.0/12,fd00:96::/108"]
    for flags, wanted in ((given, Untouched()), (known, Drop()), (given, Untouched())):
        done = svcc("apply", *flags, inside=testbed.node)
        assert done.code == 0, done.err
        live = svcc("verify", *flags, "--live", inside=testbed.node)
        assert live.code == 0, live
        assert svcc("diff", *flags, inside=testbed.node).out == ""
        assert not send_all(testbed, case)
        for address in ("10.111.255.254", "fd00:96::f:fffe"):
            for sender, source in senders(testbed, address):
                probe = Probe(sender, Flow(source, 0, address, 80, 6))
                assert check(testbed, probe, wanted) is None


@pytest.mark.parametrize("name", case_names())
def test_rules_are_proved(name: str, tmp_path: Path) -> None:
    objects, config = read_case(name).write(tmp_path)
    done = svcc("verify", "-f", objects, "--config", config, "--mode", "nftables")
    assert done.code == 0, done.out
