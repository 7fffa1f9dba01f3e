"""The manual page and the completions that are made of the command line; the Debian recipe."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from debian.deb822 import Deb822, PkgRelation

from svcc import __version__
from svcc.cli import COMMANDS
from tests.paths import ROOT

DEBIAN = ROOT / "packaging" / "debian"
_NOT_IN_DEBIAN = {"crossplane"}
_DEBIAN_NAMES = {"z3-solver": "python3-z3", "pyyaml": "python3-yaml"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make man completion`` makes, from a folder of its own."""
    top = tmp_path_factory.mktemp("made")
    for name in ("Makefile", "pyproject.toml", "svcc"):
        (top / name).symlink_to(ROOT / name)
    (top / ".venv").mkdir()
    (top / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (top / ".venv" / "installed").touch()
    done = subprocess.run(
        ["make", "man", "completion"], cwd=top, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return top / "build"


def test_the_manual_page_has_every_command(made: Path) -> None:
    text = (made / "man" / "svcc.8").read_text()
    assert text.startswith(".TH SVCC")
    for name, *_ in COMMANDS:
        assert re.search(rf"svcc {name}\b", text.replace("\\", "")), name
    if shutil.which("man") is None:
        pytest.skip("needs man")
    done = subprocess.run(
        ["man", "--warnings", "-l", str(made / "man" / "svcc.8")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "compile, prove and load" in done.stdout


def _completed(made: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    text = (
        f"source {made / 'completion' / 'svcc'}\n"
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}\n'
        "entry=($(complete -p svcc)); for ((i = 0; i < ${#entry[@]}; i++)); do\n"
        '  [[ ${entry[i]} == -F ]] && "${entry[i + 1]}" svcc "${words[-1]}"\ndone\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", text, "bash", *words], capture_output=True, text=True, check=False
    )
    return done.stdout.split()


def test_bash_completes_commands_and_options(made: Path) -> None:
    assert _completed(made, "svcc", "ver") == ["verify"]
    assert _completed(made, "svcc", "run", "--aud") == ["--audit"]
    assert set(_completed(made, "svcc", "")) >= {name for name, *_ in COMMANDS}


@pytest.mark.parametrize("name", ["svcc", "_svcc", "svcc.fish"])
def test_each_shell_has_every_command(made: Path, name: str) -> None:
    text = (made / "completion" / name).read_text()
    for command, *_ in COMMANDS:
        assert command in text


def test_the_debian_package_is_of_this_version() -> None:
    first = (DEBIAN / "changelog").read_text().splitlines()[0]
    assert first.startswith(f"svcc ({__version__})")
    if shutil.which("dpkg-parsechangelog") is None:
        pytest.skip("needs dpkg-dev")
    done = subprocess.run(
        ["dpkg-parsechangelog", "-l", DEBIAN / "changelog", "-S", "Version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == __version__


def test_the_debian_package_depends_on_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set()
    for line in project["dependencies"]:
        name, version = line.lower().split(">=")
        if name in _NOT_IN_DEBIAN:
            continue
        wanted.add((_DEBIAN_NAMES.get(name, f"python3-{name}"), version))
    text = (DEBIAN / "control").read_text()
    (binary,) = (each for each in Deb822.iter_paragraphs(text) if "Package" in each)
    depends = {
        (each["name"], each["version"][1])
        for (each, *_) in PkgRelation.parse_relations(binary["Depends"])
        if each["version"]
    }
    assert depends == wanted


def test_the_debian_rules_name_what_is_there() -> None:
    text = (DEBIAN / "rules").read_text()
    done = subprocess.run(
        ["make", "-n", "-f", DEBIAN / "rules", "build"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in re.findall(r"packaging/[\w/.-]+", text):
        assert (ROOT / name).exists(), name
