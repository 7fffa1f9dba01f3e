"""The source distribution and the wheel: made without a network, and all is in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import jsonschema
import pytest

from svcc import __version__
from tests.paths import ROOT

_OFFLINE = {
    **os.environ,
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
_BUILD = "from setuptools import build_meta; import sys; build_meta.build_sdist(sys.argv[1])"


def _run(*command: object, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**_OFFLINE, **variables},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("a source distribution has no history")
    names = _run("git", "ls-files", "-z", cwd=ROOT).split("\0")
    return [name for name in names if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked; nothing is written into the repository for it."""
    top = tmp_path_factory.mktemp("sdist")
    copy = top / "repository"
    copy.mkdir()
    names = tracked()
    packed = subprocess.run(
        ["tar", "-c", "--null", "-T", "-"],
        input="\0".join(names).encode(),
        capture_output=True,
        check=True,
        cwd=ROOT,
    )
    subprocess.run(["tar", "-x"], input=packed.stdout, check=True, cwd=copy)
    _run(sys.executable, "-c", _BUILD, top, cwd=copy)
    with tarfile.open(top / f"svcc-{__version__}.tar.gz") as archive:
        archive.extractall(top / "unpacked", filter="data")
    (found,) = (top / "unpacked").iterdir()
    return found


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """The wheel, made from the source distribution as installers make it."""
    folder = sources.parents[1] / "wheel"
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    _run(*command, "-w", folder, sources, cwd=sources.parent)
    (found,) = folder.iterdir()
    return found


def test_the_source_distribution_has_all_that_is_tracked(sources: Path) -> None:
    # The links of svcc/ are folders there.
    missing = [name for name in tracked() if not (sources / name).exists()]
    assert missing == []
    assert not list(sources.rglob("__pycache__"))


def test_the_wheel_has_all_modules_and_data(wheel: Path) -> None:
    rooms = ("svcc", "compiler", "grammar", "verify", "apply")
    expected = {
        name if name.startswith("svcc/") else f"svcc/{name}"
        for name in tracked()
        if name.split("/")[0] in rooms and not (ROOT / name).is_symlink()
    }
    expected |= {f"svcc/schema/{path.name}" for path in (ROOT / "docs" / "schema").iterdir()}
    expected.discard("svcc/schema")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        found = message_from_bytes(archive.read(name))
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
    assert found["Version"] == __version__
    assert found["License-Expression"] == "Apache-2.0"
    assert not [line for line in found.get_all("Classifier", []) if line.startswith("License")]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"Programming Language :: Python :: {version}" in found.get_all("Classifier", [])


def test_the_wheel_runs_where_nothing_else_is(wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    programs = tmp_path / "venv" / "bin"
    _run(programs / "python", "-m", "pip", "install", "--no-deps", wheel, cwd=tmp_path)
    assert _run(programs / "svcc", "--version", cwd=tmp_path) == f"svcc {__version__}\n"
    # What it imports is borrowed from here; the code and its data are the wheel's.
    site = sysconfig.get_path("purelib")
    shop = ROOT / "examples" / "shop"
    given = ["-f", shop, "--config", shop / "config.yaml"]
    _run(programs / "svcc", "compile", *given, "-o", "rules", cwd=tmp_path, PYTHONPATH=site)
    judged = _run(
        programs / "svcc", "verify", *given, "--rules", "rules", "-o", "json",
        cwd=tmp_path, PYTHONPATH=site,
    )  # fmt: skip
    schema = (
        "import importlib.resources as r; "
        "print(r.files('svcc').joinpath('schema', 'verify.json').read_text())"
    )
    published = json.loads(_run(programs / "python", "-c", schema, cwd=tmp_path))
    jsonschema.validate(json.loads(judged), published)
    assert json.loads(judged)["verdict"] == "proved"
