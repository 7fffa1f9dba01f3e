"""GitHub code scanning takes every SARIF that svcc prints: Microsoft's sarif-multitool judges."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clusters.dumps import DUMPS
from tests.support.command import svcc

PACKAGE = "@microsoft/sarif-multitool@5.7.0"
FOLDER = DUMPS / "nodeport"
NODE = ("--node", "node-a", "--node-ip", "192.168.7.10", "--cluster-cidr", "10.244.0.0/16")
HEADLESS = """
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{port: 5432}]}
"""


@pytest.fixture(scope="module")
def multitool() -> Path:
    """The tool, installed beside the interpreter's packages once."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("sarif-multitool: npm is not installed here")
    home = Path(sys.prefix) / "sarif-multitool"
    home.mkdir(exist_ok=True)
    tool = home / "node_modules" / ".bin" / "sarif-multitool"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tool.exists():
            done = subprocess.run(
                [npm, "install", "--no-audit", "--no-fund", "--prefix", str(home), PACKAGE],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode and not os.environ.get("CI"):
                pytest.skip(f"sarif-multitool: npm cannot install it: {done.stderr.strip()[-200:]}")
            assert done.returncode == 0, done.stderr
    return tool


def judged(tool: Path, files: list[Path], folder: Path) -> list[str]:
    """The errors and warnings, by the rules for GitHub and by those of SARIF."""
    log = folder / "judgement.sarif"
    command = [str(tool), "validate", *map(str, files), "--output", str(log), "--log"]
    command += ["ForceOverwrite", "--rule-kind", r"Sarif\;Ghas", "--level", r"Error\;Warning"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"{len(files)} files scanned" in done.stdout, done.stdout + done.stderr
    (run,) = json.loads(log.read_text())["runs"]
    return [
        f"{result['ruleId']} {result['message'].get('text', result['message'].get('arguments'))}"
        for result in run.get("results", [])
    ]


def written(folder: Path) -> list[Path]:
    """SARIF of every kind of result."""
    objects, bad = folder / "the objects.yaml", folder / "bad.yaml"
    objects.write_text((FOLDER / "objects.yaml").read_text() + HEADLESS)
    bad.write_text("kind: Service\n---\napiVersion: v1\nkind: Sevice\n")
    text = (FOLDER / "iptables-save.txt").read_text()
    rules = {
        "proved": text,
        "violated": text.replace("-j KUBE-SEP-", "-s 10.9.9.9/32 -j KUBE-SEP-", 1),
        "outside": re.sub("^(-A KUBE-SERVICES)", r"\1 -m time --timestart 01:00 -j RETURN\n\1",
                          text, count=1, flags=re.MULTILINE),
        "nat-alone": text[text.index("*nat") :],
    }  # fmt: skip
    runs: dict[str, tuple[object, ...]] = {
        "own": ("-f", objects),
        "strict": ("-f", objects, "--strict"),
        "bad": ("-f", bad),
        "no-file": ("-f", folder / "none.yaml"),
        "option": ("-f", objects, "--nodeport-addresses", "x"),
    }
    for name, content in rules.items():
        file = folder / f"{name}.rules"
        file.write_text(content)
        runs[name] = ("-f", objects, "--rules", file, "--family", "ipv4")
    files = []
    for name, given in runs.items():
        done = svcc("verify", *given, *NODE, "-o", "sarif")
        files.append(folder / f"{name}.sarif")
        files[-1].write_text(done.out)
    return files


def test_every_sarif_is_accepted(
    multitool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = written(tmp_path)
    assert sum(len(json.loads(f.read_text())["runs"][0]["results"]) for f in files) > len(files)
    assert judged(multitool, files, tmp_path) == []


def test_the_judge_sees_what_github_refuses(
    multitool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (first, *_) = (f for f in written(tmp_path) if f.name == "violated.sarif")
    broken = json.loads(first.read_text())
    del broken["runs"][0]["results"][0]["locations"]
    first.write_text(json.dumps(broken))
    found = judged(multitool, [first, tmp_path / "own.sarif"], tmp_path)
    assert any("GH1015" in text for text in found)
