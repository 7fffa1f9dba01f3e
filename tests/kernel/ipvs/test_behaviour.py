"""``tests/data/behaviour`` in ipvs mode, applied and tried with real packets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from svcc.cli import main
from tests.support.clusters.cases import case_names, read_case
from tests.support.clusters.ipvs_cases import compiled_case, send_all
from tests.support.command import Done, svcc, svcc_process
from tests.support.effort import LONG
from tests.support.kernel.testbed import Testbed, Variant

pytestmark = pytest.mark.ipvs

FEW = (
    "address-of-another-node",
    "affinity", "affinity-local", "both-policies-local", "cluster-ip", "cluster-ip-ipv6",
    "dual-stack", "external-ip-on-the-node", "external-local", "external-local-ipv6", "hairpin",
    "health-check-node-port", "host-network-backend", "internal-local", "load-balancer",
    "no-endpoints",
    "no-endpoints-local-policies", "node-port", "node-port-ipv6", "node-port-no-localhost", "sctp",
    "source-ranges", "source-ranges-local-policy", "terminating",
)  # fmt: skip
"""One case of each kind: 70 take too long in a kernel as slow as User Mode Linux."""


@pytest.mark.parametrize("name", case_names() if LONG else FEW)
def test_packets_see_what_they_must(
    name: str,
    testbed: Testbed,
    variant: Variant,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = read_case(name)
    case.write(tmp_path)
    compiled = compiled_case(name, on_node=True)
    arguments = [
        "apply", "-f", str(tmp_path / "objects.yaml"), "--config", str(tmp_path / "config.yaml"),
        # Some cases have Services and no slice at all.
        "--mode", "ipvs", "--iptables", variant, "--no-verify", "--force",
    ]  # fmt: skip
    with testbed.node.entered():
        code = main(arguments)
        assert code == 0, capsys.readouterr().err
    wrong = send_all(testbed, case, compiled)
    if wrong:
        for command in (["ipvsadm", "-Sn"], ["ipset", "save"], ["ip", "address"]):
            wrong.append(testbed.node.run(*command))
        wrong.append(testbed.node.run(f"iptables-{variant}-save"))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "command"), [("external-local", svcc_process), ("dual-stack", svcc)]
)
def test_command_in_the_namespace(
    name: str, command: Callable[..., Done], testbed: Testbed, variant: Variant, tmp_path: Path
) -> None:
    """The way people do it, with the proof, and what is live judged; once in processes of their
    own, whose start takes seconds in User Mode Linux.
    """
    case = read_case(name)
    case.write(tmp_path)
    compiled = compiled_case(name, on_node=True)
    given = [
        "-f", str(tmp_path / "objects.yaml"), "--config", str(tmp_path / "config.yaml"),
        "--mode", "ipvs", "--iptables", variant,
    ]  # fmt: skip

    def run(*arguments: str) -> Done:
        return command(*arguments, *given, inside=testbed.node)

    differs = run("diff")
    assert differs.code == 1, differs.err
    assert "10.96.0." in differs.out
    done = run("apply")
    assert done.code == 0, done.err
    wrong = send_all(testbed, case, compiled)
    assert not wrong, "\n".join(wrong)
    again = run("apply")
    assert "nothing to do" in again.out, again.out + again.err
    same = run("diff")
    assert (same.code, same.out) == (0, ""), same.out
    live = run("verify", "--live")
    assert live.code == 0, live.out + live.err


def test_without_a_choice_of_iptables(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    """Where iptables is iptables-nft and this kernel has no nf_tables for it, legacy is used."""
    del variant
    read_case("cluster-ip").write(tmp_path)
    given = ["-f", str(tmp_path / "objects.yaml"), "--config", str(tmp_path / "config.yaml")]
    with testbed.node.entered():
        assert main(["apply", *given, "--mode", "ipvs", "--no-verify"]) == 0
        assert main(["diff", *given, "--mode", "ipvs"]) == 0
    saved = [testbed.node.run(f"iptables-{kind}-save", "-t", "nat") for kind in ("legacy", "nft")]
    assert sum("-A OUTPUT -j SVCC-SERVICES" in text for text in saved) == 1
    with testbed.node.entered():
        assert main(["cleanup"]) == 0
