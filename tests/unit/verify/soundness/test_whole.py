"""Slices against the whole: both say the same of every region, for right and damaged rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.compiler.bundle import script
from svcc.compiler.model.objects import Objects
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import RuleSet, load
from svcc.verify.model.ownership import mark_ownership
from svcc.verify.model.rules import index_rules
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.slicing.regions import Regions
from svcc.verify.spec.expectation import expect
from svcc.verify.spec.properties import CAPTURES, ENDS, FAIR, MASQUERADES, REACHES, REFUSES
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.support.clusters.objects import Cluster, clusters
from tests.support.damage.dump_damage import DAMAGE
from tests.support.damage.edits import RULE_CHANGES, Change, with_a_rule_changed
from tests.support.effort import examples
from tests.support.proofs import verify
from tests.support.readings.whole import Whole

pytestmark = pytest.mark.slow

_ONE_PACKET = frozenset({CAPTURES, MASQUERADES, REACHES, REFUSES})
_NEVER = "with probability"
"""In what is expected: a share, which the whole does not look at."""


def read(text: str, family: Family) -> RuleSet:
    return load(parse(text, family=family, source="x"))


def by_slices(objects: Objects, node: NodeSettings, rules: RuleSet) -> tuple[dict[str, bool], bool]:
    """Which regions have a packet that must not be; whether every walk ends."""
    report = verify(objects, node, {rules.family: LoadedRules(rules, "x")})
    found: dict[str, bool] = {}
    for finding in report.findings:
        if finding.property not in (*_ONE_PACKET, FAIR):
            continue
        assert finding.verdict != "undecided", finding
        example = finding.counterexample
        shows = finding.property != FAIR and example is not None and _NEVER not in example.expected
        found[finding.frontend] = found.get(finding.frontend, False) or shows
    ends = all(f.verdict == "proved" for f in report.findings if f.property == ENDS)
    return found, ends


def by_the_whole(objects: Objects, node: NodeSettings, rules: RuleSet) -> dict[str, bool]:
    indexed = index_rules(rules)
    mark_ownership(indexed)
    regions = Regions(indexed, expect(objects, node, rules.family))
    whole = Whole(rules, regions)
    found: dict[str, bool] = {}
    for region in regions:
        found[region.name] = found.get(region.name, False) or whole.violated(region)
    return found


def compare(objects: Objects, node: NodeSettings, rules: RuleSet) -> bool:
    """Check that they agree; whether anything is violated."""
    slices, ends = by_slices(objects, node, rules)
    if not ends:
        return True
    whole = by_the_whole(objects, node, rules)
    assert slices == {name: whole[name] for name in slices}
    assert not any(wrong for name, wrong in whole.items() if name not in slices)
    return any(whole.values())


@examples(12, 500)
@given(cluster=clusters(most_services=2), family=st.sampled_from(Family))
def test_right_rules(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, family: Family
) -> None:
    objects, node = cluster.load(_folder(tmp_path_factory))
    rules = read(script(compile_objects(objects, node), family), family)
    assert not compare(objects, node, rules)


@examples(30, 2000)
@given(
    cluster=clusters(most_services=2),
    family=st.sampled_from(Family),
    number=st.integers(0, 10_000),
    kind=st.sampled_from(("drop", "twice", "swap", "change", "change", "change")),
    change=st.sampled_from(RULE_CHANGES),
)
def test_damaged_rules(
    tmp_path_factory: pytest.TempPathFactory,
    cluster: Cluster,
    family: Family,
    number: int,
    kind: str,
    change: tuple[str, str],
) -> None:
    objects, node = cluster.load(_folder(tmp_path_factory))
    text = script(compile_objects(objects, node), family)
    try:
        rules = read(with_a_rule_changed(text, number, kind, change), family)
    except InputError:
        return
    compare(objects, node, rules)


_NOT_BY_ONE_PACKET = {
    "a backend's rule is missing",
    "probability 0",
    "affinity ends too early",
    "affinity never asked",
    "affinity of two backends in one list",
    "marked packets not accepted",
}
"""Shares, returns, and packets that are not the first of a connection."""


@pytest.mark.parametrize("change", DAMAGE[::3], ids=lambda change: change.name)
def test_damaged_kube_proxy_rules(change: Change) -> None:
    """Damage that the slices catch, and that the whole catches where one packet shows it."""
    text = (DUMPS / change.base / "iptables-save.txt").read_text()
    rules = read(change.of(text), Family.IPV4)
    seen = compare(dump_objects(change.base), dump_settings(change.base), rules)
    assert seen != (change.name in _NOT_BY_ONE_PACKET)


def _folder(factory: pytest.TempPathFactory) -> Path:
    folder = factory.getbasetemp() / "clusters"
    folder.mkdir(exist_ok=True)
    return folder
