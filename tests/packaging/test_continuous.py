"""The action and the pre-commit hook run svcc verify as they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paths import ROOT

PROGRAM = Path(sys.executable).parent / "svcc"
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
SHOP = {"files": "examples/shop", "config": "examples/shop/config.yaml", "simulate": "false"}


def _passes(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_are_as_their_schemas_have_them() -> None:
    _passes("check_jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml")
    _passes("pre_commit", "validate-manifest", ".pre-commit-hooks.yaml")


def _step() -> dict[str, Any]:
    (found,) = (step for step in ACTION["runs"]["steps"] if step.get("id") == "verify")
    return dict(found)


def _act(tmp_path: Path, **inputs: str) -> tuple[int, str, str]:
    """Run the action's step; returns its code, what it prints, and its outputs."""
    known = {name: str(item["default"]) for name, item in ACTION["inputs"].items()}
    assert set(inputs) <= set(known)
    values = {**known, **inputs}
    variables = {
        name: values[match[1]]
        for name, value in _step()["env"].items()
        if (match := re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value))
    }
    outputs = tmp_path / "outputs"
    done = subprocess.run(
        ["bash", "-c", _step()["run"]],
        env={
            **os.environ, **variables, "ACTION": str(ROOT), "SVCC": str(PROGRAM),
            "GITHUB_OUTPUT": str(outputs),
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )  # fmt: skip
    return done.returncode, done.stdout, outputs.read_text() if outputs.exists() else ""


def test_each_input_gets_to_the_script_and_no_other() -> None:
    used = set(re.findall(r"inputs\.([a-z-]+)", str(_step()["env"])))
    assert used == set(ACTION["inputs"])
    script = (ROOT / "packaging" / "action" / "verify.sh").read_text()
    named = {name for name in _step()["env"] if name.startswith("INPUT_")}
    assert set(re.findall(r"INPUT_[A-Z_]+", script)) - {"INPUT_"} == named
    # An expression in a script would be run as a command.
    assert not any("${{" in step["run"] for step in ACTION["runs"]["steps"])


def test_the_action_proves(tmp_path: Path) -> None:
    written = tmp_path / "written"
    code, out, outputs = _act(tmp_path, **SHOP, **{"output-file": str(written)})
    assert (code, outputs) == (0, "verdict=proved\n")
    assert "::notice title=svcc::proved" in out
    assert written.read_text() == out


@pytest.mark.parametrize("to_file", [False, True])
def test_the_action_fails_for_what_is_wrong(tmp_path: Path, to_file: bool) -> None:
    more = {"output-file": str(tmp_path / "written")} if to_file else {}
    code, out, outputs = _act(tmp_path, files="examples/manifests", **more)
    assert (code, outputs) == (1, "verdict=violated\n")
    assert "::error file=examples/manifests/slips.yaml" in out


def test_the_action_takes_lines_and_commands_are_words(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    lines = "examples/shop/services.yaml\nexamples/shop/endpoints.yaml\nexamples/shop/node.yaml\n"
    code, _, _ = _act(tmp_path, **{**SHOP, "files": lines})
    assert code == 0
    code, _, outputs = _act(tmp_path, **{**SHOP, "files": f"$(touch {marker})"})
    assert (code, outputs.splitlines()[-1]) == (2, "verdict=error")
    assert not marker.exists()


def test_a_switch_is_true_or_false(tmp_path: Path) -> None:
    code, out, _ = _act(tmp_path, **{**SHOP, "strict": "yes"})
    assert code == 2
    assert "::error::strict is 'yes'" in out


@pytest.mark.parametrize(
    ("folder", "code"), [("examples/manifests", 1), ("examples/allocate", 0)]
)  # fmt: skip
def test_the_hook_runs(folder: str, code: int) -> None:
    words = [*shlex.split(HOOK["entry"]), *HOOK["args"]]
    assert HOOK["pass_filenames"] is False
    done = subprocess.run(
        [PROGRAM, *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT / folder
    )
    assert words[0] == PROGRAM.name
    assert done.returncode == code, done.stdout + done.stderr
