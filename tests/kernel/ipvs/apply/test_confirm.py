"""An apply in, to and from ipvs mode that goes back by itself unless it is confirmed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from svcc.apply.nftables import read
from svcc.apply.reverting import confirmation
from svcc.apply.system import sysctl
from tests.kernel.ipvs.apply.shop import State, state
from tests.support.command import svcc
from tests.support.kernel.namespace import Namespace, in_child
from tests.support.kernel.reverting import LONG, record, wait_for_watchdog
from tests.support.kernel.shop import A, B, C, apply, shop

pytestmark = pytest.mark.ipvs

OLD, NEW = shop(A, B), shop(B, C, node_port=30081, refused=True)
ARP = "net/ipv4/conf/all/arp_ignore"


@pytest.fixture(autouse=True)
def _no_watchdog_is_left(node: Namespace) -> Iterator[None]:
    yield
    if confirmation.read() is not None:
        svcc("confirm")
        wait_for_watchdog()
        confirmation.remove()
    read.forget()
    assert node


def everything(node: Namespace) -> tuple[State, str, bool | None, str | None]:
    """All that apply may touch."""
    own = [key for key in ("ip svcc", "ip6 svcc") if key in node.run("nft", "list", "tables")]
    tables = "".join(node.run("nft", "-s", "list", "table", *key.split()) for key in own)
    return state(node), tables, sysctl.read(sysctl.ROUTE_LOCALNET), sysctl.value(ARP)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nothing", "ipvs"),
        ("ipvs", "ipvs"),
        ("iptables-legacy", "ipvs"),
        ("ipvs", "iptables-legacy"),
    ],
)
def test_not_confirmed_goes_back(node: Namespace, before: str, after: str) -> None:
    node.run("ipvsadm", "-A", "-t", "192.0.2.1:80", "-s", "rr")
    if before != "nothing":
        done = apply(OLD, before)
        assert done.code == 0, done.err
    was = everything(node)
    strict = ("--ipvs-strict-arp",) if after == "ipvs" else ()
    done = apply(NEW, after, *strict, "--confirm-timeout", LONG)
    assert done.code == 0, done.err
    assert everything(node) != was
    # Others change theirs meanwhile.
    node.run("ipvsadm", "-a", "-t", "192.0.2.1:80", "-r", "192.0.2.9:80", "-m")
    node.run("iptables-legacy", "-I", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
    os.kill(record().watchdog, signal.SIGTERM)
    ended = wait_for_watchdog()
    assert ended.state == "reverted", ended
    node.run("ipvsadm", "-d", "-t", "192.0.2.1:80", "-r", "192.0.2.9:80")
    node.run("iptables-legacy", "-D", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
    assert everything(node) == was


def test_confirmed_stays(node: Namespace) -> None:
    assert apply(OLD, "iptables-legacy").code == 0
    assert apply(NEW, "ipvs", "--confirm-timeout", LONG).code == 0
    after = everything(node)
    assert svcc("confirm").code == 0
    assert wait_for_watchdog().state == "confirmed"
    assert everything(node) == after


def test_somebody_elses_virtual_server_that_was_taken_over_comes_back(node: Namespace) -> None:
    node.run("ipvsadm", "-A", "-t", "10.96.0.10:80", "-s", "wlc")
    node.run("ipvsadm", "-a", "-t", "10.96.0.10:80", "-r", "192.0.2.9:80", "-m", "-w", "3")
    was = everything(node)
    assert apply(NEW, "ipvs", "--confirm-timeout", LONG).code == 0
    assert "192.0.2.9" not in node.run("ipvsadm", "-Sn")
    assert svcc("confirm", "--revert").code == 0
    assert everything(node) == was


def test_apply_killed(node: Namespace) -> None:
    assert apply(OLD, "iptables-legacy").code == 0
    was = everything(node)

    def run() -> None:
        def die(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        pytest.MonkeyPatch().setattr("svcc.apply.ipvs.servers.Servers.problem", die)
        apply(NEW, "ipvs", "--confirm-timeout", "10ms")

    assert os.WTERMSIG(in_child(run)) == signal.SIGKILL
    assert wait_for_watchdog().state == "reverted"
    assert everything(node) == was
