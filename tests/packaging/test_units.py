"""The systemd units: systemd takes them, and their command line is one."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from svcc.cli import parser
from tests.paths import ROOT

UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
MOST_EXPOSED = {"svcc": 51, "svcc-audit": 26}
"""Tenths of what systemd-analyze security says of the unit."""


def service(path: Path) -> dict[str, str]:
    read = RawConfigParser(strict=False, comment_prefixes=("#",), delimiters=("=",))
    read.optionxform = str  # type: ignore[assignment, method-assign]
    read.read_string(path.read_text())
    return dict(read["Service"])


def at_this_place(path: Path, folder: Path) -> Path:
    """The unit, with the svcc of this environment."""
    program = Path(sys.executable).parent / "svcc"
    assert program.exists()
    copy = folder / path.name
    copy.write_text(path.read_text().replace("/usr/bin/svcc", str(program)))
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_it(path: Path, tmp_path: Path) -> None:
    done = analyze("verify", "--man=no", str(at_this_place(path, tmp_path)))
    ours = [line for line in done.stderr.splitlines() if path.name in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_a_wrong_line(path: Path, tmp_path: Path) -> None:
    copy = at_this_place(path, tmp_path)
    copy.write_text(copy.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    done = analyze("verify", "--man=no", str(copy))
    assert "WatchdogSecs" in done.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_it_is_confined(path: Path, tmp_path: Path) -> None:
    copy = at_this_place(path, tmp_path)
    done = analyze(
        "security", "--offline=true", f"--threshold={MOST_EXPOSED[path.stem]}", str(copy)
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_its_command_line_is_one(path: Path) -> None:
    command = service(path)["ExecStart"]
    source = next(
        line for line in path.read_text().splitlines() if line.startswith('Environment="SOURCE=')
    )
    command = command.replace("$SOURCE", source.split("SOURCE=")[1].rstrip('"'))
    words = shlex.split(command.replace("$OPTIONS", ""))
    assert words[0] == "/usr/bin/svcc"
    given = parser().parse_args(words[1:])
    assert given.command == "run"
    assert given.audit == (path.stem == "svcc-audit")
    assert given.filename


def test_the_audit_is_nobody_in_particular() -> None:
    (path,) = (path for path in UNITS if path.stem == "svcc-audit")
    found = service(path)
    assert found["DynamicUser"] == "yes"
    for key in ("AmbientCapabilities", "CapabilityBoundingSet"):
        assert set(found[key].split()) == {"CAP_NET_ADMIN", "CAP_NET_RAW"}


def test_the_lock_stays_where_commands_look_for_it() -> None:
    from svcc.apply.system.lock import FOLDER

    (path,) = (path for path in UNITS if path.stem == "svcc")
    found = service(path)
    assert Path("/run") / found["RuntimeDirectory"] == FOLDER
    assert found["RuntimeDirectoryPreserve"] == "yes"
