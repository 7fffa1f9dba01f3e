"""What docstrings and documents refer to is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.references import CODE, Reference, missing_paths, modules, references, resolves
from tests.paths import ROOT

DOCUMENTS = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "tests" / "README.md",
)
CHANGES = "CHANGELOG.md"
"""Speaks of what was."""


@pytest.mark.parametrize("folder", CODE)
def test_every_role_resolves(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{found.line}: {found.name}"
        for module, path in modules().items()
        if path.relative_to(ROOT).parts[0] == folder
        for found in references(module, path.read_text())
        if not resolves(found)
    ]
    assert not wrong, "\n".join(wrong)


def test_roles_are_found() -> None:
    found = [r for module, path in modules().items() for r in references(module, path.read_text())]
    assert len(found) > 50
    assert any(reference.inside for reference in found)


@pytest.mark.parametrize(
    ("inside", "name", "there"),
    [
        ("", "svcc.verify.engine.verify", True),
        ("", "svcc.verify.engine.verified", False),
        ("", "svcc.verify.engines", False),
        ("", "Reference", True),
        ("", "Reference.line", True),
        ("", "Reference.lines", False),
        ("Reference", "inside", True),
        ("Reference", "outside", False),
        ("", "Path", True),
        ("", "pathlib.Path.glob", True),
        ("", "pathlib.Path.globs", False),
        ("", "svcc.grammar.iptables.parse.Program.tables", True),
    ],
)
def test_what_resolves(inside: str, name: str, there: bool) -> None:
    assert resolves(Reference("tests.house.references", 1, inside, name)) is there


def test_a_wrong_role_is_found() -> None:
    text = 'class A:\n    """See :meth:`b`."""\n    x: int = 0\n    """:func:`~c.d`."""\n'
    found = list(references("tests.paths", text))
    assert [(r.line, r.inside, r.name) for r in found] == [(2, "A", "b"), (4, "A", "c.d")]
    assert not any(map(resolves, found))


@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if path.name != CHANGES], ids=lambda path: path.name
)
def test_every_path_exists(path: Path) -> None:
    missing = missing_paths(path.read_text())
    assert not missing, f"{path.name}: {', '.join(missing)}"


def test_a_wrong_path_is_found() -> None:
    text = "`verify/engine.py` `verify/engines.py` `tests/data/` `tests/date/` `engine.py` `x.py`"
    assert missing_paths(text) == ["verify/engines.py", "tests/date/", "x.py"]
    assert missing_paths("`discovery.k8s.io/v1` `a b.py` `bundle.json`") == []
