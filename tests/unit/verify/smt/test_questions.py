"""Every question of a proof is a script that says all there is, and that any solver can answer."""

from __future__ import annotations

from svcc.verify.engine import verify
from svcc.verify.proof.prover import Prover
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_files
from svcc.verify.smt.solver import Question
from svcc.verify.smt.term import bits, terms_in_use
from svcc.verify.spec.properties import (
    CAPTURES,
    FAIR,
    LETS_THROUGH,
    MASQUERADES,
    REACHES,
)
from tests.support.clusters.dumps import DUMPS, dump_objects, dump_settings
from tests.unit.verify.smt.test_script import answer

DUMP = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())[0]


def judge(prover: Prover, *, damaged: bool = False) -> Report:
    texts = [str(path) for path in (DUMPS / DUMP).glob("ip*tables-save.txt")]
    loaded = from_files(texts, None)
    if damaged:
        # Without the last rule, MASQUERADE, answers do not find their way.
        for item in loaded.values():
            del item.rules.tables["nat"]["KUBE-POSTROUTING"].rules[-1:]
    return verify(dump_objects(DUMP), dump_settings(DUMP), loaded, prover=prover)


def questions(*, damaged: bool = False) -> tuple[Report, list[Question]]:
    heard: list[Question] = []
    prover = Prover(heard.append)
    report = judge(prover, damaged=damaged)
    assert len(heard) == prover.statistics.solver_calls
    return report, heard


def test_a_proof_is_questions_that_cannot_be_met() -> None:
    report, heard = questions()
    assert report.verdict == "proved", report.to_text()
    assert {question.outcome for question in heard} == {"unsat"}
    about = {name for question in heard for name in question.about}
    assert about == {CAPTURES, FAIR, LETS_THROUGH, MASQUERADES, REACHES}
    assert {answer(str(question)) for question in heard} == {"unsat"}


def test_a_violation_is_a_question_that_can_be_met() -> None:
    report, heard = questions(damaged=True)
    assert report.verdict == "violated"
    assert {question.outcome for question in heard} == {"sat", "unsat"}
    some = [question for question in heard if question.outcome == "sat"][:3] + heard[:20]
    assert [answer(str(question)) for question in some] == [q.outcome for q in some]


def test_terms_are_gone_after_a_run() -> None:
    judge(Prover())
    before, literals = terms_in_use(), bits.cache_info().maxsize or 0
    judge(Prover())
    assert terms_in_use() <= before + literals
