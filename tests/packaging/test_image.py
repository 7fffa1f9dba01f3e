"""The images: what is copied is there, and their steps give a svcc that runs as it must."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from fnmatch import fnmatch

import pytest

from tests.packaging.image import chain, chrooted, script, stages
from tests.paths import ROOT
from tests.support.kernel.namespace import Namespace, missing, namespace


def test_stages_lead_to_one_base_and_the_replacement_is_the_default() -> None:
    found = stages()
    assert list(found)[-1] == "replacement"
    bases = {chain(name)[0].base for name in found}
    assert len(bases) == 1, "what was compiled for one Python must not run on another"


def _copied() -> list[str]:
    return [
        word
        for stage in stages().values()
        for name, value in stage.steps
        if name == "COPY" and "--from=" not in value
        for word in value.split()[:-1]
    ]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    for name in _copied():
        assert (ROOT / name).exists(), name
        assert any(fnmatch(name, each) for each in kept), f".dockerignore leaves out {name}"
    # The links of svcc/ lead to what is copied.
    for link in (ROOT / "svcc").iterdir():
        if link.is_symlink():
            assert os.path.relpath(link.resolve(), ROOT) in _copied(), link


def test_each_tool_that_svcc_calls_is_installed() -> None:
    made = (ROOT / "Makefile").read_text()
    packages = dict(re.findall(r"([\w.-]+):([\w-]+)", made.split("for pair in")[1].split("do")[0]))
    installed = {
        word for _, value in stages()["base"].steps if "apt-get install" in value
        for word in value.split()
    }  # fmt: skip
    for tool in ("iptables", "ipset", "conntrack", "nft", "ipvsadm"):
        assert packages[tool] in installed, tool


def test_only_the_replacement_is_root() -> None:
    assert chain("replacement")[-1].last("USER") is None
    user = chain("audit")[-1].last("USER") or ""
    assert int(user.split(":")[0]) > 1000


def _missing() -> str | None:
    if reason := missing():
        return reason
    absent = [name for name in ("setcap", "setpriv", "unshare") if shutil.which(name) is None]
    return f"needs {', '.join(absent)}" if absent else None


def _run(target: str, arguments: list[str], inside: Namespace, *, files: str = "") -> str:
    """What the image of a target prints when it is run as its manifest says."""
    stage = chain(target)[-1]
    ids = (stage.last("USER") or "0:0").split(":")
    confined = [
        "setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups",
        "--bounding-set=-all,+net_admin", "--inh-caps=-all", "--",
    ]  # fmt: skip
    command = shlex.join([*confined, *stage.command("ENTRYPOINT"), *arguments])
    # The rest of the root is read-only, as the manifests have it; so is /proc/sys in a container.
    text = script(
        target,
        f"{files}\nmount --bind /proc/sys $root/proc/sys\nmount -o remount,bind,ro $root/proc/sys\n"
        "mount -o remount,ro $root\n" + chrooted("$root", command),
    )
    with inside.entered():
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", text],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


_SHOP = f"mkdir -p $root/shop && cp {shlex.quote(str(ROOT))}/examples/shop/* $root/shop/"
_OF_SHOP = ["-f", "/shop", "--config", "/shop/config.yaml"]


@pytest.mark.kernel
def test_its_steps_give_a_svcc_that_needs_net_admin_alone() -> None:
    if reason := _missing():
        pytest.skip(reason)
    with namespace() as node:
        loaded = _run(
            "replacement",
            ["apply", *_OF_SHOP, "--mode", "nftables", "--iptables-localhost-nodeports=false"],
            node,
            files=f"{_SHOP}\nmkdir -p /run/svcc; mount --rbind /run $root/run",
        )
        assert "nftables: 2 tables changed" in loaded
        judged = _run(
            "audit",
            ["verify", "--live", *_OF_SHOP, "--mode", "nftables",
             "--iptables-localhost-nodeports=false"],
            node,
            files=_SHOP,
        )  # fmt: skip
        assert "violated" not in judged
        assert "proved: " in judged
