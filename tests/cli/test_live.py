"""``svcc verify --live`` where both iptables variants hold rules."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.paths import DATA, ROOT
from tests.support.kernel.namespace import Namespace, missing, namespace

DUMP = DATA / "kube-proxy" / "nodeport"
ARGUMENTS = (
    "-f", str(DUMP / "objects.yaml"), "--node", "node-a", "--node-ip", "192.168.7.10",
    "--cluster-cidr", "10.244.0.0/16", "--family", "ipv4", "--live",
)  # fmt: skip

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[Namespace]:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made:
        yield made


def load(node: Namespace, variant: str) -> None:
    text = (DUMP / "iptables-save.txt").read_text()
    node.run(f"iptables-{variant}-restore", text=text)


def verify(node: Namespace, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "svcc", "verify", *ARGUMENTS, *arguments]
    return subprocess.run(
        ["ip", "netns", "exec", node.name, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_the_variant_with_the_service_chains_is_judged(node: Namespace, variant: str) -> None:
    load(node, variant)
    done = verify(node)
    assert done.returncode == 0, done.stdout + done.stderr
    default = node.run("iptables", "--version")
    is_default = ("nf_tables" in default) == (variant == "nft")
    assert ("the service chains are among the rules of" in done.stderr) == (not is_default)
    assert "warning" not in done.stderr


@pytest.mark.parametrize(("judged", "other"), [("legacy", "nft"), ("nft", "legacy")])
def test_rules_of_the_other_variant_are_told(node: Namespace, judged: str, other: str) -> None:
    load(node, judged)
    node.run(f"iptables-{other}", "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT")
    node.run(f"iptables-{other}", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP")
    assert verify(node, "--iptables", judged).returncode == 0
    node.run(f"iptables-{other}", "-A", "FORWARD", "-d", "10.244.0.0/16", "-j", "DROP")
    done = verify(node, "--iptables", judged)
    assert done.returncode == 3, done.stdout
    assert f"iptables-{other} holds rules that can touch" in done.stderr
    assert "filter FORWARD" in done.stderr


def test_service_chains_in_both_are_not_proved(node: Namespace) -> None:
    for variant in ("legacy", "nft"):
        load(node, variant)
    done = verify(node)
    assert done.returncode == 3, done.stdout
    assert "a service proxy's chains" in done.stderr


def test_rules_that_iptables_cannot_show_are_not_proved(node: Namespace) -> None:
    load(node, "legacy")
    assert verify(node, "--iptables", "legacy").returncode == 0
    node.run("iptables-nft", "-t", "nat", "-A", "PREROUTING", "-i", "docker0", "-j", "ACCEPT")
    assert verify(node, "--iptables", "legacy").returncode == 0
    node.run("nft", "add", "rule", "ip", "nat", "PREROUTING", "numgen inc mod 2 0 drop")
    done = verify(node, "--iptables", "legacy")
    assert done.returncode == 3, done.stdout
    assert "cannot print table nat" in done.stderr
