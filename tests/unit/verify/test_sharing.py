"""What is cut once for many regions is what would have been cut for each alone."""

from __future__ import annotations

from random import Random

import pytest

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.verify.confirm.answers import Undecided, Violated
from svcc.verify.model.rules import index_rules
from svcc.verify.proof.prover import Prover
from svcc.verify.slicing import plain_runs as runs
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Regions
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Refuse, Serve, Untouched
from tests.fuzz.compare import read_rules
from tests.fuzz.rules import PLACES, RuleMaker
from tests.support.effort import LONG
from tests.support.proofs import PROVER

pytestmark = pytest.mark.slow

_PORTS = (80, 81, 443, 8080)
_NODE = {Family.IPV4: "192.168.7.10", Family.IPV6: "fd00:7::10"}


def frontends(random: Random, family: Family) -> tuple[FrontendExpectation, ...]:
    """Every virtual address on some ports, to be left alone, refused or served."""
    backends = tuple(
        Backend(parse_address(address.partition(":")[0]).value, 8080)
        for address in PLACES[Family.IPV4].virtual[-2:]
    )
    found = []
    for address in PLACES[family].virtual:
        for port in random.sample(_PORTS, 2):
            front = Frontend(family, parse_address(address).value, 6, port, "x", "external IP")
            outcome = random.choice((Untouched(), Refuse(), Serve(backends, False)))
            found.append(FrontendExpectation(front, (Case((), (outcome,)),), True))
    return tuple(found)


def kinds(answers: dict[str, object]) -> dict[str, str]:
    return {
        name: "violated"
        if isinstance(answer, Violated)
        else "undecided"
        if isinstance(answer, Undecided)
        else "proved"
        for name, answer in answers.items()
    }


@pytest.fixture
def short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random chains are short: let two rules be a run."""
    for module in (
        "svcc.verify.slicing.plain_runs.SHORTEST",
        "svcc.verify.slicing.slicer.SHORTEST",
    ):
        monkeypatch.setattr(module, 2)


@pytest.mark.usefixtures("short_runs")
@pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
def test_regions_that_share(family: Family) -> None:
    random = Random(f"sharing {family.label}")
    maker = RuleMaker(random, family)
    settings = NodeSettings(node_name="node-a", addresses=(parse_address(_NODE[family]),))
    shared = different = 0
    for _ in range(60 if LONG else 6):
        rules = read_rules(maker.make().text().replace("@", "0"), family)
        expectation = Expectation(family, settings, frontends(random, family), ())
        regions = Regions(index_rules(rules), expectation)
        together, prover = Cutter(regions), Prover()
        for region in regions:
            if region.frontend is None:
                continue
            cut = together.cut(region)
            alone = Cutter(regions).cut(region)
            shared += prover.knows(cut.schema)
            answers = kinds(dict(prover.region(cut.schema, cut.numbering)))
            assert answers == kinds(dict(PROVER.region(alone.schema, alone.numbering)))
            different += "violated" in answers.values()
    assert shared > 5
    assert different > 12


@pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
def test_runs(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """With runs and without, the answers are the same."""
    random = Random(f"runs {family.label}")
    maker = RuleMaker(random, family)
    settings = NodeSettings(node_name="node-a", addresses=(parse_address(_NODE[family]),))
    found = 0
    for _ in range(60 if LONG else 6):
        rules = read_rules(maker.make().text().replace("@", "0"), family)
        expectation = Expectation(family, settings, frontends(random, family), ())
        answers = []
        for shortest in (1, 1 << 30):
            monkeypatch.setattr("svcc.verify.slicing.plain_runs.SHORTEST", shortest)
            monkeypatch.setattr("svcc.verify.slicing.slicer.SHORTEST", shortest)
            regions = Regions(index_rules(rules), expectation)
            cutter = Cutter(regions)
            cuts = [cutter.cut(region) for region in regions]
            answers.append([kinds(dict(PROVER.region(c.schema, c.numbering))) for c in cuts])
        assert answers[0] == answers[1]
        monkeypatch.setattr("svcc.verify.slicing.plain_runs.SHORTEST", 1)
        tables = index_rules(rules).tables.values()
        found += sum(any(runs.runs_of(chain)) for chains in tables for chain in chains.values())
    assert found > 20
