"""What ipvs mode makes of the objects of ``tests/data/cases``: a folder of files for each.

``pytest tests/golden --regenerate-golden`` writes them anew.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from svcc.compiler.bundle import ADDRESSES, FILE_NAMES, IPSET, IPVSADM, batch
from svcc.compiler.pipeline import compile_objects
from svcc.grammar.iptables.write import write
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.verify.rule_files import from_files
from tests.golden.test_cases import CASES, inputs
from tests.support.proofs import verify

FOLDER = CASES.with_name("cases-ipvs")
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def files(name: str) -> dict[str, str]:
    objects, settings = inputs(name)
    compiled = compile_objects(objects, replace(settings, mode="ipvs"))
    assert compiled.ipvs is not None
    found = {FILE_NAMES[family]: write(program) for family, program in compiled.programs.items()}
    found[IPVSADM] = ipvsadm.write(compiled.ipvs.servers)
    found[IPSET] = ipset.write(compiled.ipvs.sets)
    found[ADDRESSES] = batch(compiled.ipvs)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_files_are_as_written_down(name: str, request: pytest.FixtureRequest) -> None:
    for file, text in files(name).items():
        path = FOLDER / name / file
        if request.config.getoption("--regenerate-golden"):
            path.write_text(text)
        assert text == path.read_text(), f"{path} differs"


@pytest.mark.parametrize("name", NAMES)
def test_files_are_right(name: str) -> None:
    objects, settings = inputs(name)
    report = verify(objects, replace(settings, mode="ipvs"), from_files([str(FOLDER / name)], None))
    assert report.verdict == "proved", report.to_text()


@pytest.mark.parametrize("name", NAMES)
def test_order_of_the_objects_does_not_matter(name: str) -> None:
    objects, settings = inputs(name)
    settings = replace(settings, mode="ipvs")
    expected = compile_objects(objects, settings).ipvs
    random = Random(name)
    for _ in range(3):
        random.shuffle(objects.services)
        random.shuffle(objects.slices)
        assert compile_objects(objects, settings).ipvs == expected


@pytest.mark.parametrize("name", NAMES)
def test_reading_is_the_inverse_of_writing(name: str) -> None:
    servers = (FOLDER / name / IPVSADM).read_text()
    assert ipvsadm.write(ipvsadm.parse(servers, source=IPVSADM)) == servers
    sets = (FOLDER / name / IPSET).read_text()
    assert ipset.write(ipset.parse(sets, source=IPSET)) == sets
