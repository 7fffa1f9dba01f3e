"""What a real kube-proxy wrote is right; damage to it is in tests/unit/verify/test_damages.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.grammar.address import Family, parse_address
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import RuleSet, load
from svcc.verify.confirm.answers import Violated
from svcc.verify.model.rules import index_rules
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.proof.prover import Prover
from svcc.verify.report.report import Report
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.expectation import Expectation, Frontend
from svcc.verify.spec.outcomes import Case, Serve
from svcc.verify.spec.properties import REACHES
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.proofs import verify

NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())
FILES = {Family.IPV4: "iptables-save.txt", Family.IPV6: "ip6tables-save.txt"}


def loaded(folder: Path, family: Family, lines: list[str] | None = None) -> RuleSet:
    text = (folder / FILES[family]).read_text()
    if lines is not None:
        text = "\n".join(lines) + "\n"
    return load(parse(text, family=family, source=FILES[family]))


def judge(name: str, rules: dict[Family, RuleSet]) -> Report:
    return verify(
        dump_objects(name),
        dump_settings(name),
        {family: LoadedRules(item, FILES[family]) for family, item in rules.items()},
    )


@pytest.mark.parametrize("name", NAMES)
def test_kube_proxy_is_right(name: str) -> None:
    folder = DUMPS / name
    report = judge(name, {family: loaded(folder, family) for family in Family})
    assert report.verdict == "proved", report.to_text()
    assert len(report.findings) > 5


UNKNOWN = (
    "-A KUBE-SERVICES -m time --timestart 01:00 --timestop 02:00 -j ACCEPT",
    "-A KUBE-SERVICES -p tcp -j NETMAP --to 10.0.0.0/8",
    "-A KUBE-SERVICES -m set --match-set blocked src -j ACCEPT",
)


@pytest.mark.parametrize("line", UNKNOWN)
def test_rule_outside_the_model_makes_the_verdict_undecided(line: str) -> None:
    folder = DUMPS / "clusterip-3ep"
    lines = (folder / FILES[Family.IPV4]).read_text().splitlines()
    entry = next(i for i, text in enumerate(lines) if "-d 10.96.0.10/32" in text)
    lines.insert(entry, line)
    report = judge("clusterip-3ep", {Family.IPV4: loaded(folder, Family.IPV4, lines)})
    assert report.verdict == "undecided", report.to_text()
    assert f"{FILES[Family.IPV4]}:{entry + 1}: {line}" in report.to_text()


def test_translation_to_where_the_packet_goes_anyway_is_none() -> None:
    """The node port's own address and number as a backend: refusals still see the packet."""
    rules = """\
*nat
-A PREROUTING -p tcp -m addrtype --dst-type LOCAL -m tcp --dport 30080 -j DNAT \
--to-destination 192.168.7.10:30080
COMMIT
*filter
-A INPUT -p tcp -m tcp --dport 30080 -m conntrack ! --ctstate DNAT -j DROP
COMMIT
"""
    found = load(parse(rules, family=Family.IPV4, source="x"))
    regions = Regions(
        index_rules(found), Expectation(Family.IPV4, dump_settings("nodeport"), (), ())
    )
    port = Frontend(Family.IPV4, None, 6, 30080, "x", "node port")
    backend = Backend(parse_address("192.168.7.10").value, 30080)
    cases = (Case((), (Serve((backend,), False),)),)
    cut = Cutter(regions).cut(Region(port, cases, Box(0, 0, 6, 30080, 30080, True), False))
    assert isinstance(Prover().region(cut.schema, cut.numbering)[REACHES], Violated)
