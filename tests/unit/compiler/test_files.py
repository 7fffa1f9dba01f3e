"""Folders of what was compiled: checked, read back, and written over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from svcc.compiler.bundle import MANIFEST, render
from svcc.compiler.files.manifest import Manifest, differences, read_manifest
from svcc.compiler.files.read import read_bundle
from svcc.compiler.files.write import write_bundle, write_bundles
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.compiler.settings.node import IpvsSettings, Mode, NodeSettings
from svcc.grammar.address import parse_network
from svcc.grammar.errors import InputError
from tests.support.clusters.cases import case_objects
from tests.support.clusters.random_objects import random_objects

IPVS = IpvsSettings(
    strict_arp=True,
    exclude_networks=(parse_network("10.9.0.0/16"),),
    tcp_timeout=900,
    udp_timeout=30,
)


def compiled(node: str = "node-a", mode: str = "iptables") -> Compiled:
    settings = NodeSettings(node_name=node, ipvs=IPVS)
    settings = replace(settings, mode=next(known for known in get_args(Mode) if known == mode))
    return compile_objects(random_objects(Random(3), 12), settings)


def manifest_of(folder: Path) -> Manifest:
    found = read_manifest(folder)
    assert found is not None
    return found


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_what_was_written_is_read_back(mode: str, tmp_path: Path) -> None:
    wanted = compiled(mode=mode)
    write_bundle(wanted, str(tmp_path))
    bundle = read_bundle(str(tmp_path))
    assert bundle.programs == wanted.programs
    assert bundle.ipvs == wanted.ipvs
    assert (bundle.manifest.node, bundle.manifest.mode) == ("node-a", mode)
    assert bundle.manifest.route_localnet == wanted.route_localnet
    assert bundle.manifest.exclude == (IPVS.exclude_networks if mode == "ipvs" else ())


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_behaviour_cases_are_read_back(mode: str, tmp_path: Path) -> None:
    for name in ("source-ranges", "dual-stack", "affinity"):
        objects, settings = case_objects(name, mode)
        wanted = compile_objects(objects, settings)
        write_bundle(wanted, str(tmp_path))
        bundle = read_bundle(str(tmp_path))
        assert (bundle.programs, bundle.ipvs) == (wanted.programs, wanted.ipvs)


def test_nftables_folders_are_checked_and_written_over(tmp_path: Path) -> None:
    write_bundle(compiled(mode="nftables"), str(tmp_path))
    assert not list(differences(manifest_of(tmp_path)))
    (tmp_path / "ipset.rules").write_text("")
    with pytest.raises(InputError, match=r"ipset\.rules: error: added"):
        read_bundle(str(tmp_path))
    (tmp_path / "ipset.rules").unlink()
    assert read_bundle(str(tmp_path)).tables == compiled(mode="nftables").tables
    rules = tmp_path / "nftables.rules"
    rules.write_text(rules.read_text() + "table ip mine {\n}\n")
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["files"][rules.name]["sha256"] = hashlib.sha256(rules.read_bytes()).hexdigest()
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="the table ip mine is not svcc's"):
        read_bundle(str(tmp_path))
    write_bundle(compiled(), str(tmp_path))
    assert names(tmp_path) == {MANIFEST, "iptables.rules", "ip6tables.rules"}


def test_of_a_node_that_nobody_knows_is_for_all_such(tmp_path: Path) -> None:
    settings = NodeSettings(node_name="vm", known_node=False)
    write_bundle(compile_objects(Objects(), settings), str(tmp_path))
    assert manifest_of(tmp_path).node == ""


@pytest.mark.parametrize("name", sorted(set(render(compiled(mode="ipvs"))) - {MANIFEST}))
def test_each_changed_or_missing_file_is_told(name: str, tmp_path: Path) -> None:
    write_bundle(compiled(mode="ipvs"), str(tmp_path))
    assert not list(differences(manifest_of(tmp_path)))
    path = tmp_path / name
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    (problem,) = differences(manifest_of(tmp_path))
    assert str(problem).startswith(f"{path}: error: changed since svcc compile wrote it")
    with pytest.raises(InputError, match="changed since"):
        read_bundle(str(tmp_path))
    path.unlink()
    (problem,) = differences(manifest_of(tmp_path))
    assert str(problem).startswith(f"{path}: error: missing, though ")
    path.write_bytes(before)
    assert not list(differences(manifest_of(tmp_path)))


def test_added_rules_are_told_and_other_files_are_not(tmp_path: Path) -> None:
    write_bundle(compiled(), str(tmp_path))
    (tmp_path / "objects.yaml").write_text("")
    assert not list(differences(manifest_of(tmp_path)))
    for name in ("ipvsadm.rules", "other.rules", "more.batch", "nftables.nft"):
        (tmp_path / name).write_text("")
        (problem,) = differences(manifest_of(tmp_path))
        assert str(problem).startswith(f"{tmp_path / name}: error: added, for ")
        (tmp_path / name).unlink()


def told(**changes: object) -> str:
    """A manifest as text, with something changed."""
    found = json.loads(render(compiled())[MANIFEST])
    return json.dumps({key: value for key, value in {**found, **changes}.items() if value != ""})


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "{", "[" * 100000, told(files=""), told(files=[]), told(svcc=""),
     told(node=""), told(node=7), told(mode="kernelspace"), told(files={"a.rules": {}}),
     told(files={"../a.rules": {"sha256": "0"}}), told(files={"/etc/passwd": {"sha256": "0"}}),
     told(files={".hidden": {"sha256": "0"}}), told(files={MANIFEST: {"sha256": "0"}}),
     told(nodes=["node-a"]), told(nodes={"..": {"sha256": "0"}}),
     told(nodes={"a/b": {"sha256": "0"}}), told(exclude=["x"]), told(timeouts={"tcp": "1s"})],
)  # fmt: skip
def test_what_is_no_manifest_of_ours_is_not_followed(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    for attempt in (
        lambda: read_manifest(tmp_path),
        lambda: read_bundle(str(tmp_path)),
        lambda: write_bundle(compiled(), str(tmp_path)),
        lambda: write_bundles([compiled()], str(tmp_path)),
    ):
        with pytest.raises(InputError, match="not what svcc compile writes"):
            attempt()
    assert (tmp_path / MANIFEST).read_text() == text
    assert names(tmp_path) == {MANIFEST}


@pytest.mark.parametrize(
    "line",
    ["-A INPUT -j DROP", "-A INPUT -j ACCEPT", "-A INPUT -j KUBE-FIREWALL",
     "-I INPUT -j SVCC-INPUT", "-F INPUT", "-F SVCC-INPUT", "-P INPUT DROP",
     "-D INPUT -j SVCC-INPUT", "-A MINE -j DROP"],
)  # fmt: skip
def test_lines_that_svcc_never_writes_are_not_applied(line: str, tmp_path: Path) -> None:
    """Even though the sums are right: they are no seal."""
    write_bundle(compiled(), str(tmp_path))
    path = tmp_path / "iptables.rules"
    declared = ":MINE - [0:0]\n" if "MINE" in line else ""
    text = path.read_text().replace("*filter\n", f"*filter\n{declared}", 1)
    text = text.replace("COMMIT", f"{line}\nCOMMIT", 1)
    path.write_text(text)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["files"][path.name]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InputError) as raised:
        read_bundle(str(tmp_path))
    number = text.splitlines().index(line) + 1
    assert f"{path}:{number}:1: error: svcc writes no such line" in str(raised.value)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no bundle: there is no bundle\.json"):
        read_bundle(str(tmp_path))
    write_bundles([compiled("node-a"), compiled("node-b")], str(tmp_path))
    with pytest.raises(InputError, match=r"rules of several nodes; name .*/node-a$"):
        read_bundle(str(tmp_path))


# -- written over ----------------------------------------------------------------------------


def test_what_an_earlier_run_left_goes_and_other_files_stay(tmp_path: Path) -> None:
    for name in ("notes.txt", "other.rules"):
        (tmp_path / name).write_text("mine")
    write_bundle(compiled(mode="ipvs"), str(tmp_path))
    assert "ipset.rules" in names(tmp_path)
    write_bundle(compiled(), str(tmp_path))
    wanted = {MANIFEST, "iptables.rules", "ip6tables.rules"}
    assert names(tmp_path) == {*wanted, "notes.txt", "other.rules"}
    assert (tmp_path / "other.rules").read_text() == "mine"


def test_nodes_that_are_gone_go(tmp_path: Path) -> None:
    write_bundles([compiled(f"node-{n}", "ipvs") for n in "abc"], str(tmp_path))
    assert set(manifest_of(tmp_path).nodes or ()) == {"node-a", "node-b", "node-c"}
    assert not list(differences(manifest_of(tmp_path)))
    (tmp_path / "node-b" / "notes.txt").write_text("mine")
    (tmp_path / "node-d").mkdir()
    (tmp_path / "node-d" / "iptables.rules").write_text("mine")
    write_bundles([compiled("node-a")], str(tmp_path))
    files = {MANIFEST, "iptables.rules", "ip6tables.rules"}
    assert names(tmp_path) == {
        MANIFEST,
        *(f"node-a/{name}" for name in files),
        "node-b/notes.txt",
        "node-d/iptables.rules",
    }
    assert not (tmp_path / "node-c").exists()
    assert not list(differences(manifest_of(tmp_path)))


def test_one_node_in_the_place_of_several_and_back(tmp_path: Path) -> None:
    one = {MANIFEST, "iptables.rules", "ip6tables.rules"}
    write_bundles([compiled("node-a"), compiled("node-b")], str(tmp_path))
    write_bundle(compiled("node-a"), str(tmp_path))
    assert names(tmp_path) == one
    write_bundles([compiled("node-a")], str(tmp_path))
    assert names(tmp_path) == {MANIFEST, *(f"node-a/{name}" for name in one)}


def test_a_node_is_missing_or_added(tmp_path: Path) -> None:
    write_bundles([compiled("node-a"), compiled("node-b")], str(tmp_path))
    (tmp_path / "node-b").rename(tmp_path / "node-c")
    missing, added = differences(manifest_of(tmp_path))
    assert str(missing).startswith(f"{tmp_path / 'node-b' / MANIFEST}: error: missing, though ")
    assert str(added).startswith(f"{tmp_path / 'node-c' / MANIFEST}: error: added, for ")


def test_nothing_is_written_if_one_node_cannot_be_compiled(tmp_path: Path) -> None:
    def failing() -> Iterator[Compiled]:
        yield compiled("node-a")
        raise InputError([])

    write_bundles([compiled("node-b")], str(tmp_path))
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with pytest.raises(InputError):
        write_bundles(failing(), str(tmp_path))
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
