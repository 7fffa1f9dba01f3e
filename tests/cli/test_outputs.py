"""The formats that other tools read."""

from __future__ import annotations

import io
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


# -- what every format has -------------------------------------------------------------

GIVEN = ["-f", str(FOLDER / "objects.yaml"), *NODE, "--cluster-cidr", "10.244.0.0/16"]
BAD = {
    "an object": ("kind: Service\n", [], "apiVersion is missing", 1),
    "YAML": ("a: [\n", [], "", 2),
    "an option": (WEB := (FOLDER / "objects.yaml").read_text(), ["--node-ip", "x"], "--node-ip", 0),
    "a missing file": (WEB, ["--rules", "no-such-file"], "cannot read", 0),
    "rules": (WEB, ["--rules", str(FOLDER / "objects.yaml")], "Kubernetes objects", 0),
}


def bad(
    kind: str, output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[Path, str, str]:
    text, more, _, _ = BAD[kind]
    objects = tmp_path / "bad objects.yaml"
    objects.write_text(text)
    node = ["--node", "node-a", "--cluster-cidr", "10.244.0.0/16"]
    assert main(["verify", "-f", str(objects), *node, *more, "-o", output]) == 2
    captured = capsys.readouterr()
    return objects, captured.out, captured.err


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_as_json(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = bad(kind, "json", tmp_path, capsys)
    found = json.loads(out)
    jsonschema.validate(found, SCHEMA)
    assert found["verdict"] == "error"
    errors = [problem for problem in found["problems"] if problem["severity"] == "error"]
    assert errors
    for problem in errors:
        assert problem["message"] in err
    assert BAD[kind][2] in err
    if BAD[kind][3]:
        assert errors[0]["line"] == BAD[kind][3]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_as_sarif(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = bad(kind, "sarif", tmp_path, capsys)
    found = sarif_of(out)
    assert found["invocations"] == [{"executionSuccessful": False}]
    assert {result["ruleId"] for result in found["results"]} == {"SVC040"}
    (first, *_) = found["results"]
    region = first["locations"][0]["physicalLocation"]["region"]
    assert region["startLine"] == max(BAD[kind][3], 1)
    assert BAD[kind][2] in first["message"]["text"]


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_as_junit(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = bad(kind, "junit", tmp_path, capsys)
    (suite,) = ElementTree.fromstring(out)
    assert int(suite.get("errors", "")) == len(suite.findall("testcase/error")) > 0
    for error in suite.findall("testcase/error"):
        assert error.get("message", "?") in err


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_for_github(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = bad(kind, "github", tmp_path, capsys)
    assert out
    for line in out.splitlines():
        assert re.match(r"::error file=[^,:]+,line=\d+(,col=\d+)?,title=SVC040 bad input::\S", line)


def test_bad_input_as_text_is_told_on_standard_error_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, err = bad("an object", "text", tmp_path, capsys)
    assert out == ""
    assert err


def test_an_internal_error_has_a_result_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr("svcc.api.verification.verify_nodes", fails)
    monkeypatch.setattr("svcc.api.verify_nodes", fails, raising=False)
    monkeypatch.delenv("SVCC_DEBUG", raising=False)
    assert main(["verify", *GIVEN, "-o", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert found["verdict"] == "error"
    assert "internal error: RuntimeError: boom" in found["problems"][0]["message"]


def names_of(text: str) -> set[tuple[str, str, str]]:
    return {
        (suite.get("name", ""), case.get("classname", ""), case.get("name", ""))
        for suite in ElementTree.fromstring(text)
        for case in suite.findall("testcase")
    }


def test_junit_has_the_same_cases_whatever_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        verdict: names_of(run(verdict, "junit", tmp_path, capsys)[1])
        for verdict in ("proved", "violated", "undecided")
    }
    assert found["proved"] == found["violated"] == found["undecided"]
    frontends = {name for _, _, name in found["proved"] if "(shop/web" in name}
    for frontend in frontends:
        kinds = {kind for _, kind, name in found["proved"] if name == frontend}
        assert kinds >= {
            "svcc.reaches-exactly", "svcc.fair", "svcc.masquerades-exactly",
            "svcc.refuses-exactly",
        }  # fmt: skip


def test_junit_names_each_case_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = run("violated", "junit", tmp_path, capsys)
    cases = [
        (suite.get("name"), case.get("classname"), case.get("name"))
        for suite in ElementTree.fromstring(text)
        for case in suite.findall("testcase")
    ]
    assert len(cases) == len(set(cases))


def test_paths_are_told_relative_to_the_root_of_the_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    _, text = run("violated", "sarif", tmp_path, capsys)
    for result in sarif_of(text)["results"]:
        artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert artifact == {"uri": "the%20rules.txt", "uriBaseId": "%SRCROOT%"}
        assert result["partialFingerprints"]["finding/v1"]
    _, text = run("violated", "github", tmp_path, capsys)
    assert text.startswith("::error file=the rules.txt,line=")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "elsewhere"))
    _, text = run("violated", "sarif", tmp_path, capsys)
    artifact = sarif_of(text)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact["uri"].startswith("file:///")
    assert "uriBaseId" not in artifact


def test_fingerprints_are_the_same_though_lines_move(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fingerprints(text: str) -> list[str]:
        results = sarif_of(text)["results"]
        return [result["partialFingerprints"]["finding/v1"] for result in results]

    _, first = run("violated", "sarif", tmp_path, capsys)
    rules = tmp_path / "the rules.txt"
    rules.write_text("# a line more\n" + rules.read_text())
    assert main(["verify", *GIVEN, "--rules", str(rules), "-o", "sarif"]) == 1
    assert fingerprints(capsys.readouterr().out) == fingerprints(first) != []


def test_standard_input_has_a_place_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FOLDER / "objects.yaml").read_bytes()
    policy = tmp_path / "none.policy"
    policy.write_text("never anyone -> service shop/web\n")
    node = [*NODE, "--cluster-cidr", "10.244.0.0/16", "--policy", str(policy)]
    for given, code in ((text, 1), (b"kind: Service\n", 2)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given)))
        assert main(["verify", "-f", "-", *node, "-o", "sarif"]) == code
        (result,) = sarif_of(capsys.readouterr().out)["results"]
        artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert artifact == {"uri": "stdin", "uriBaseId": "%SRCROOT%"}
