"""How imports are found: of modules by their places, of sources by their syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.paths import ROOT

PACKAGES = ("grammar", "compiler", "verify", "apply")
"""Folders at the top of the repository that are imported as ``svcc.NAME``."""


def modules() -> dict[str, Path]:
    """Every module of svcc by its name, packages too."""
    found: dict[str, Path] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            found[module_name(path)] = path
    # The packages are in svcc/ as links.
    own = ROOT / "svcc"
    for path in (
        p for pattern in ("*.py", "*/*.py", "*/*/*.py") for p in sorted(own.glob(pattern))
    ):
        if path.relative_to(own).parts[0] not in PACKAGES:
            found[module_name(path)] = path
    return found


def module_name(path: Path) -> str:
    """What a file is imported as."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts if parts[0] == "svcc" else ("svcc", *parts))
    return name.removesuffix(".__init__")


def imports(source: str) -> Iterator[tuple[str, str]]:
    """What a module's text imports: (module, name in it or empty).

    Raises:
        ValueError: an import is relative.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"line {node.lineno}: a relative import; write svcc.…")
            yield from ((node.module or "", alias.name) for alias in node.names)


def imported_names(source: str) -> set[str]:
    """Modules that a text imports, and names in them."""
    return {name for module, inner in imports(source) for name in (module, f"{module}.{inner}")}


def imported_modules(source: str, known: Iterable[str]) -> set[str]:
    """The modules of svcc that a text imports; names that are no known module too."""
    found = set()
    for module, name in imports(source):
        if module == "svcc" or module.startswith("svcc."):
            inner = f"{module}.{name}"
            found.add(inner if inner in known else module)
    return found


def circles(graph: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Modules that import each other in a circle: one list of names for each knot of them.

    Tarjan's algorithm: SIAM Journal on Computing 1 (1972), 146.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            knot = [stack.pop()]
            while knot[-1] != node:
                knot.append(stack.pop())
            if len(knot) > 1 or node in graph.get(node, ()):
                found.append(sorted(knot))

    for node in graph:
        if node not in index:
            visit(node)
    return found
