"""What people met in practice, made small: a folder of inputs each, and what must be said.

``cases.json`` in a folder has the runs: ``args``, the exit code ``rc``, and what the output,
both streams together, must have (``has``) and must not (``not``), as regular expressions.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from svcc.cli import main
from tests.paths import DATA

FOLDER = DATA / "reports"
CASES = [
    (path.parent, case)
    for path in sorted(FOLDER.glob("*/cases.json"))
    for case in json.loads(path.read_text())
]
OF_NO_USE = re.compile(r"Traceback|\w+\((?:name|options|value)=")
"""A traceback, or a Python object in place of what it stands for."""


@pytest.mark.parametrize(
    ("folder", "case"), CASES, ids=[f"{path.name}: {case['why']}" for path, case in CASES]
)
def test_this_is_said(
    folder: Path,
    case: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(folder)
    code = main([str(tmp_path) if word == "OUT" else word for word in case["args"]])
    said = "".join(capsys.readouterr())
    assert code == case["rc"], said
    for pattern in case.get("has", []):
        assert re.search(pattern, said, re.MULTILINE), f"{pattern!r} is not in:\n{said}"
    for pattern in (*case.get("not", []), OF_NO_USE.pattern):
        assert not re.search(pattern, said, re.MULTILINE), f"{pattern!r} is in:\n{said}"


def test_every_folder_has_cases() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path, _ in CASES}
