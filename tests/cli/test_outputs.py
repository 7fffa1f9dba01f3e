"""The formats that other tools read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from sarif_pydantic import Sarif

from svcc.cli import main
from svcc.verify.spec.codes import CODES
from tests.paths import ROOT
from tests.support.clusters.dumps import DUMPS

SCHEMA = json.loads((ROOT / "docs" / "schema" / "verify.json").read_text())
FOLDER = DUMPS / "nodeport"
NODE = ["--node", "node-a", "--node-ip", "192.168.7.10"]
BROKEN = {
    "proved": lambda text: text,
    "violated": lambda text: text.replace("-j KUBE-SEP-", "-s 10.9.9.9/32 -j KUBE-SEP-", 1),
    "undecided": lambda text: text.replace(
        "-A KUBE-SERVICES",
        "-A KUBE-SERVICES -m time --timestart 01:00 -j RETURN\n-A KUBE-SERVICES",
        1,
    ),
}


def run(
    verdict: str, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[int, str]:
    text = (FOLDER / "iptables-save.txt").read_text()
    changed = BROKEN[verdict](text)
    assert verdict == "proved" or changed != text
    rules = tmp_path / "the rules.txt"
    rules.write_text(changed)
    given = ["-f", str(FOLDER / "objects.yaml"), *NODE, "--cluster-cidr", "10.244.0.0/16"]
    code = main(["verify", *given, "--rules", str(rules), "-o", output, *more])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(("verdict", "code"), [("proved", 0), ("violated", 1), ("undecided", 3)])
def test_json_is_as_published(
    verdict: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = run(verdict, "json", tmp_path, capsys)
    assert status == code
    found = json.loads(text)
    jsonschema.validate(found, SCHEMA)
    assert found["verdict"] == verdict
    assert bool(found["findings"]) == (verdict != "proved")
    assert {f["code"] for f in found["findings"]} <= CODES.keys()


def test_json_of_all_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = tmp_path / "nodes.yaml"
    nodes.write_text(
        "---\n".join(
            f"apiVersion: v1\nkind: Node\nmetadata: {{name: node-{name}}}\n" for name in "xyz"
        )
    )
    given = ["-f", str(FOLDER / "objects.yaml"), "-f", str(nodes), "--all-nodes"]
    assert main(["verify", *given, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert {part["node"] for part in found["nodes"]} >= {"node-x", "node-y", "node-z"}


def sarif_of(text: str) -> dict[str, Any]:
    Sarif.model_validate_json(text)
    (found,) = json.loads(text)["runs"]
    return dict(found)


def test_sarif(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run("violated", "sarif", tmp_path, capsys)
    assert status == 1
    found = sarif_of(text)
    known = {rule["id"] for rule in found["tool"]["driver"]["rules"]}
    assert known == set(CODES)
    lines = (tmp_path / "the rules.txt").read_text().splitlines()
    assert found["results"]
    for result in found["results"]:
        assert result["ruleId"] in known
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"].endswith("the%20rules.txt")
        assert lines[physical["region"]["startLine"] - 1].startswith("-A ")
        assert result["codeFlows"][0]["threadFlows"][0]["locations"]


def test_sarif_of_what_is_proved_has_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = run("proved", "sarif", tmp_path, capsys)
    assert status == 0
    assert sarif_of(text)["results"] == []


def test_without_a_file_of_rules_the_manifest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "none.policy"
    policy.write_text("never anyone -> service shop/web\n")
    objects = str(FOLDER / "objects.yaml")
    given = ["-f", objects, *NODE, "--cluster-cidr", "10.244.0.0/16", "--policy", str(policy)]
    assert main(["verify", *given, "-o", "sarif"]) == 1
    results = sarif_of(capsys.readouterr().out)["results"]
    assert [result["ruleId"] for result in results] == ["SVC015"]


def test_junit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verdict, failures, errors in (("violated", True, False), ("undecided", False, True)):
        _, text = run(verdict, "junit", tmp_path, capsys)
        (suite,) = ElementTree.fromstring(text)
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases) > 3
        assert (int(suite.get("failures", "")) > 0) == failures
        assert (int(suite.get("errors", "")) > 0) == errors
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert all(case.get("classname", "").startswith("svcc.") for case in cases)


def test_github(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run("violated", "github", tmp_path, capsys)
    *found, last = text.splitlines()
    assert found
    for line in found:
        assert re.match(r"::error file=[^,:]+,line=\d+,title=SVC\d{3} [^:,]+::\S", line), line
        assert "packet: " in line
    assert last.startswith("::notice title=svcc::violated")
