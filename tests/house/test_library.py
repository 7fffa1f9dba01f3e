"""What programs may rely on of svcc.api, and what the library leaves to the command line."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import svcc.api
from svcc.api.settings import Flags
from svcc.compiler.settings.overrides import Overrides
from tests.house.imports import imported_names, modules
from tests.paths import ROOT

API = sorted((ROOT / "svcc" / "api").rglob("*.py"))
COMMANDS = sorted((ROOT / "svcc" / "commands").glob("*.py"))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", svcc.api.__all__)
def test_public_names_are_there_and_described(name: str) -> None:
    found = getattr(svcc.api, name)
    assert inspect.getdoc(found), f"{name} has no docstring"
    if inspect.isfunction(found):
        assert "Raises:" in (found.__doc__ or "") or ":func:" in (found.__doc__ or "")


def test_a_public_name_is_no_module() -> None:
    """Importing a module of that name would put it in the place of the function."""
    inside = {module.name for module in pkgutil.iter_modules(svcc.api.__path__)}
    assert not inside & set(svcc.api.__all__)


def test_type_checkers_see_what_is_imported() -> None:
    tree = ast.parse((ROOT / "svcc" / "api" / "__init__.py").read_text())
    declared = {
        (alias.name, node.module)
        for top in tree.body
        if isinstance(top, ast.If)
        for node in top.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert declared == set(svcc.api._MODULE_OF.items())
    assert {name for name, _ in declared} == set(svcc.api.__all__)
    assert svcc.api.__all__ == sorted(svcc.api.__all__, key=lambda n: (not n.isupper(), n))


def test_what_is_stable_is_in_the_document() -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    for name in svcc.api.__all__:
        if not isinstance(getattr(svcc.api, name), type) or name in ("Family", "Flags"):
            continue
        assert f"`{name}`" in text or name in ("Position", "Problem"), name


def test_flags_are_those_of_the_command_line() -> None:
    short = {"proxy_mode": "mode", "hostname_override": "node"}
    known = {short.get(item.name, item.name) for item in fields(Overrides)}
    assert set(Flags.__annotations__) | {"node"} == known


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", API, ids=_name)
def test_the_library_neither_prints_nor_parses_arguments(path: Path) -> None:
    assert not {"argparse", "svcc.commands", "svcc.cli"} & imported_names(path.read_text())
    for name in calls(path):
        assert name not in ("print", "input", "exit", "sys.exit")
        assert not name.startswith(("sys.stdout", "sys.stderr", "os.environ"))


@pytest.mark.parametrize("path", COMMANDS, ids=_name)
def test_commands_go_through_the_library(path: Path) -> None:
    for name in imported_names(path.read_text()):
        assert not name.startswith(("svcc.compiler", "svcc.apply", "svcc.grammar")), name
        if name.startswith("svcc.verify"):
            assert name.startswith(("svcc.verify.report", "svcc.verify.confirm")), name


def test_garbage_collection_is_left_alone() -> None:
    """A program's own business: only the command line, which ends soon, does without."""
    users = {
        path.relative_to(ROOT)
        for path in modules().values()
        if "gc" in imported_names(path.read_text())
    }
    assert users == {Path("svcc/cli.py")}
