"""The tests that need IPVS, in one boot of a kernel that has it."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.kernel.uml import boot
from tests.support.effort import LONG


@pytest.mark.kernel
def test_everything_that_needs_ipvs(tmp_path: Path) -> None:
    """Each must pass, and none may be skipped: the kernel has all that they need."""
    if reason := boot.missing():
        pytest.skip(reason)
    results = tmp_path / "results.xml"
    command = [
        sys.executable, "-m", "pytest", "-q", "-m", "ipvs", "-p", "no:cacheprovider", "-p",
        "no:xdist", f"--junitxml={results}", "--tb=short", "tests/kernel",
    ]  # fmt: skip
    code, output = boot.run(command, patience=boot.PATIENCE * (10 if LONG else 1))
    assert results.exists(), f"exit code {code}\n{output[-20000:]}"
    cases = list(ElementTree.parse(results).getroot().iter("testcase"))
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    assert code == 0, output[-20000:]
    assert not skipped
    assert len(cases) > 70, output[-2000:]
