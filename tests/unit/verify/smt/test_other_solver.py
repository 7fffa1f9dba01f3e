"""cvc5, which shares nothing with Z3, gives the same answers to all that the proofs ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cvc5
import pytest

from svcc.api.compilation import compiled_for
from svcc.api.inputs import load
from svcc.api.own_rules import read_back
from svcc.api.settings import load_configuration, node_settings
from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.verify.engine import verify
from svcc.verify.proof.prover import Prover
from svcc.verify.smt.solver import Question
from tests.paths import DATA
from tests.support.clusters.cases import case_names, read_case

RESOURCES = 200_000
"""Of cvc5's own units; the hardest question takes a third of a second."""
MOST_UNKNOWN = 5
MODES: tuple[Literal["iptables", "ipvs"], ...] = ("iptables", "ipvs")


def ask(script: str) -> str:
    """What cvc5 says of a whole script."""
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("rlimit", str(RESOURCES))
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, script, "question")
    symbols = parser.getSymbolManager()
    said = ""
    while not (command := parser.nextCommand()).isNull():
        said += str(command.invoke(solver, symbols))
    return said.strip()


def every_case(folder: Path) -> Iterator[tuple[Objects, NodeSettings]]:
    """All small clusters, each in both modes."""
    files = [
        (path / "objects.yaml", path / "config.yaml")
        for path in sorted((DATA / "cases").iterdir())
        if path.is_dir()
    ]
    for name in case_names():
        (folder / name).mkdir()
        files.append(read_case(name).write(folder / name))
    for objects_file, config in files:
        objects, configuration = load(objects_file), load_configuration(config)
        for mode in MODES:
            yield objects, node_settings(objects, configuration, mode=mode)


def every_question(folder: Path) -> list[Question]:
    """What the proofs of all cases ask; a schema is asked about once."""
    heard: list[Question] = []
    prover = Prover(heard.append)
    for objects, settings in every_case(folder):
        verify(objects, settings, read_back(compiled_for(objects, settings)), prover=prover)
    assert prover.statistics.schemas > 500
    return heard


@pytest.mark.slow
def test_cvc5_agrees_with_z3(tmp_path: Path) -> None:
    questions = {str(question): question for question in every_question(tmp_path)}
    answers = Counter((question.outcome, ask(text)) for text, question in questions.items())
    assert answers["unsat", "unsat"] > 1000, answers
    assert answers["sat", "sat"] > 50, answers
    different = {pair: n for pair, n in answers.items() if pair[0] != pair[1]}
    unknown = sum(n for pair, n in different.items() if "unknown" in pair)
    assert sum(different.values()) == unknown, different
    assert unknown <= MOST_UNKNOWN, different
