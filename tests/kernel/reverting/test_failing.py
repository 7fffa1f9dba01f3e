"""What cannot be kept stops an apply; what cannot be loaded again is told and tried again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from svcc.apply.system.tools import find_tool
from tests.support.command import svcc
from tests.support.kernel.namespace import Namespace
from tests.support.kernel.reverting import LONG, record, state, wait_for_watchdog
from tests.support.kernel.shop import A, B, C, apply, shop

pytestmark = pytest.mark.kernel

OLD, NEW = shop(A, B), shop(B, C)
REAL = {"iptables-legacy": "iptables-legacy-restore", "nftables": "nft"}


@pytest.fixture
def switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """While this file is there, nothing can be loaded."""
    flag = tmp_path / "fails"
    for name in REAL.values():
        tool = tmp_path / name
        tool.write_text(
            f'#!/bin/sh\nif test -e {flag} && test "$1" != list\n'
            f'then echo "no memory" >&2; exit 1; fi\nexec {find_tool(name)} "$@"\n'
        )
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    yield flag
    flag.unlink(missing_ok=True)


@pytest.mark.parametrize("mode", REAL)
def test_going_back_is_tried_again(node: Namespace, switch: Path, mode: str) -> None:
    assert apply(OLD, mode).code == 0
    was = state(node)
    assert apply(NEW, mode, "--confirm-timeout", LONG).code == 0
    switch.touch()
    os.kill(record().watchdog, signal.SIGTERM)
    while record().state != "failing":
        time.sleep(0.05)
    assert "no memory" in record().message
    done = apply(NEW, mode)
    assert done.code == 1
    assert "going back fails" in done.err
    assert "no memory" in done.err
    switch.unlink()
    assert wait_for_watchdog().state == "reverted"
    assert state(node) == was


def test_apply_tells_that_going_back_fails(node: Namespace, switch: Path) -> None:
    assert apply(OLD, "nftables").code == 0
    was = state(node)
    command = f"touch {switch}; false"
    done = apply(NEW, "nftables", "--confirm-timeout", "1s", "--confirm-command", command)
    assert done.code == 1
    assert "going back fails: nft refuses the rules: no memory" in done.err
    switch.unlink()
    assert wait_for_watchdog().state == "reverted"
    assert state(node) == was


def test_what_fails_can_be_confirmed_after_all(node: Namespace, switch: Path) -> None:
    assert apply(OLD, "nftables", "--confirm-timeout", LONG).code == 0
    after = state(node)
    switch.touch()
    os.kill(record().watchdog, signal.SIGTERM)
    while record().state != "failing":
        time.sleep(0.05)
    assert svcc("confirm").code == 0
    switch.unlink()
    assert wait_for_watchdog().state == "confirmed"
    assert state(node) == after


def test_rules_that_cannot_be_read_are_not_lost(node: Namespace) -> None:
    """svcc's may be among those that iptables-nft cannot print."""
    assert apply(OLD, "iptables-nft").code == 0
    node.run("nft", "add", "rule", "ip", "nat", "PREROUTING", "numgen inc mod 2 0 drop")
    before = node.run("nft", "-s", "list", "ruleset")
    done = apply(NEW, "nftables", "--confirm-timeout", LONG)
    assert done.code == 1
    assert "what is loaded cannot be kept to go back to" in done.err
    assert node.run("nft", "-s", "list", "ruleset") == before


def test_no_watchdog_no_apply(node: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    was = state(node)
    monkeypatch.setattr("svcc.apply.reverting.watchdog.sys.executable", "/nowhere/python")
    done = apply(OLD, "nftables", "--confirm-timeout", LONG)
    assert done.code == 1
    assert "the watchdog that would go back cannot be started" in done.err
    assert state(node) == was
    monkeypatch.setattr("svcc.apply.reverting.watchdog.sys.executable", find_tool("false"))
    done = apply(OLD, "nftables", "--confirm-timeout", LONG)
    assert done.code == 1
    assert "cannot be started: it ended at once" in done.err
    assert state(node) == was


def test_what_somebody_put_into_svccs_chains_comes_back(node: Namespace) -> None:
    assert apply(OLD, "iptables-legacy").code == 0
    assert apply(OLD, "nftables", "--force").code == 0
    node.run("nft", "add", "rule", "ip", "svcc", "nat-prerouting", "meta", "mark", "7", "counter")
    node.run("nft", "insert", "rule", "ip", "svcc", "nat-prerouting", "log", "prefix", '"x y"')
    was = state(node)
    done = apply(NEW, "nftables", "--confirm-timeout", LONG)
    assert done.code == 0, done.err
    assert svcc("confirm", "--revert").code == 0
    assert state(node) == was
