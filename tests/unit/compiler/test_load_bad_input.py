"""Folders of input that is wrong or unusual, each with what must be said of it, line by line.

``errors.txt`` where the input is refused, ``warnings.txt`` where it is read all the same.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.compiler.load.loader import load
from svcc.grammar.errors import InputError
from tests.paths import DATA

FOLDER = DATA / "cases-input"
CASES = sorted(path for path in FOLDER.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exactly_this_is_said(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    (name,) = (path.name for path in case.glob("input.*"))
    try:
        said = "\n".join(map(str, load([name], notes=True).problems))
        file = case / "warnings.txt"
    except InputError as error:
        said, file = str(error), case / "errors.txt"
    assert said.splitlines() == file.read_text().splitlines()


def test_both_kinds_of_folders_are_there() -> None:
    assert len([case for case in CASES if (case / "errors.txt").exists()]) > 10
    assert len([case for case in CASES if (case / "warnings.txt").exists()]) > 5
