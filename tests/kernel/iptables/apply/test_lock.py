"""Who can keep apply waiting, and what goes on beside a lock that is held."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from svcc.apply.iptables.tool import Variant
from svcc.apply.system import lock
from tests.paths import DATA
from tests.support.command import svcc
from tests.support.kernel.foreign_rules import saved
from tests.support.kernel.namespace import Namespace

pytestmark = pytest.mark.kernel

OBJECTS = DATA / "kube-proxy" / "nodeport" / "objects.yaml"
GIVEN = ("-f", OBJECTS, "--node", "node-a", "--cluster-cidr", "10.244.0.0/16")
NOBODY = 65534


@contextmanager
def nobody_in_the_way() -> Iterator[None]:
    """A process of user nobody with all the names that it can take."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            taken = socket.socket(socket.AF_UNIX)
            taken.bind("\0svcc-apply")
            taken.listen()
            os.write(writing, b"x")
            os.close(writing)
            socket.socketpair()[0].recv(1)
        finally:
            os._exit(1)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"x"
        yield
    finally:
        os.close(reading)
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_nobody_cannot_keep_it_waiting(node: Namespace, variant: Variant) -> None:
    del node
    with nobody_in_the_way():
        done = svcc("apply", *GIVEN, "--iptables", variant, "-w", 0)
        assert done.code == 0, done.err
        assert svcc("cleanup", "--iptables", variant, "-w", 0).code == 0


def test_what_only_reads_takes_no_lock(node: Namespace, variant: Variant) -> None:
    before = saved(node, variant)
    with lock.held(None):
        assert svcc("diff", *GIVEN, "--iptables", variant).code == 1
        assert svcc("apply", *GIVEN, "--iptables", variant, "--dry-run").code == 0
        assert svcc("cleanup", "--iptables", variant, "--dry-run").code == 0
        for command in (("verify",), ("explain", "10.96.0.11:80"), ("dump", "rules", "shop/web")):
            done = svcc(command[0], *GIVEN, "--live", "--iptables", variant, *command[1:])
            assert "waiting" not in done.err
        assert saved(node, variant) == before
        done = svcc("apply", *GIVEN, "--iptables", variant, "-w", 0.2)
        assert done.code == 1
        assert f"note: waiting for another svcc (process {os.getpid()}: " in done.err
        assert "did not end within 0.2 s; nothing was changed" in done.err
        done = svcc("cleanup", "--iptables", variant, "-w", 0.2)
        assert done.code == 1
        assert "note: waiting for another svcc" in done.err
    assert saved(node, variant) == before


def test_a_lock_of_somebody_else_is_refused(node: Namespace, variant: Variant) -> None:
    with lock.held(None):
        path = lock.FOLDER / f"{os.stat('/proc/thread-self/ns/net').st_ino}.lock"
    os.chown(path, NOBODY, NOBODY)
    done = svcc("apply", *GIVEN, "--iptables", variant)
    assert done.code == 1
    assert f"{path} belongs to user {NOBODY}" in done.err
    assert saved(node, variant) == []
    path.unlink()
    assert svcc("apply", *GIVEN, "--iptables", variant).code == 0
