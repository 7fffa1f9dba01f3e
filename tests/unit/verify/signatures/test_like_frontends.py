"""Regions with equal signatures have equal schemas, where rules look at what cuts look at."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.verify.model.rules import IndexedRules, index_rules
from svcc.verify.rule_files import from_text
from svcc.verify.slicing.regions import Regions
from tests.support.effort import LONG
from tests.support.programs.like_frontends import LikeFrontends
from tests.unit.verify.signatures.comparing import compare

PROGRAMS = 5_000 if LONG else 200
"""For each of the four ways."""


def disown(random: Random, rules: IndexedRules) -> None:
    """Let some rules be another tool's."""
    for chains in rules.tables.values():
        for chain in chains.values():
            for record in chain.records:
                record.service = random.random() < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("shortest", [2, 16])
@pytest.mark.parametrize("most_written", [3, 256])
def test_schemas(shortest: int, most_written: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """``shortest``: rules of a run; ``most_written``: entries of a set that are written out."""
    for module in ("slicing.plain_runs", "slicing.slicer", "signatures.rows"):
        monkeypatch.setattr(f"svcc.verify.{module}.SHORTEST", shortest)
    for module in ("model.sets", "signatures.signatures"):
        monkeypatch.setattr(f"svcc.verify.{module}.MAX_WRITTEN", most_written)
    random = Random(f"like {shortest} {most_written}")
    maker = LikeFrontends(random)
    programs = shared = 0
    for _ in range(PROGRAMS):
        program = maker.make()
        # Not every target may stand in every table.
        with suppress(InputError):
            loaded = from_text(program.text, Family.IPV4, "x")
            loaded.rules.nft_sets.update(program.sets)
            rules = index_rules(loaded.rules)
            if random.random() < 0.2:
                disown(random, rules)
            shared += compare(Regions(rules, program.expectation, apart=program.apart))[0]
            programs += 1
    assert programs > PROGRAMS * 0.8
    assert shared > PROGRAMS
