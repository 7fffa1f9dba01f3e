"""Folders of bad input, each with the errors that it must give, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.compiler.load.loader import load
from svcc.grammar.errors import InputError
from tests.paths import DATA

FOLDER = DATA / "cases-input"
CASES = sorted(path for path in FOLDER.iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_errors_are_exactly_these(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case)
    (name,) = (path.name for path in case.glob("input.*"))
    with pytest.raises(InputError) as caught:
        load([name])
    assert str(caught.value).splitlines() == (case / "errors.txt").read_text().splitlines()
