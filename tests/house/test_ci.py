"""CI must not pass over a test that needs the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT


@pytest.mark.skipif(os.geteuid() != 0, reason="the rule is for CI, which is root")
@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("false", 0)])
def test_a_skipped_kernel_test_fails_ci(tmp_path: Path, ci: str, code: int) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.kernel\ndef test_it():\n    pytest.skip('no kernel')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == code, done.stdout
    assert ("was skipped, but CI must run it" in done.stdout) == (code == 1)
