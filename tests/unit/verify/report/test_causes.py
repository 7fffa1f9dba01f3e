"""The cause is a few words and a place, in every format; the packet's way is there on request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from svcc.cli import main
from tests.support.clusters.dumps import DUMPS

FOLDER = DUMPS / "clusterip-3ep"
GIVEN = ["-f", str(FOLDER / "objects.yaml"), "--node", "node-a", "--node-ip", "192.168.7.10",
         "--cluster-cidr", "10.244.0.0/16"]  # fmt: skip
MARK = "-A KUBE-SVC-67NZLRHBNDSAWJRO ! -s"


def damaged(tmp_path: Path) -> tuple[Path, list[str]]:
    """The rules without the one that marks packets from outside."""
    lines = (FOLDER / "iptables-save.txt").read_text().splitlines()
    left = [line for line in lines if not line.startswith(MARK)]
    assert len(left) == len(lines) - 1
    path = tmp_path / "rules"
    path.write_text("".join(f"{line}\n" for line in left))
    return path, left


def test_one_deleted_rule_is_one_short_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = damaged(tmp_path)
    assert main(["verify", *GIVEN, "--rules", str(path)]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert "(shop/web:http) keeps the source address" in first
    finding = [line for line in rest if line.startswith("  ")]
    assert [line.split()[0] for line in finding] == ["packet", "expected", "got", "cause"]
    assert f"{path}:" in finding[-1]
    assert "KUBE-SVC-67NZLRHBNDSAWJRO lacks a rule that gives it the mark 0x4000" in finding[-1]


def test_the_way_is_shown_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, lines = damaged(tmp_path)
    assert main(["verify", *GIVEN, "--rules", str(path), "--trace"]) == 1
    shown = capsys.readouterr().out
    number = next(n for n, line in enumerate(lines, 1) if line.startswith("-A KUBE-SERVICES -d"))
    assert f"{path}:{number}: nat {lines[number - 1]}" in shown


def test_json_has_cause_and_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, lines = damaged(tmp_path)
    assert main(["verify", *GIVEN, "--rules", str(path), "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    (finding,) = found["findings"]
    cause = finding["cause"]
    assert (cause["table"], cause["chain"]) == ("nat", "KUBE-SVC-67NZLRHBNDSAWJRO")
    assert cause["missing"].endswith("the mark 0x4000")
    assert lines[cause["line"] - 1].startswith("-A KUBE-SVC-67NZLRHBNDSAWJRO")
    shown = [p for p in found["properties"] if p["verdict"] == "violated"]
    assert all(p["counterexample"]["trace"] for p in shown)


def test_sarif_points_at_the_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (FOLDER / "iptables-save.txt").read_text()
    wrong = text.replace("-j DNAT --to-destination 10.244.2.7:8080", "-j DNAT --to-destination "
                         "10.244.2.9:8080")  # fmt: skip
    assert wrong != text
    path = tmp_path / "rules"
    path.write_text(wrong)
    assert main(["verify", *GIVEN, "--rules", str(path), "-o", "sarif"]) == 1
    (result, *_) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert "10.244.2.9:8080" in wrong.splitlines()[line - 1]
    assert "cause: " in result["message"]["text"]


def test_a_real_server_has_its_own_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = tmp_path / "bundle"
    assert main(["compile", *GIVEN, "--mode", "ipvs", "-o", str(bundle)]) == 0
    servers = bundle / "ipvsadm.rules"
    text = servers.read_text()
    servers.write_text(text.replace("-r 10.244.2.7:8080", "-r 10.244.2.9:8080", 1))
    assert servers.read_text() != text
    assert main(["verify", *GIVEN, "--mode", "ipvs", "--rules", str(bundle), "--trace"]) == 1
    shown = capsys.readouterr().out
    lines = servers.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if "10.244.2.9" in line)
    assert f"cause     {servers}:{number}: {lines[number - 1]}" in shown
    assert "ipvsadm:" not in shown
