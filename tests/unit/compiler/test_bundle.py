"""A compiled node as files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random

import pytest

from svcc.compiler.bundle import FILE_NAMES, MANIFEST, main_family, render, script
from svcc.compiler.files.write import write_bundle
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.parse import parse
from tests.support.clusters.random_objects import random_objects, random_settings

EMPTY = compile_objects(Objects(), NodeSettings(node_name="node-a"))


def test_scripts_are_what_was_compiled() -> None:
    random = Random(7)
    compiled = compile_objects(random_objects(random, 30), random_settings(random))
    for family in Family:
        text = script(compiled, family)
        assert text.startswith("# ")
        assert text.endswith("COMMIT\n")
        assert "node-a" in text.splitlines()[0]
        assert parse(text, family=family, source="") == compiled.programs[family]


def test_manifest_tells_the_files() -> None:
    files = render(EMPTY)
    manifest = json.loads(files.pop(MANIFEST))
    assert manifest["node"] == "node-a"
    assert manifest["mode"] == "iptables"
    assert set(manifest["files"]) == set(files) == set(FILE_NAMES.values())
    for name, text in files.items():
        told = manifest["files"][name]
        assert told["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        lines = text.splitlines()
        assert told["rules"] == sum(line.startswith("-A ") for line in lines)
        assert told["chains"] == sum(line.startswith(":SVCC-") for line in lines)


def test_same_input_same_bytes() -> None:
    def compiled(shuffled: int) -> dict[str, str]:
        random = Random(11)
        objects, settings = random_objects(random, 40), random_settings(random)
        Random(shuffled).shuffle(objects.services)
        Random(shuffled).shuffle(objects.slices)
        return render(compile_objects(objects, settings))

    assert compiled(1) == compiled(2)


def test_files_are_written_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "bundle"
    for _ in range(2):
        written = write_bundle(EMPTY, str(folder))
        assert sorted(folder.iterdir()) == sorted(written)
        assert {path.name: path.read_text() for path in written} == render(EMPTY)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_bundle(EMPTY, str(tmp_path / "file"))


def test_ipv4_is_printed_unless_all_is_ipv6() -> None:
    assert main_family(EMPTY) is Family.IPV4
    objects = random_objects(Random(1), 20)
    settings = NodeSettings(node_name="node-a")
    assert main_family(compile_objects(objects, settings)) is Family.IPV4
    objects.services = [
        service
        for service in objects.services
        if {address.family for address in service.cluster_ips} == {Family.IPV6}
    ]
    assert main_family(compile_objects(objects, settings)) is Family.IPV6
