"""``tests/data/behaviour`` applied to a kernel and tried with real packets."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.cli import main
from tests.support.clusters.cases import BehaviourCase, case_names, read_case
from tests.support.command import svcc_process
from tests.support.kernel.probing import check, probe_of
from tests.support.kernel.testbed import Testbed, Variant

pytestmark = pytest.mark.kernel

FORM_CASES = [
    *((name, "slices") for name in case_names()),
    *((name, "endpoints") for name in case_names() if read_case(name).as_endpoints),
]


@pytest.mark.parametrize(("name", "form"), FORM_CASES)
def test_packets_see_what_they_must(
    name: str,
    form: str,
    testbed: Testbed,
    variant: Variant,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = read_case(name)
    objects, config = case.write(tmp_path, endpoints=form == "endpoints")
    with testbed.node.entered():
        code = main([
            "apply", "-f", str(objects), "--config", str(config),
            # Some cases have Services and no slice at all.
            "--iptables", variant, "--no-verify", "--force",
        ])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    wrong = send_all(testbed, case)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", case_names())
def test_rules_are_proved(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects, config = read_case(name).write(tmp_path)
    code = main(["verify", "-f", str(objects), "--config", str(config)])
    assert code == 0, capsys.readouterr()


@pytest.mark.parametrize("name", ["cluster-ip", "node-port"])
def test_command_in_the_namespace(
    name: str, testbed: Testbed, variant: Variant, tmp_path: Path
) -> None:
    """The way people do it: a process of its own, which proves before it loads."""
    case = read_case(name)
    objects, config = case.write(tmp_path)
    given = ["-f", objects, "--config", config, "--iptables", variant]
    done = svcc_process("apply", *given, inside=testbed.node)
    assert done.code == 0, done.err
    wrong = send_all(testbed, case)
    assert not wrong, "\n".join(wrong)


def send_all(testbed: Testbed, case: BehaviourCase) -> list[str]:
    """Send every packet of a case; what went wrong."""
    wrong = []
    for packet in case.packets:
        probe = probe_of(
            testbed,
            packet.sender,
            packet.source,
            packet.destination,
            packet.port,
            packet.protocol,
        )
        found = check(testbed, probe, packet.wanted)
        if found:
            wrong.append(f"{packet.text}: {found}")
    return wrong
