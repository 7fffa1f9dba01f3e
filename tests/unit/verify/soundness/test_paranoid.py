"""--paranoid: the solver confirms what slicing left out, and doubts what it left out wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.cli import main
from svcc.compiler.bundle import script
from svcc.compiler.pipeline import compile_objects
from svcc.grammar.address import Family
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import load as load_rules
from svcc.verify.model.actions import Dnat
from svcc.verify.model.conditions import DestinationLocal, Predicate
from svcc.verify.model.rules import IndexedChain, Record
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_files
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.box_evaluation import Truth
from svcc.verify.slicing.items import Item
from svcc.verify.slicing.slicer import Slicer
from svcc.verify.spec.properties import LEFT_OUT
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.clusters.objects import Cluster, clusters
from tests.support.damage.edits import with_a_rule_changed
from tests.support.effort import examples
from tests.support.proofs import verify

DUMP_NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())


def judge_dump(name: str) -> Report:
    texts = [str(path) for path in (DUMPS / name).glob("ip*tables-save.txt")]
    return verify(dump_objects(name), dump_settings(name), from_files(texts, None), paranoid=True)


def doubts(report: Report) -> list[str]:
    return [f.reason for f in report.findings if f.property == LEFT_OUT and f.verdict != "proved"]


@pytest.mark.parametrize("name", DUMP_NAMES)
def test_a_kube_proxys_rules_are_confirmed(name: str) -> None:
    report = judge_dump(name)
    assert report.verdict == "proved", report.to_text()
    assert {f.verdict for f in report.findings if f.property == LEFT_OUT} == {"proved"}


@pytest.mark.slow
@examples(8, 200)
@given(
    cluster=clusters(most_services=3),
    family=st.sampled_from(Family),
    line=st.integers(0, 10_000),
    repeated=st.booleans(),
)
def test_verdicts_are_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    family: Family,
    line: int,
    repeated: bool,
) -> None:
    objects, node = cluster.load(tmp_path_factory.mktemp("cluster"))
    text = script(compile_objects(objects, node), family)
    text = with_a_rule_changed(text, line, "twice" if repeated else "drop")

    def verdicts(*, paranoid: bool) -> dict[tuple[str, str], str]:
        loaded = LoadedRules(load_rules(parse(text, family=family, source="x")), "x")
        report = verify(objects, node, {family: loaded}, paranoid=paranoid)
        assert not doubts(report), report.to_text()
        found = {(f.property, f.frontend): f.verdict for f in report.findings}
        found.pop((LEFT_OUT, "all regions"), None)
        return {key: str(verdict) for key, verdict in found.items()}

    assert verdicts(paranoid=True) == verdicts(paranoid=False)


@pytest.mark.parametrize("mode", ["ipvs", "nftables"])
def test_in_other_modes(mode: str, tmp_path: Path) -> None:
    """Sets and virtual servers aside."""
    shop = ["-f", "examples/shop", "--config", "examples/shop/config.yaml", "--mode", mode]
    assert main(["compile", *shop, "-o", str(tmp_path / "rules")]) == 0
    assert main(["verify", *shop, "--rules", str(tmp_path / "rules"), "--paranoid"]) == 0


# -- what is broken on purpose ---------------------------------------------------------


def test_a_rule_left_out_wrongly_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Slicer._item

    def wrong(self: Slicer, table: str, record: Record, boxes: tuple[Box, ...]) -> Item | None:
        return None if isinstance(record.action, Dnat) else cut(self, table, record, boxes)

    monkeypatch.setattr(Slicer, "_item", wrong)
    assert any("left out of" in doubt for doubt in doubts(judge_dump("clusterip-3ep")))


def test_a_condition_left_out_wrongly_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Truth.evaluate

    def wrong(self: Truth, condition: Predicate, box: Box) -> tuple[bool | None, Box]:
        if isinstance(condition, DestinationLocal) and box.local is None:
            return True, box
        return evaluate(self, condition, box)

    monkeypatch.setattr(Truth, "evaluate", wrong)
    assert any("not the same for" in doubt for doubt in doubts(judge_dump("nodeport")))


def test_packets_narrowed_wrongly_are_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Truth.evaluate

    def wrong(self: Truth, condition: Predicate, box: Box) -> tuple[bool | None, Box]:
        truth, narrowed = evaluate(self, condition, box)
        if truth is None and isinstance(condition, DestinationLocal):
            narrowed = narrowed._replace(first_port=1)
        return truth, narrowed

    monkeypatch.setattr(Truth, "evaluate", wrong)
    assert any("not the same for" in doubt for doubt in doubts(judge_dump("nodeport")))


def test_packets_looked_at_nowhere_are_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Truth, "normal", lambda self, box: box._replace(local=True))
    assert any("looked at nowhere" in doubt for doubt in doubts(judge_dump("clusterip-3ep")))


def test_packets_sent_elsewhere_are_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svcc.verify.slicing.cutter._sent_to", lambda box, translations, mask: [])
    assert any("sent where nobody looked" in doubt for doubt in doubts(judge_dump("nodeport")))


def test_an_index_that_misses_rules_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(self: Slicer, table: str, chain: IndexedChain, boxes: object) -> range:
        return range(min(1, len(chain.records)))

    monkeypatch.setattr(Slicer, "_candidates", first)
    assert any("left out of" in doubt for doubt in doubts(judge_dump("lb-plain")))


def test_packets_that_no_region_has_are_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    from svcc.verify.slicing import regions

    iterate = regions.Regions.__iter__
    monkeypatch.setattr(
        regions.Regions, "__iter__", lambda self: list(iterate(self))[2:].__iter__()
    )
    assert any("in none" in doubt for doubt in doubts(judge_dump("clusterip-3ep")))
