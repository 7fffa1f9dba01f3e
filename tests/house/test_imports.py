"""Imports point one way, and heavy libraries are loaded only where they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("grammar", "compiler", "verify", "apply")
MAY_IMPORT = {
    "grammar": {"grammar"},
    "compiler": {"grammar", "compiler"},
    "verify": {"grammar", "compiler", "verify"},
    "apply": {"grammar", "compiler", "apply"},
    "svcc": {"grammar", "compiler", "verify", "apply", "svcc"},
}
LOWERING = (
    "svcc.compiler.lower",
    "svcc.compiler.resolve",
    "svcc.compiler.pipeline",
    "svcc.compiler.bundle",
)


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield package, path
    for path in sorted((ROOT / "svcc").glob("*.py")):
        yield "svcc", path
    for folder in ("api", "commands"):
        for path in sorted((ROOT / "svcc" / folder).rglob("*.py")):
            yield "svcc", path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("package", "path"), list(modules()), ids=lambda value: str(value).removeprefix(f"{ROOT}/")
)
def test_imports_point_one_way(package: str, path: Path) -> None:
    for name in imported(path):
        first, *rest = name.split(".")
        assert first not in PACKAGES, f"import svcc.{name}, not {name}"
        if first == "svcc" and rest:
            inside = rest[0] if rest[0] in PACKAGES else "svcc"
            if rest[0] in ("__version__",):
                continue
            assert inside in MAY_IMPORT[package], f"{package} must not import {name}"
        if package == "verify":
            assert not name.startswith(LOWERING), f"verify must not know {name}"


def test_the_walk_sees_the_packages() -> None:
    found = list(modules())
    assert {package for package, _ in found} == {*PACKAGES, "svcc"}
    assert len(found) > 50


def test_the_verifier_loads_no_lowering_even_indirectly() -> None:
    code = "import sys, svcc.verify.engine, svcc.compiler.load.loader; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = done.stdout.split()
    assert "svcc.verify.engine" in loaded
    assert not [name for name in loaded if name.startswith(LOWERING)]


HEAVY = ("z3", "lark", "jinja2", "yaml", "hypothesis")


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import svcc.cli; svcc.cli.parser()", ()),
        ("import svcc.api; dir(svcc.api)", ()),
        ("from svcc.api import apply, compile, load, node_settings, read_rules", ()),
        ("import svcc.verify.engine", ("z3",)),
        ("import svcc.apply.engine", ()),
        ("import svcc.compiler.pipeline, svcc.compiler.load.loader", ()),
    ],
)
def test_heavy_libraries_are_lazy(statement: str, allowed: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(done.stdout.split())
    assert "svcc" in loaded
    assert not (set(HEAVY) & loaded) - set(allowed)


def test_the_simulator_is_a_second_opinion() -> None:
    """What it shares with the symbolic model are rules, and the kernel facts that are trusted."""
    shared = ("svcc.grammar.", "svcc.verify.netfilter", "svcc.verify.simulator")
    paths = sorted((ROOT / "verify" / "simulator").glob("*.py"))
    assert len(paths) > 3
    for path in paths:
        names = [name for name in imported(path) if name.startswith("svcc")]
        assert not [name for name in names if not name.startswith(shared)], path
