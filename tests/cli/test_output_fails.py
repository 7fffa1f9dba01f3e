"""Standard output that takes no more is no internal error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.support.clusters.dumps import DUMPS

OBJECTS = str(DUMPS / "clusterip-3ep" / "objects.yaml")
GIVEN = ["-f", OBJECTS, "--node", "node-a", "--cluster-cidr", "10.244.0.0/16"]
COMMANDS = {
    "compile": ["compile", *GIVEN],
    "verify": ["verify", *GIVEN],
    "verify as JSON": ["verify", *GIVEN, "-o", "json"],
    "explain": ["explain", *GIVEN, "shop/web"],
    "a code": ["explain", "SVC001"],
    "help": ["--help"],
}


def shell(line: str, arguments: list[str], unbuffered: str = "") -> tuple[int, str]:
    """Exit code and standard error of a command whose output goes where the line says."""
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "$@" {line}', "bash", sys.executable, "-m", "svcc",
         *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(command: str) -> None:
    code, said = shell("> /dev/full", COMMANDS[command])
    assert (code, said) == (74, "svcc: cannot write: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_without_a_buffer() -> None:
    code, said = shell("> /dev/full", COMMANDS["verify"], unbuffered="1")
    assert (code, said) == (74, "svcc: cannot write: No space left on device\n")


def test_closed_output() -> None:
    code, said = shell(">&-", COMMANDS["verify"])
    assert (code, said) == (74, "svcc: cannot write: Bad file descriptor\n")


def test_closed_output_is_no_matter_where_nothing_is_written(tmp_path: Path) -> None:
    code, said = shell(">&-", [*COMMANDS["compile"], "-o", str(tmp_path)])
    assert (code, said) == (0, "")
    assert (tmp_path / "iptables.rules").is_file()


def test_nobody_reads() -> None:
    code, said = shell("| true", COMMANDS["verify as JSON"])
    # The reader may have gone before or after; nobody is told that something is wrong.
    assert code in (0, 141)
    assert said == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("line", ["2> /dev/full", "2>&-"])
def test_standard_error_that_takes_nothing(line: str) -> None:
    assert shell(line, ["verify", "-f", "no-such-file"])[0] == 2
