"""What nftables mode makes of the objects of ``tests/data/cases``: a file for each.

``pytest tests/golden --regenerate-golden`` writes them anew.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from svcc.compiler.bundle import NFTABLES
from svcc.compiler.pipeline import compile_objects
from svcc.grammar.nftables.program import Ruleset
from svcc.grammar.nftables.write import write
from tests.golden.test_cases import CASES, inputs

FOLDER = CASES.with_name("cases-nftables")
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def tables(name: str) -> Ruleset:
    objects, settings = inputs(name)
    found = compile_objects(objects, replace(settings, mode="nftables")).tables
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_files_are_as_written_down(name: str, request: pytest.FixtureRequest) -> None:
    text, path = write(tables(name)), FOLDER / name / NFTABLES
    if request.config.getoption("--regenerate-golden"):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs"


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_objects_does_not_matter(name: str) -> None:
    objects, settings = inputs(name)
    settings = replace(settings, mode="nftables")
    expected = tables(name)
    random = Random(name)
    for _ in range(3):
        random.shuffle(objects.services)
        random.shuffle(objects.slices)
        assert compile_objects(objects, settings).tables == expected


@pytest.mark.parametrize("name", NAMES)
def test_without_comments(name: str) -> None:
    objects, settings = inputs(name)
    settings = replace(settings, mode="nftables")
    found = compile_objects(objects, settings, comments=False).tables
    assert found is not None
    assert "comment" not in write(found)
