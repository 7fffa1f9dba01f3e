"""What would take everything away, or meet somebody else at work, asks first."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from svcc.apply.iptables.tool import Variant
from svcc.apply.system.beside import kube_proxy_at_work, svcc_at_work
from tests.paths import DATA
from tests.support.command import Done, svcc
from tests.support.kernel.foreign_rules import saved
from tests.support.kernel.namespace import Namespace

pytestmark = pytest.mark.kernel

DUMP = DATA / "kube-proxy" / "nodeport"
GIVEN = ("-f", DUMP / "objects.yaml", "--node", "node-a", "--cluster-cidr", "10.244.0.0/16")
EMPTY = "apiVersion: v1\nkind: List\nitems: []\n"


@contextmanager
def running(*command: object) -> Iterator[int]:
    """A process beside, in the namespace of this one; yields its id once it says something."""
    with subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.stdin.close()


def refused(done: Done) -> str:
    assert done.code == 1, done.out + done.err
    assert done.out == ""
    assert "nothing was changed; --force goes on all the same" in done.err
    return done.err


def test_an_empty_list(node: Namespace, variant: Variant) -> None:
    given = ("-f", "-", "--node", "node-a", "--iptables", variant)
    # Where nothing is loaded, nothing can be taken away.
    assert svcc("apply", *given, text=EMPTY).code == 0
    assert svcc("apply", *GIVEN, "--iptables", variant).code == 0
    before = saved(node, variant)
    assert "svcc cleanup does that" in refused(svcc("apply", *given, text=EMPTY))
    for reading in (("diff",), ("apply", "--dry-run")):
        done = svcc(reading[0], *given, *reading[1:], text=EMPTY)
        assert "warning: no Service with frontends is among the objects" in done.err
        assert done.out != ""
    assert saved(node, variant) == before
    done = svcc("apply", *given, "--force", text=EMPTY)
    assert done.code == 0, done.err
    assert "warning: no Service with frontends" in done.err
    assert not any("10.96.0.11" in line for line in saved(node, variant))


@pytest.mark.parametrize("modes", [("iptables", "nftables"), ("nftables", "iptables")])
def test_an_empty_list_in_another_mode(
    node: Namespace, variant: Variant, modes: tuple[str, str]
) -> None:
    loaded, wanted = modes
    assert svcc("apply", *GIVEN, "--mode", loaded, "--iptables", variant).code == 0
    before = saved(node, variant), node.run("nft", "list", "tables")
    given = ("-f", "-", "--node", "node-a", "--iptables", variant, "--mode", wanted)
    assert "svcc cleanup does that" in refused(svcc("apply", *given, text=EMPTY))
    for reading in (("diff",), ("apply", "--dry-run")):
        done = svcc(reading[0], *given, *reading[1:], text=EMPTY)
        assert "warning: no Service with frontends is among the objects" in done.err
    assert (saved(node, variant), node.run("nft", "list", "tables")) == before
    # The same objects in another mode take nothing away but the rules of this one.
    there = (*GIVEN, "--mode", wanted, "--iptables", variant)
    shown = svcc("diff", *there).out.splitlines()
    gone = {"iptables": "--- ipv4 nat (loaded)", "nftables": "--- ip svcc (loaded)"}
    assert gone[loaded] in shown[shown.index(gone[wanted]) :]
    assert svcc("apply", *there).code == 0
    assert svcc("diff", *there).out == ""


def test_services_without_slices(node: Namespace, variant: Variant, tmp_path: Path) -> None:
    alone = tmp_path / "services.yaml"
    text = (DUMP / "objects.yaml").read_text()
    alone.write_text("---\n".join(d for d in text.split("---\n") if "kind: Service\n" in d))
    given = ("-f", alone, "--node", "node-a", "--cluster-cidr", "10.244.0.0/16")
    # Where nothing is served nothing can be taken away.
    assert svcc("apply", *given, "--iptables", variant).code == 0
    assert svcc("apply", *GIVEN, "--iptables", variant).code == 0
    before = saved(node, variant)
    assert "no EndpointSlice" in refused(svcc("apply", *given, "--iptables", variant))
    assert saved(node, variant) == before
    assert svcc("apply", *given, "--iptables", variant, "--force").code == 0


def test_an_address_that_no_interface_has(node: Namespace, variant: Variant) -> None:
    given = (*GIVEN, "--iptables", variant, "--node-ip", "192.168.7.10")
    assert "no interface has 192.168.7.10" in refused(svcc("apply", *given))
    assert "warning: no interface has 192.168.7.10" in svcc("diff", *given).err
    node.ip("link add ext0 type veth peer name far", "address add 192.168.7.10/24 dev ext0")
    done = svcc("apply", *given)
    assert done.code == 0, done.err


def test_a_kube_proxy_at_work(node: Namespace, variant: Variant, tmp_path: Path) -> None:
    program = tmp_path / "kube-proxy"
    shutil.copy("/bin/cat", program)
    given = (*GIVEN, "--iptables", variant)
    with running(program) as process:
        assert f"kube-proxy (process {process}: {program})" in refused(svcc("apply", *given))
        assert "warning: kube-proxy (process" in svcc("diff", *given).err
    node.run(f"iptables-{variant}-restore", text=(DUMP / "iptables-save.txt").read_text())
    # Rules that nobody maintains are no obstacle.
    assert svcc("apply", *given).code == 0
    with socket.create_server(("127.0.0.1", 10249)):
        assert "a kube-proxy (chain KUBE-SERVICES, and it listens" in refused(svcc("apply", *given))
        assert svcc("apply", *given, "--force").code == 0
    assert svcc("apply", *given).code == 0


def test_a_kube_proxy_elsewhere_is_none_here(node: Namespace, tmp_path: Path) -> None:
    del node
    program = tmp_path / "kube-proxy"
    shutil.copy("/bin/cat", program)
    with running("unshare", "--net", program):
        assert kube_proxy_at_work([]) is None
    with running(program):
        assert kube_proxy_at_work([]) is not None


def test_another_svcc_with_a_lock_of_its_own(node: Namespace, tmp_path: Path) -> None:
    """As in a container that has the host's network, but not its /run."""
    del node
    program = tmp_path / "svcc"
    program.write_text("print(flush=True); import sys; sys.stdin.read()")
    apply = (sys.executable, program, "apply")
    with running(*apply):
        assert svcc_at_work() is None
    hidden = 'mount -t tmpfs tmpfs /run && exec "$@"'
    with running("unshare", "--mount", "sh", "-c", hidden, "sh", *apply) as process:
        assert f"another svcc (process {process}: " in str(svcc_at_work())
    with running("unshare", "--mount", "--net", "sh", "-c", hidden, "sh", *apply):
        assert svcc_at_work() is None
