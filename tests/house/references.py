"""What texts refer to: roles such as :mod:`tests.paths` in docstrings, paths in documents."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.paths import ROOT

CODE = ("grammar", "compiler", "verify", "apply", "svcc", "tests", "bench", "examples")
_ROLE = re.compile(r":(?:func|class|mod|meth|attr|data|exc|const|obj):`~?([^`]*)`")
_FOLDERS = (*CODE, "docs", ".ci")
_QUOTED = re.compile(r"`([^`\s]+)`")
_FILE = re.compile(r"[\w.-]+\.(?:py|lark|md)")
NO_PATHS = {"svcc/ipvs-scheduler", "svcc/…"}
"""Annotations of Services, which look like paths."""


# -- documents -----------------------------------------------------------------------------


@cache
def files() -> frozenset[str]:
    """The repository's files, and those that are to be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(name for name in listed.splitlines() if (ROOT / name).exists())


def missing_paths(text: str) -> list[str]:
    """What stands in backticks like a path in the repository, and is none.

    A name without a folder may be that of any file.
    """
    names = {name.rpartition("/")[2] for name in files()}
    folders = {str(parent) for name in files() for parent in Path(name).parents}
    found = []
    for quoted in _QUOTED.findall(text):
        if quoted in NO_PATHS:
            continue
        if quoted.partition("/")[0] in _FOLDERS and "/" in quoted:
            there = quoted in files() or quoted.rstrip("/") in folders
        else:
            there = not _FILE.fullmatch(quoted) or quoted in names
        if not there:
            found.append(quoted)
    return found


# -- docstrings ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference:
    """A role in a docstring: where it stands, and what it names."""

    module: str
    line: int
    inside: str
    """The classes around it, by dots."""
    name: str


@cache
def modules() -> dict[str, Path]:
    """Every module by the name that it is imported by."""
    found = {}
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if folder in ("grammar", "compiler", "verify", "apply"):
                parts = ("svcc", *parts)
            elif folder == "svcc" and len(parts) > 2 and parts[1] in CODE:
                continue
            if parts[-1] == "__init__":
                parts = parts[:-1]
            found[".".join(parts)] = path
    return found


def references(module: str, text: str) -> Iterator[Reference]:
    """The roles in the docstrings of a module, its classes, functions and attributes."""
    yield from _references(module, ast.parse(text), ())


def _references(module: str, node: ast.AST, inside: tuple[str, ...]) -> Iterator[Reference]:
    for child in ast.iter_child_nodes(node):
        if (
            isinstance(child, ast.Expr)
            and isinstance(child.value, ast.Constant)
            and isinstance(child.value.value, str)
        ):
            for found in _ROLE.finditer(child.value.value):
                yield Reference(module, child.lineno, ".".join(inside), found[1])
        name = (child.name,) if isinstance(child, ast.ClassDef) else ()
        yield from _references(module, child, (*inside, *name))


def resolves(reference: Reference) -> bool:
    """Whether the name is that of something: in the class around it, in its module, or whole."""
    inside = reference.inside.split(".") if reference.inside else []
    scopes = [".".join([reference.module, *inside[:n]]) for n in range(len(inside), -1, -1)]
    whole = [f"{scope}.{reference.name}" for scope in scopes] + [reference.name]
    return any(_exists(name) for name in whole)


@cache
def _exists(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module, rest = ".".join(parts[:length]), parts[length:]
        if module in modules():
            return not rest or _in_code(module, rest)
    try:
        found = importlib.import_module(parts[0])
    except ImportError:
        return False
    return _has(found, parts[1:])


def _has(found: object, names: list[str]) -> bool:
    for name in names:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


def _in_code(module: str, names: list[str]) -> bool:
    """Attributes that only objects have count, too: a dataclass's fields, what __init__ sets."""
    body: ast.AST = _tree(module)
    for number, name in enumerate(names):
        if (imported := _imported(body, name)) is not None:
            return _exists(".".join([imported, *names[number + 1 :]]))
        named = _named(body, name)
        if named is None:
            bases = body.bases if isinstance(body, ast.ClassDef) else []
            inherited = [".".join([ast.unparse(base), *names[number:]]) for base in bases]
            return any(_exists(f"{module}.{name}") for name in inherited)
        body = named
    return True


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text())


def _imported(body: ast.AST, name: str) -> str | None:
    """The whole name of what a module imports by a name, ``TYPE_CHECKING`` or not."""
    for node in ast.walk(body):
        if isinstance(node, ast.ImportFrom) and isinstance(body, ast.Module):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    return None


def _named(body: ast.AST, name: str) -> ast.AST | None:
    """What defines a name in a module or class."""
    for node in ast.iter_child_nodes(body):
        match node:
            case ast.ClassDef() | ast.FunctionDef() if node.name == name:
                return node
            case ast.AnnAssign(target=ast.Name(id=given)) if given == name:
                return node
            case ast.Assign(targets=targets) if any(
                isinstance(target, ast.Name) and target.id == name for target in targets
            ):
                return node
    if isinstance(body, ast.ClassDef):
        for inner in ast.walk(body):
            if (
                isinstance(inner, ast.Attribute)
                and isinstance(inner.ctx, ast.Store)
                and inner.attr == name
            ):
                return inner
    return None
