"""Things that must not stand in the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

# Written so that this file does not match itself.
FORBIDDEN = re.compile("|".join((r"/wor[k]/", r"/tmp/bash_job[s]", r"TOD[O]\b", r"FIXM[E]\b")))


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("a source distribution has no history")
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_no_machine_paths_and_no_leftovers() -> None:
    checked = 0
    for path in tracked():
        if path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        checked += 1
        found = FORBIDDEN.search(text)
        assert found is None, f"{path.relative_to(ROOT)}: {found and found[0]}"
    assert checked > 50


def test_modules_are_of_readable_size() -> None:
    for path in tracked():
        if path.suffix == ".py" and not path.is_symlink() and path.is_file():
            lines = len(path.read_text().splitlines())
            assert lines <= 500, f"{path.relative_to(ROOT)} has {lines} lines: is it two modules?"
