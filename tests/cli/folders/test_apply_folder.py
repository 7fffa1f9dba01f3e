"""svcc apply and diff of a folder that svcc compile wrote, in a kernel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.support.command import svcc
from tests.support.kernel.namespace import Namespace, missing, namespace

SHOP = ["-f", str(ROOT / "examples/shop"), "--config", str(ROOT / "examples/shop/config.yaml")]
NODE = ["--node", "node-a"]


@pytest.fixture
def node() -> Iterator[Namespace]:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    done = svcc("compile", *SHOP, "--all-nodes", "-o", tmp_path)
    assert done.code == 0, done.err
    return tmp_path


@pytest.mark.kernel
def test_what_was_compiled_elsewhere_is_loaded(node: Namespace, folder: Path) -> None:
    before = node.run("iptables-save")
    given = ["--rules", str(folder), *NODE]
    assert svcc("diff", *given, inside=node).code == 1
    dry = svcc("apply", *SHOP, *given, "--dry-run", inside=node)
    assert dry.code == 0
    assert "-A SVCC-SERVICES" in dry.out
    assert node.run("iptables-save") == before
    done = svcc("apply", *SHOP, *given, inside=node)
    assert done.code == 0, done.err
    loaded = node.run("iptables-save")
    assert "SVCC-SERVICES" in loaded
    # The same as if it had been compiled here.
    same = svcc("diff", *SHOP, inside=node)
    assert (same.code, same.out) == (0, "")
    again = svcc("apply", "--no-verify", "--rules", folder / "node-a", *NODE, inside=node)
    assert (again.code, again.out[:13]) == (0, "nothing to do")


def sign(folder: Path, name: str) -> None:
    """Put the sum of a changed file into the manifest."""
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["files"][name]["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest))


@pytest.mark.kernel
def test_what_the_objects_do_not_prove_is_not_loaded(node: Namespace, folder: Path) -> None:
    rules = folder / "node-a" / "iptables.rules"
    text = rules.read_text()
    assert "10.244.1.10:8080" in text
    rules.write_text(text.replace("10.244.1.10:8080", "10.244.1.77:8080"))
    given = ["--rules", folder / "node-a", *NODE]
    before = node.run("iptables-save")
    done = svcc("apply", *SHOP, *given, inside=node)
    assert (done.code, done.out) == (2, "")
    assert "changed since svcc compile wrote it" in done.err
    sign(folder / "node-a", rules.name)
    done = svcc("apply", *SHOP, *given, inside=node)
    assert (done.code, done.out) == (1, "")
    assert "are not proved by these objects, so nothing was loaded" in done.err
    assert node.run("iptables-save") == before
    done = svcc("apply", "--no-verify", *given, inside=node)
    assert done.code == 0
    assert "10.244.1.77:8080" in node.run("iptables-save")


@pytest.mark.kernel
def test_tables_of_nftables_mode_are_loaded(node: Namespace, tmp_path: Path) -> None:
    nftables = [*SHOP, "--mode", "nftables"]
    assert svcc("compile", *nftables, "-o", tmp_path).code == 0
    done = svcc("apply", *SHOP, "--rules", tmp_path, inside=node)
    assert done.code == 0, done.err
    assert "table ip svcc" in node.run("nft", "list", "tables")
    same = svcc("diff", *nftables, inside=node)
    assert (same.code, same.out) == (0, "")
