"""What is confirmed stays, what is not goes back, in each mode and from each to each."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from svcc.api import ApplyError, apply, load, node_settings
from svcc.apply.reverting import confirmation
from tests.support.command import svcc
from tests.support.kernel.foreign_rules import load_foreign
from tests.support.kernel.namespace import Namespace, in_child
from tests.support.kernel.reverting import LONG, SHORT, record, state, wait_for_watchdog
from tests.support.kernel.shop import A, B, C, shop
from tests.support.kernel.shop import apply as apply_shop

pytestmark = pytest.mark.kernel

MODES = ("iptables-legacy", "iptables-nft", "nftables")
OLD, NEW = shop(A, B), shop(B, C, node_port=30081, refused=True)
FIREWALL = "table inet mine {\n\tchain c {\n\t\tdrop\n\t}\n}\n"


@pytest.mark.parametrize("mode", MODES)
def test_confirmed_stays(node: Namespace, mode: str) -> None:
    assert apply_shop(OLD, mode).code == 0
    done = apply_shop(NEW, mode, "--confirm-timeout", LONG)
    assert done.code == 0, done.err
    assert "svcc confirm keeps what is loaded" in done.err
    after = state(node)
    assert record().state in ("loading", "waiting")
    confirmed = svcc("confirm")
    assert confirmed.code == 0, confirmed.err
    assert "is confirmed: svcc confirm" in confirmed.out
    assert wait_for_watchdog().state == "confirmed"
    assert state(node) == after
    # There is nothing left to go back to, and nothing stands in the way of the next apply.
    assert svcc("confirm", "--revert").code == 1
    assert apply_shop(NEW, mode).out.startswith("nothing to do")


@pytest.mark.parametrize(("before", "after"), [*product(("nothing", *MODES), MODES)])
def test_not_confirmed_goes_back(node: Namespace, before: str, after: str) -> None:
    load_foreign(node, "legacy")
    if before != "nothing":
        assert apply_shop(OLD, before).code == 0
    was = state(node)
    done = apply_shop(NEW, after, "--confirm-timeout", LONG)
    assert done.code == 0, done.err
    assert state(node) != was
    # Others change theirs meanwhile.
    node.run("iptables-legacy", "-I", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
    node.run("nft", "-f", "-", text=FIREWALL)
    os.kill(record().watchdog, signal.SIGTERM)
    assert wait_for_watchdog().state == "reverted"
    node.run("iptables-legacy", "-D", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
    assert "drop" in node.run("nft", "list", "table", "inet", "mine")
    node.run("nft", "delete", "table", "inet", "mine")
    assert state(node) == was
    assert svcc("confirm").code == 1


@pytest.mark.parametrize("mode", MODES)
def test_the_time_is_over(node: Namespace, mode: str) -> None:
    assert apply_shop(OLD, mode).code == 0
    was = state(node)
    assert apply_shop(NEW, mode, "--confirm-timeout", SHORT).code == 0
    ended = wait_for_watchdog()
    assert (ended.state, ended.message) == ("reverted", "nobody confirmed it within 0.01 s")
    assert state(node) == was


@pytest.mark.parametrize("mode", MODES)
def test_back_at_once(node: Namespace, mode: str) -> None:
    assert apply_shop(OLD, mode).code == 0
    was = state(node)
    assert apply_shop(NEW, mode, "--confirm-timeout", LONG).code == 0
    watchdog = record().watchdog
    done = svcc("confirm", "--revert")
    assert done.code == 0, done.err
    assert "is undone: svcc confirm --revert" in done.out
    assert state(node) == was
    assert wait_for_watchdog().watchdog == watchdog
    assert state(node) == was


def killed_behind(what: str, mode: str) -> Callable[[], None]:
    """Applies, and is killed where a function of :mod:`svcc.apply.modes` would be called."""

    def run() -> None:
        def die(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        pytest.MonkeyPatch().setattr(f"svcc.apply.modes.{what}", die)
        apply_shop(NEW, mode, "--confirm-timeout", SHORT)

    return run


@pytest.mark.parametrize(
    ("mode", "what"),
    [
        ("iptables-legacy", "remove_tables"),
        ("iptables-nft", "remove_tables"),
        ("nftables", "cleanup"),
        ("nftables", "nftables.run"),
    ],
)
@pytest.mark.parametrize("before", MODES)
def test_apply_killed(node: Namespace, before: str, mode: str, what: str) -> None:
    assert apply_shop(OLD, before).code == 0
    was = state(node)
    status = in_child(killed_behind(what, mode))
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert wait_for_watchdog().state == "reverted"
    assert state(node) == was


@pytest.mark.parametrize("mode", MODES)
def test_a_command_that_succeeds_confirms(node: Namespace, mode: str, tmp_path: Path) -> None:
    assert apply_shop(OLD, mode).code == 0
    # It fails the first time, and says by its file which time it is.
    command = f"test -e {tmp_path}/second || {{ touch {tmp_path}/second; false; }}"
    done = apply_shop(NEW, mode, "--confirm-timeout", LONG, "--confirm-command", command)
    assert done.code == 0, done.err
    assert f"is confirmed: {command} succeeded" in done.err
    assert wait_for_watchdog().state == "confirmed"
    assert apply_shop(NEW, mode).out.startswith("nothing to do")


@pytest.mark.parametrize("mode", MODES)
def test_a_command_that_fails_does_not(node: Namespace, mode: str) -> None:
    assert apply_shop(OLD, mode).code == 0
    was = state(node)
    command = "echo no route >&2; exit 3"
    done = apply_shop(NEW, mode, "--confirm-timeout", "1s", "--confirm-command", command)
    assert done.code == 1
    assert "failed (exit code 3: no route)" in done.err
    assert state(node) == was
    wait_for_watchdog()


def test_a_command_that_hangs_does_not(node: Namespace) -> None:
    was = state(node)
    command = "sleep 1000000 & sleep 1000000"
    done = apply_shop(NEW, "nftables", "--confirm-timeout", "1s", "--confirm-command", command)
    assert done.code == 1
    assert f"{command} did not end" in done.err
    assert state(node) == was
    wait_for_watchdog()


def test_another_apply_waits_for_the_decision(node: Namespace) -> None:
    assert apply_shop(OLD, "nftables", "--confirm-timeout", LONG).code == 0
    before = state(node)
    for done in (
        apply_shop(NEW, "nftables"),
        apply_shop(NEW, "iptables-legacy", "--force"),
        apply_shop(NEW, "iptables-legacy", "--confirm-timeout", SHORT),
        svcc("cleanup"),
    ):
        assert done.code == 1
        assert "waits to be confirmed" in done.err
        assert "svcc confirm --revert goes back" in done.err
        assert state(node) == before
    assert apply_shop(NEW, "nftables", "--dry-run").code == 0
    assert svcc("confirm").code == 0
    assert apply_shop(NEW, "nftables").code == 0


def test_what_changes_nothing_waits_for_nobody(node: Namespace) -> None:
    assert apply_shop(OLD, "nftables").code == 0
    done = apply_shop(OLD, "nftables", "--confirm-timeout", SHORT)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("nothing to do")
    assert confirmation.read() is None
    assert not list(Path("/run/svcc").glob(f"{os.stat('/proc/self/ns/net').st_ino}.saved"))
    assert node


def test_an_apply_that_fails_and_is_undone_waits_for_nobody(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = load(text=OLD)
    settings = node_settings(objects, node="node-a", mode="nftables", cluster_cidr="10.128.0.0/16")
    was = state(node)

    def fail(*_: object) -> None:
        raise ApplyError("it failed")

    monkeypatch.setattr("svcc.apply.modes.nftables.run", fail)
    with pytest.raises(ApplyError, match="it failed"):
        apply(objects, settings, confirm_timeout=1000)
    assert confirmation.read() is None
    assert state(node) == was


def test_a_watchdog_that_is_gone_is_told(node: Namespace) -> None:
    was = state(node)
    assert apply_shop(OLD, "iptables-legacy", "--confirm-timeout", LONG).code == 0
    os.kill(record().watchdog, signal.SIGKILL)
    wait_for_watchdog()
    done = apply_shop(NEW, "iptables-legacy")
    assert done.code == 1
    assert "is gone, so nothing goes back by itself" in done.err
    assert svcc("confirm", "--revert").code == 0
    assert state(node) == was


def test_the_record_of_a_namespace_that_is_gone_says_nothing(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert apply_shop(OLD, "nftables", "--confirm-timeout", LONG).code == 0
    assert confirmation.read() is not None
    with monkeypatch.context() as patch:
        patch.setattr("svcc.apply.reverting.confirmation.namespace_cookie", lambda: 1)
        assert confirmation.read() is None
    assert node


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--confirm-timeout", "30"), "is not a duration; write it like 15m or 30s"),
        (("--confirm-timeout", "0s"), "more than 0 s"),
        (("--confirm-timeout", "1000h"), "at most 7 days"),
        (("--confirm-command", "true"), "only together with --confirm-timeout"),
    ],
)
def test_bad_input(node: Namespace, arguments: tuple[str, ...], what: str) -> None:
    was = state(node)
    done = apply_shop(OLD, "nftables", *arguments)
    assert done.code == 2
    assert what in done.err
    assert state(node) == was
