"""Failures with one cause are one finding, and each frontend is judged all the same."""

from __future__ import annotations

import json
import re

import pytest

from bench.generate import CLUSTER_CIDR, NODE, generate
from bench.kube_proxy_layout import lines
from svcc.cli import main
from svcc.compiler.load.loader import load
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.verify.report.grouping import grouped
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_text
from svcc.verify.spec import codes
from tests.support.proofs import verify_with_causes

SERVICES = 60
SETTINGS = NodeSettings(
    node_name=NODE,
    addresses=(parse_address("192.168.7.10"),),
    pods=PodDetection({Family.IPV4: parse_network(CLUSTER_CIDR[4])}),
)
DAMAGE = {
    "the mark is not looked at": (
        "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
        "-A KUBE-POSTROUTING -j RETURN",
        codes.NOT_MASQUERADED,
        None,
    ),
    "all forwarded packets are dropped": (
        "-A FORWARD",
        "-A FORWARD -d 10.128.0.0/9 -j DROP\n-A FORWARD",
        codes.LOST,
        "-A FORWARD -d 10.128.0.0/9 -j DROP",
    ),
    "everything is marked": (
        "-A PREROUTING -m comment",
        "-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n-A PREROUTING -m comment",
        codes.MASQUERADED,
        "-A PREROUTING -j MARK --set-xmark 0x4000/0x4000",
    ),
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    path = tmp_path_factory.mktemp("groups") / "objects.json"
    path.write_text(json.dumps(generate(SERVICES, 3, node_ports=0)))
    return str(path), "".join(lines(str(path)))


def report_of(cluster: tuple[str, str], old: str, new: str) -> tuple[Report, str]:
    path, text = cluster
    assert old in text
    damaged = text.replace(old, new, 1)
    loaded = {Family.IPV4: from_text(damaged, Family.IPV4, "x")}
    return verify_with_causes(load([path]), SETTINGS, loaded), damaged


@pytest.mark.parametrize("name", DAMAGE)
def test_one_cause_is_one_finding(name: str, cluster: tuple[str, str]) -> None:
    old, new, code, rule = DAMAGE[name]
    report, damaged = report_of(cluster, old, new)
    group = next(g for g in grouped(report.findings) if g.findings[0].code == code)
    of_code = [finding for finding in group.findings if finding.code == code]
    assert len(of_code) == SERVICES
    if rule is not None:
        assert group.cause is not None
        assert group.cause.text == rule
        assert damaged.splitlines()[group.cause.line - 1] == rule
    for finding in of_code:
        example = finding.counterexample
        assert example is not None
        # Each has a packet of its own, to its own address.
        assert str(finding.frontend).startswith(str(example.packet).split(" -> ")[1].split()[0])
    text = report.to_text()
    assert re.search(r"^  also .* and \d+ more$", text, re.MULTILINE)
    assert len(text.splitlines()) < 60


def test_one_wrong_service_among_many_is_named(cluster: tuple[str, str]) -> None:
    """Schemas that are equal, of which one only fails for its own numbers, are not mixed up."""
    _, text = cluster
    line = next(x for x in text.splitlines() if "-j DNAT" in x)
    wrong = line.replace(":8080", ":8081")
    report, _ = report_of(cluster, line, wrong)
    bad = [finding for finding in report.findings if finding.verdict != "proved"]
    assert len({finding.frontend for finding in bad}) == 1
    assert {finding.code for finding in bad} <= {codes.WRONG_BACKEND, codes.NEVER_REACHED}
    assert codes.WRONG_BACKEND in {finding.code for finding in bad}


def test_the_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cluster: tuple[str, str]
) -> None:
    path, _ = cluster
    given = ["verify", "-f", path, "--node", NODE, "--cluster-cidr", CLUSTER_CIDR[4]]
    assert main(given) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("svcc.commands.progress.APPEARS_AFTER", 0.0)
    assert main(given) == 0
    shown = capsys.readouterr().err
    assert f"/{2 * SERVICES + 2}" in shown
    assert shown.endswith("\r\033[K")
