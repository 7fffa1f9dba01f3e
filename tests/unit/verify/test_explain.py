"""What ``svcc explain`` says of packets is what ``svcc verify`` says of their frontends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from svcc.api.own_rules import read_back
from svcc.compiler.bundle import render, script
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, parse_address
from svcc.verify.confirm.findings import Finding
from svcc.verify.explain import Explainer
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.report.explanation import Explanation
from svcc.verify.rule_files import from_files, from_text, of_nftables
from svcc.verify.simulator.packet import Packet
from svcc.verify.spec.expectation import expect
from svcc.verify.spec.properties import ENDS, LETS_THROUGH
from tests.damages.trials import Trial, tables_of, trials
from tests.support.clusters.beside import TOOLS, merged, tool
from tests.support.clusters.cases import case_names, case_objects
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.clusters.ipvs_cases import compiled_case
from tests.support.effort import some
from tests.support.layouts.kube_proxy_frame import LAYOUTS, Layout
from tests.support.layouts.kube_proxy_layouts import written
from tests.support.proofs import PROVER, verify

Rules = dict[Family, LoadedRules]

FILES = {Family.IPV4: "iptables-save.txt", Family.IPV6: "ip6tables-save.txt"}
NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())
WORSE = ("proved", "undecided", "violated")


def dump_rules(name: str) -> Rules:
    folder = DUMPS / name
    return {f: from_text((folder / file).read_text(), f, file) for f, file in FILES.items()}


def explanations(
    objects: Objects, settings: NodeSettings, rules: Rules
) -> Iterable[tuple[str, Explanation]]:
    """Every sender of every frontend, by the frontend's name."""
    for family, item in rules.items():
        explainer = Explainer(objects, settings, family, item, PROVER)
        services = {i.frontend.service for i in expect(objects, settings, family).frontends}
        for service in sorted(services):
            for explained in explainer.service(service):
                yield f"{family.label} {explained.frontend}", explained


def verdicts(findings: Iterable[Finding]) -> dict[str, int]:
    """How bad it is about each frontend."""
    found: dict[str, int] = {}
    for finding in findings:
        if finding.property not in (ENDS, LETS_THROUGH):
            name = f"{finding.family.label} {finding.frontend}"
            found[name] = max(found.get(name, 0), WORSE.index(finding.verdict))
    return found


def check(objects: Objects, settings: NodeSettings, rules: Rules) -> list[str]:
    """Where the two do not say the same."""
    report = verify(objects, settings, rules)
    wanted = verdicts(report.findings)
    got: dict[str, int] = {}
    wrong = []
    for name, explained in explanations(objects, settings, rules):
        got[name] = max(got.get(name, 0), WORSE.index(explained.verdict))
        if any("internal error" in reason for reason in explained.undecided):
            wrong.append(f"{explained.packet}: {explained.undecided}")
    for name, verdict in got.items():
        if wanted[name] != verdict:
            wrong.append(f"{name}: verify {WORSE[wanted[name]]}, explain {WORSE[verdict]}")
    for packet in packets_to_nobody(objects, settings, rules):
        explainer = Explainer(objects, settings, packet.family, rules[packet.family], PROVER)
        explained = explainer.packet(packet)
        if explained.verdict == "undecided":
            wrong.append(f"{packet}: {explained.undecided}")
    assert bool(got) == any(expect(objects, settings, f).frontends for f in rules)
    return wrong


def packets_to_nobody(objects: Objects, settings: NodeSettings, rules: Rules) -> Iterable[Packet]:
    """To another port of a frontend, and to a port of the node that tools publish."""
    for family in rules:
        frontend = expect(objects, settings, family).frontends[:1]
        own = settings.primary_address(family)
        source = parse_address("203.0.113.7" if family is Family.IPV4 else "2001:db8::7")
        places = [(item.frontend.address, 9) for item in frontend]
        places += [(own.value, 8080)] if own is not None else []
        for address, port in places:
            if address is not None:
                yield Packet(family, False, source.value, 40000, address, port, 6, "eth0")


@pytest.mark.parametrize("name", NAMES)
def test_kube_proxys_rules(name: str) -> None:
    assert not check(dump_objects(name), dump_settings(name), dump_rules(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_beside_other_tools(name: str) -> None:
    for of in some(NAMES, 4):
        objects, settings = dump_objects(of), dump_settings(of)
        texts = (
            (DUMPS / of / FILES[Family.IPV4]).read_text(),
            script(compile_objects(objects, settings), Family.IPV4),
        )
        for text in texts:
            rules = {Family.IPV4: from_text(merged(text, tool(name)), Family.IPV4, name)}
            assert not check(objects, settings, rules), of


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
@pytest.mark.parametrize("name", case_names())
def test_own_rules(name: str, mode: str) -> None:
    objects, settings = case_objects(name, mode)
    assert not check(objects, settings, read_back(compile_objects(objects, settings)))


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_five_digits_and_older_kube_proxies(layout: Layout) -> None:
    for name in some(case_names(), 12):
        objects, settings = case_objects(name)
        texts = {f: written(layout, objects, settings, f) for f in Family}
        rules = {f: from_text(text, f, f.label) for f, text in texts.items()}
        assert not check(objects, settings, rules), name


def damaged(trial: Trial, folder: Path) -> tuple[Objects, NodeSettings, Rules]:
    change = trial.change
    if trial.rules == "ipvs":
        compiled = compiled_case(change.base)
        for name, text in render(compiled).items():
            (folder / name).write_text(change.of(text) if name == change.file else text)
        return case_objects(change.base)[0], compiled.settings, from_files([str(folder)], None)
    if trial.rules.endswith("nftables"):
        objects, settings, text = tables_of(trial)
        return objects, settings, of_nftables(change.of(text), "changed")
    if trial.rules == "kube-proxy":
        objects, settings = dump_objects(change.base), dump_settings(change.base)
        text = (DUMPS / change.base / FILES[Family.IPV4]).read_text()
    else:
        objects, settings = case_objects(change.base)
        text = script(compile_objects(objects, settings), Family.IPV4)
    return objects, settings, {Family.IPV4: from_text(change.of(text), Family.IPV4, "changed")}


DAMAGE = [t for t in trials() if t.wanted != "proved" and t.name != "cycle of jumps"]


OTHERWISE = {
    "a virtual IP not bound": "verify asks of the node port at an address that is not the node's "
    "own by any list; to explain, which is given the packet alone, it is the virtual IP",
}
"""Damage that explain sees and calls something else than verify does."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "trial", some(DAMAGE, 60), ids=lambda trial: f"{trial.rules}, {trial.name}"
)
def test_damage(trial: Trial, tmp_path: Path) -> None:
    objects, settings, rules = damaged(trial, tmp_path)
    report = verify(objects, settings, rules)
    wanted = verdicts(report.findings)
    explainers = {f: Explainer(objects, settings, f, item, PROVER) for f, item in rules.items()}
    for finding in report.findings:
        if finding.verdict == "violated" and finding.counterexample is not None:
            if finding.property == LETS_THROUGH:
                continue
            packet = finding.counterexample.packet
            explained = explainers[finding.family].packet(packet)
            assert explained.verdict == "violated", finding
            assert finding.code in {f.code for f in explained.wrong} or trial.name in OTHERWISE
    got: dict[str, int] = {}
    for name, explained in explanations(objects, settings, rules):
        got[name] = max(got.get(name, 0), WORSE.index(explained.verdict))
        assert not any("internal error" in reason for reason in explained.undecided)
    assert {name: wanted[name] for name in got} == got


def test_what_verify_leaves_open_is_not_right() -> None:
    name = "clusterip-3ep"
    text = (DUMPS / name / FILES[Family.IPV4]).read_text()
    rule = "-A KUBE-SERVICES -m time --timestart 01:00 --timestop 02:00 -j ACCEPT\n"
    text = text.replace("-A KUBE-SERVICES", f"{rule}-A KUBE-SERVICES", 1)
    rules = from_text(text, Family.IPV4, "x")
    explainer = Explainer(dump_objects(name), dump_settings(name), Family.IPV4, rules)
    found = list(explainer.service("shop/web"))
    assert {item.verdict for item in found} == {"undecided"}
    assert all("-m time --timestart" in item.undecided[0] for item in found)


def test_a_packet_that_does_not_arrive_is_not_judged() -> None:
    name = "clusterip-3ep"
    rules = dump_rules(name)[Family.IPV4]
    explainer = Explainer(dump_objects(name), dump_settings(name), Family.IPV4, rules)
    to = Address(Family.IPV4, parse_address("10.1.1.1").value)
    source = parse_address("203.0.113.7").value
    packet = Packet(Family.IPV4, False, source, 40000, to.value, 22, 6, "eth0", 0x4000)
    explained = explainer.packet(packet)
    assert explained.verdict == "undecided"
    assert "assumed" in explained.undecided[0]
