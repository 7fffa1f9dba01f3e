"""Two rule sets: the same, or a packet that both simulators see differently."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.cli import main
from svcc.compiler.bundle import script
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import load
from svcc.verify.equivalence.compare import compare
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.report.report import Report
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Packet, Result, World
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.damage.dump_damage import DAMAGE, HARMLESS
from tests.support.damage.edits import Change, with_a_rule_changed
from tests.support.effort import examples
from tests.support.programs.random_rules import rule_sets
from tests.unit.verify.test_model import packets

NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())
FILES = {Family.IPV4: "iptables-save.txt", Family.IPV6: "ip6tables-save.txt"}


def of(text: str, family: Family = Family.IPV4, source: str = "x") -> dict[Family, LoadedRules]:
    return {family: LoadedRules(load(parse(text, family=family, source=source)), source)}


def dump(name: str, family: Family = Family.IPV4) -> str:
    return (DUMPS / name / FILES[family]).read_text()


def against(name: str, mine: str, theirs: str, family: Family = Family.IPV4) -> Report:
    objects, node = dump_objects(name), dump_settings(name)
    return compare(objects, node, of(mine, family, "mine"), of(theirs, family, "theirs"))


@pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
@pytest.mark.parametrize("name", NAMES)
def test_a_rule_set_is_the_same_as_itself(name: str, family: Family) -> None:
    text = dump(name, family)
    report = against(name, text, text, family)
    assert report.verdict == "proved", report.to_text()
    assert report.regions > 1


def edited(change: Change) -> str:
    return change.of(dump(change.base))


NO_DIFFERENCE = {
    "health check port closed",
    "replies not accepted",
    "marked packets not accepted",
}
"""Where every policy is ACCEPT, accepting makes none."""
UNDECIDED = {
    "cycle of jumps",
    "affinity records in another list",
    "affinity of two backends in one list",
    "an unknown match where it cannot matter",
}
"""Walks that do not end, lists that stand for no one backend, matches outside the model."""
A_DIFFERENCE = {"a host firewall for another port"}
"""Harmless to Services, but not the same."""


@pytest.mark.slow
@pytest.mark.parametrize("change", DAMAGE, ids=lambda change: change.name)
def test_damage_makes_a_difference(change: Change) -> None:
    report = against(change.base, edited(change), dump(change.base))
    other_way = against(change.base, dump(change.base), edited(change))
    assert report.verdict == other_way.verdict
    wanted = "proved" if change.name in NO_DIFFERENCE else "violated"
    assert report.verdict == ("undecided" if change.name in UNDECIDED else wanted), report.to_text()


@pytest.mark.parametrize("change", HARMLESS, ids=lambda change: change.name)
def test_what_is_harmless_makes_none(change: Change) -> None:
    report = against(change.base, edited(change), dump(change.base))
    wanted = "violated" if change.name in A_DIFFERENCE else "proved"
    assert report.verdict == ("undecided" if change.name in UNDECIDED else wanted), report.to_text()


@pytest.mark.parametrize("name", NAMES)
def test_kube_proxy_and_svcc_differ_where_semantics_allow_it(name: str) -> None:
    """On 127.0.0.0/8 from other sources, and in refusing the node's own processes."""
    objects, node = dump_objects(name), dump_settings(name)
    own = script(compile_objects(objects, node), Family.IPV4)
    report = against(name, dump(name), own)
    for finding in report.findings:
        if finding.verdict == "proved":
            continue
        assert finding.verdict == "violated", report.to_text()
        assert finding.counterexample is not None
        packet = finding.counterexample.packet
        to_loopback = packet.destination >> 24 == 127
        own_refused = packet.from_node and "rejected" in finding.counterexample.expected
        assert to_loopback or own_refused, report.to_text()


def outcomes(text: str, packet: Packet, world: World) -> dict[object, Fraction] | None:
    rules = next(iter(of(text).values())).rules
    found: dict[object, Fraction] = {}

    def seen(result: Result) -> object:
        if result.verdict != "passed":
            return result.verdict
        return (result.destination, result.destination_port, result.masqueraded, result.recorded)

    try:
        for share, result in distribution(rules, packet, world):
            found[seen(result)] = found.get(seen(result), Fraction(0)) + share
    except UndecidableError:
        return None
    return found


@pytest.mark.slow
@examples(50, 3000)
@given(rule_sets(), st.data())
def test_what_is_the_same_is_the_same_for_packets(text: str, data: st.DataObject) -> None:
    """Random rule sets, one with a line changed, against packets one by one."""
    how = data.draw(st.sampled_from(("drop", "twice", "swap")))
    other = with_a_rule_changed(text, data.draw(st.integers(0, 10_000)), how)
    own = parse_address("192.168.7.10")
    node = NodeSettings(node_name="node-a", addresses=(own,))
    report = compare(Objects(), node, of(text), of(other))
    world = World(lambda address: address == own.value)
    for _ in range(6):
        packet = data.draw(packets())
        mine, theirs = outcomes(text, packet, world), outcomes(other, packet, world)
        if mine is not None and theirs is not None and mine != theirs:
            assert report.verdict != "proved", f"{packet}: {mine} {theirs}\n{text}\n{other}"


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_text(dump("clusterip-3ep"))
    after.write_text(dump("clusterip-3ep").replace("10.244.2.7:8080\n", "10.244.2.8:8080\n"))
    assert main(["verify", "--rules", str(before), "--against", str(before)]) == 0
    assert main(["verify", "--rules", str(after), "--against", str(before), "--trace"]) == 1
    shown = capsys.readouterr().out
    assert "10.244.2.8:8080" in shown
    assert f"{before}:" in shown
    assert f"{after}:" in shown
    arguments = ["verify", "--rules", str(after), "--against", str(before), "-o", "json"]
    assert main(arguments) == 1
    example = json.loads(capsys.readouterr().out)["properties"]
    assert any("against" in found.get("counterexample", {}) for found in example)
    for format_name in ("sarif", "junit", "github"):
        assert main([*arguments[:-1], format_name]) == 1


@pytest.mark.parametrize("other", ["-p tcp -m tcp --dport 81", "-p tcp"])
def test_targets_outside_the_model_are_never_the_same(other: str) -> None:
    text = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {} -j TPROXY --on-port {}\nCOMMIT\n"
    mine = text.format("-p tcp -m tcp --dport 80", 1)
    report = compare(Objects(), NodeSettings(node_name="n"), of(mine), of(text.format(other, 2)))
    assert report.verdict == "undecided", report.to_text()
    assert compare(Objects(), NodeSettings(node_name="n"), of(mine), of(mine)).verdict == "proved"


def test_both_modes_serve_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They differ at other ports of virtual IPs, which are the node's in ipvs mode."""
    shop = ["-f", "tests/data/kube-proxy/lb-plain/objects.yaml", "--node-ip", "192.168.7.10"]
    shop += ["--cluster-cidr", "10.244.0.0/16"]
    for mode in ("iptables", "ipvs"):
        assert main(["compile", *shop, "--mode", mode, "-o", str(tmp_path / mode)]) == 0
    capsys.readouterr()
    rules = ["--rules", str(tmp_path / "iptables"), "--against", str(tmp_path / "ipvs")]
    assert main(["verify", *shop, *rules, "--family", "ipv4", "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)["properties"]
    differ = {item["frontend"] for item in found if item["verdict"] != "proved"}
    assert differ
    assert all("other ports of" in name for name in differ), differ
    assert sum(item["verdict"] == "proved" for item in found) > 5


def test_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").write_text(dump("clusterip-3ep"))
    rules = str(tmp_path / "rules")
    assert main(["verify", "--against", rules]) == 2
    assert main(["verify", "--rules", rules, "--against", rules, "--paranoid"]) == 2
    assert main(["verify", "--rules", rules, "--against", str(tmp_path / "missing")]) == 2
    assert main(["verify", "--rules", rules]) == 2
    assert "error" in capsys.readouterr().err
