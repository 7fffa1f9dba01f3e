"""``--live``, apply and diff where more than the rules of one iptables variant is in force."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.paths import DATA, ROOT
from tests.support.command import Done, svcc
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


def verify(node: Namespace, *arguments: str) -> Done:
    return svcc("verify", *ARGUMENTS, *arguments, inside=node)


def explain(node: Namespace, *arguments: str) -> Done:
    return svcc("explain", *ARGUMENTS, *arguments, inside=node)


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_the_variant_with_the_service_chains_is_judged(node: Namespace, variant: str) -> None:
    load(node, variant)
    done = verify(node)
    assert done.code == 0, done.out + done.err
    default = node.run("iptables", "--version")
    is_default = ("nf_tables" in default) == (variant == "nft")
    assert ("the service chains are among the rules of" in done.err) == (not is_default)
    assert "warning" not in done.err


@pytest.mark.parametrize(("judged", "other"), [("legacy", "nft"), ("nft", "legacy")])
def test_rules_of_the_other_variant_are_told(node: Namespace, judged: str, other: str) -> None:
    load(node, judged)
    node.run(f"iptables-{other}", "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT")
    node.run(f"iptables-{other}", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP")
    assert verify(node, "--iptables", judged).code == 0
    node.run(f"iptables-{other}", "-A", "FORWARD", "-d", "10.244.0.0/16", "-j", "DROP")
    done = verify(node, "--iptables", judged)
    assert done.code == 3, done.out
    assert f"iptables-{other} holds rules that can touch" in done.err
    assert "filter FORWARD" in done.err


def test_legacy_rules_that_may_not_be_read_are_not_proved(node: Namespace) -> None:
    load(node, "nft")
    command = (
        "setpriv", "--bounding-set=-all,+net_admin", "--inh-caps=-all", "--",
        sys.executable, "-m", "svcc", "verify", *ARGUMENTS, "--iptables", "nft",
    )  # fmt: skip

    def judged() -> subprocess.CompletedProcess[str]:
        with node.entered():
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    done = judged()
    assert done.returncode == 0, done.stdout + done.stderr
    rule = "-d 10.96.0.11 -p tcp --dport 80 -j DNAT --to-destination 10.9.9.9:8080"
    node.run("iptables-legacy", "-t", "nat", "-A", "PREROUTING", *rule.split())
    done = judged()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "iptables-legacy-save failed" in done.stdout
    assert "Permission denied" in done.stdout


def test_service_chains_in_both_are_not_proved(node: Namespace) -> None:
    for variant in ("legacy", "nft"):
        load(node, variant)
    done = verify(node)
    assert done.code == 3, done.out
    assert "a service proxy's chains" in done.err


def test_rules_that_iptables_cannot_show_are_not_proved(node: Namespace) -> None:
    load(node, "legacy")
    assert verify(node, "--iptables", "legacy").code == 0
    node.run("iptables-nft", "-t", "nat", "-A", "PREROUTING", "-i", "docker0", "-j", "ACCEPT")
    assert verify(node, "--iptables", "legacy").code == 0
    node.run("nft", "add", "rule", "ip", "nat", "PREROUTING", "numgen inc mod 2 0 drop")
    done = verify(node, "--iptables", "legacy")
    assert done.code == 3, done.out
    assert "cannot print table nat" in done.err


PACKET = "from 203.0.113.7 to 10.96.0.11:80"
OF_NODE = tuple(a for a in ARGUMENTS if a not in ("--family", "ipv4", "--live"))
STALE = "-d 10.96.0.11/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.9.9.9:8080"


@pytest.mark.parametrize(("judged", "other"), [("legacy", "nft"), ("nft", "legacy")])
def test_explain_sees_the_other_variant(node: Namespace, judged: str, other: str) -> None:
    load(node, judged)
    assert explain(node, "--iptables", judged, PACKET).code == 0
    node.run(f"iptables-{other}", "-t", "nat", "-I", "PREROUTING", *STALE.split())
    done = explain(node, "--iptables", judged, PACKET)
    assert done.code == 3, done.out
    assert f"iptables-{other} holds rules that can touch" in done.out
    assert "nat PREROUTING" in done.out
    assert "right" not in done.out
    # Another packet is none of its business.
    done = explain(node, "--iptables", judged, "from 203.0.113.7 to 10.1.1.1:22")
    assert done.code == 0, done.out


@pytest.mark.parametrize(("judged", "other"), [("legacy", "nft"), ("nft", "legacy")])
def test_apply_and_diff_warn_of_the_other_variant(node: Namespace, judged: str, other: str) -> None:
    chosen = ("--iptables", judged)
    node.ip("link add ext0 type veth peer name far", "address add 192.168.7.10/32 dev ext0")
    assert svcc("apply", *OF_NODE, *chosen, inside=node).code == 0
    quiet = svcc("diff", *OF_NODE, *chosen, inside=node)
    assert (quiet.code, quiet.out) == (0, "")
    assert f"iptables-{other}" not in quiet.err
    node.run(f"iptables-{other}", "-t", "nat", "-I", "PREROUTING", *STALE.split())
    for command, code in (("diff", 0), ("apply", 0)):
        done = svcc(command, *OF_NODE, *chosen, inside=node)
        assert done.code == code, done.err
        assert f"warning: ipv4: iptables-{other} holds rules that can touch" in done.err
        assert f"iptables-{other}-save prints them" in done.err


FIREWALL = """\
table inet firewall {
  chain in {
    type filter hook forward priority 0; policy accept;
    ip daddr 10.244.0.0/16 drop
  }
}
"""
IDLE = """\
table inet idle {
  chain in {
    type filter hook forward priority 0; policy accept;
  }
  chain elsewhere {
    drop
  }
}
"""
REAL = DATA / "kube-proxy-1.36" / "nodeport"
OF_REAL = (
    "-f", str(REAL / "objects.yaml"), "--node", "node-a", "--node-ip", "192.168.7.10",
    "--cluster-cidr", "10.244.0.0/16", "--family", "ipv4", "--live",
)  # fmt: skip


def test_tables_of_nftables_are_judged(node: Namespace) -> None:
    load(node, "legacy")
    node.run("nft", "-f", "-", text=IDLE)
    assert verify(node, "--iptables", "legacy").code == 0
    node.run("nft", "-f", "-", text=FIREWALL)
    done = verify(node, "--iptables", "legacy")
    assert done.code == 1, done.out
    assert "in: ip daddr 10.244.0.0/16 drop" in done.out
    assert "idle" not in done.err
    done = explain(node, "--iptables", "legacy", PACKET)
    assert done.code == 1
    assert "ip daddr 10.244.0.0/16 drop" in done.out
    done = svcc("diff", *OF_NODE, "--iptables", "legacy", inside=node)
    assert "nft list table inet firewall prints it" in done.err


def test_kube_proxys_nftables_mode_is_judged(node: Namespace) -> None:
    node.run("nft", "-f", "-", text=(REAL / "nft.txt").read_text())
    done = svcc("verify", *OF_REAL, inside=node)
    assert done.code == 0, done.out + done.err
    assert "warning" not in done.err
    node.run("nft", "flush", "map", "ip", "kube-proxy", "service-nodeports")
    done = svcc("verify", *OF_REAL, inside=node)
    assert done.code == 1, done.out
    assert "node port" in done.out


@pytest.mark.parametrize("variant", ["legacy", "nft"])
def test_iptables_rules_beside_kube_proxys_nftables_mode(node: Namespace, variant: str) -> None:
    node.run("nft", "-f", "-", text=(REAL / "nft.txt").read_text())
    tool = f"iptables-{variant}"
    node.run(tool, "-t", "nat", "-A", "POSTROUTING", "-s", "10.244.0.0/16", "!", "-d",
             "10.244.0.0/16", "-j", "MASQUERADE")  # fmt: skip
    node.run(tool, "-A", "FORWARD", "-i", "docker0", "-j", "ACCEPT")
    done = svcc("verify", *OF_REAL, "--iptables", variant, inside=node)
    assert done.code == 0, done.out + done.err
    node.run(tool, "-A", "FORWARD", "-d", "10.244.2.0/24", "-j", "DROP")
    done = svcc("verify", *OF_REAL, "--iptables", variant, inside=node)
    assert done.code == 1, done.out + done.err
    assert "-A FORWARD -d 10.244.2.0/24 -j DROP" in done.out


def test_what_translates_first_is_not_known(node: Namespace) -> None:
    node.run("nft", "-f", "-", text=(REAL / "nft.txt").read_text())
    rule = "-d 10.96.0.11 -p tcp --dport 80 -j DNAT --to-destination 10.9.9.9:8080"
    node.run("iptables-legacy", "-t", "nat", "-A", "PREROUTING", *rule.split())
    done = svcc("verify", *OF_REAL, "--iptables", "legacy", inside=node)
    assert done.code == 3, done.out + done.err
    assert "registered first" in done.out


def test_a_namespace_without_a_service_proxy(node: Namespace) -> None:
    for done in (verify(node), explain(node, PACKET), explain(node, "shop/web")):
        assert done.code == 3, done.out
        said = done.out + done.err
        assert "no rules of a Service proxy were found here" in said
        assert "KUBE-SERVICES" in said
        assert "violated" not in done.out
    # What is no frontend's is as it must be all the same.
    assert explain(node, "from 203.0.113.7 to 10.1.1.1:22").code == 0
