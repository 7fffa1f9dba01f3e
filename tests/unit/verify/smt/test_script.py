"""Scripts are what Z3 reads and what any solver could; a cone is enough for its goals."""

from __future__ import annotations

from random import Random

import pytest
import z3

from svcc.verify.smt.cone_of_influence import cone
from svcc.verify.smt.script import Assertion, Definition, Script
from svcc.verify.smt.solver import Question, Solver, Strategy
from svcc.verify.smt.term import (
    BOOL,
    REAL,
    Term,
    bit_vector,
    bits,
    conjunction,
    constant,
    disjunction,
    distinct,
    equal,
    has_value,
    negate,
    substitution,
)

P, Q = constant("p", BOOL), constant("q", BOOL)


def small() -> Script:
    script = Script()
    port = script.declare("dport", bit_vector(16))
    script.declare("p", BOOL)
    script.require(has_value(port, 80))
    script.define("t1", negate(P))
    return script


def test_text() -> None:
    body = (
        "(declare-const dport (_ BitVec 16))\n"
        "(declare-const p Bool)\n"
        "(assert (= dport (_ bv80 16)))\n"
        "(declare-const t1 Bool)\n"
        "(assert (= t1 (not p)))"
    )
    script = small()
    assert str(script) == body
    whole = script.whole([constant("t1", BOOL)])
    assert whole == f"(set-logic ALL)\n{body}\n(assert t1)\n(check-sat)\n"


def test_a_name_is_declared_once() -> None:
    script = small()
    assert script.declare("p", BOOL) is P
    assert str(script) == str(small())


def test_a_script_that_goes_on_leaves_the_other_alone() -> None:
    script = small()
    more = script.requiring([P])
    more.declare("x", REAL)
    assert str(script) == str(small())
    assert str(more) == f"{small()}\n(assert p)\n(declare-const x Real)"
    script.require(negate(P))
    assert str(more) == f"{small()}\n(assert p)\n(declare-const x Real)"


def test_what_a_script_knows() -> None:
    script = small()
    assert script.knows(conjunction([P, constant("t1", BOOL)]))
    assert not script.knows(conjunction([P, Q]))


def test_other_names() -> None:
    script = small()
    theirs = {
        script.declared["p"]: constant("b_p", BOOL),
        constant("t1", BOOL): constant("b_t1", BOOL),
    }
    renamed = Script(script.substituted(substitution(theirs)))
    assert str(renamed).splitlines()[1:] == [
        "(declare-const b_p Bool)",
        "(assert (= dport (_ bv80 16)))",
        "(declare-const b_t1 Bool)",
        "(assert (= b_t1 (not b_p)))",
    ]
    assert renamed.definitions.keys() == {"b_t1"}


# -- cones -----------------------------------------------------------------------------------


def random_script(random: Random) -> tuple[Script, list[Term]]:
    """Definitions over definitions, and assertions about some of them."""
    script = Script()
    known = [script.declare(f"p{number}", BOOL) for number in range(6)]
    for number in range(12):
        some = random.sample(known, 2)
        make = random.choice((conjunction, disjunction, distinct, lambda t: equal(*t)))
        known.append(script.define(f"t{number}", negate(make(some), random.random() < 0.3)))
        if random.random() < 0.4:
            script.require(disjunction(random.sample(known, random.choice((1, 2, 3)))))
    return script, known


@pytest.mark.parametrize("seed", range(60))
def test_a_cone_is_enough_and_no_more(seed: int) -> None:
    random = Random(f"cone {seed}")
    script, known = random_script(random)
    goals = random.sample(known, random.choice((1, 2)))
    part = cone(script, goals)
    # All that a goal depends on is there, defined as it was.
    needed = {name for goal in goals for name in goal.free_names}
    while True:
        more = needed | {
            name
            for command in script.commands
            if isinstance(command, Definition) and command.constant.symbol in needed
            for name in command.meaning.free_names
        }
        if more == needed:
            break
        needed = more
    assert {*part.declared, *part.definitions} == needed
    assert all(part.definitions[name] == script.definitions[name] for name in part.definitions)
    for command in script.commands:
        if isinstance(command, Assertion):
            assert (command in part.commands) == (command.term.free_names <= needed)
    # It is a script by itself, and what cannot be met there cannot be met at all.
    for strategy in Strategy:
        in_part = Solver(part, strategy=strategy).check_goal(conjunction(goals), last=True)
        in_all = Solver(script, strategy=strategy).check_goal(conjunction(goals), last=True)
        assert (in_part, in_all) != ("unsat", "sat")
        if {*script.declared, *script.definitions} == needed:
            assert in_part == in_all


def test_a_cone_of_everything_is_everything() -> None:
    script, known = random_script(Random("everything"))
    assert str(cone(script, known)) == str(script)
    assert len(cone(script, known[:1]).commands) < len(script.commands)


# -- questions -------------------------------------------------------------------------------


def test_each_question_is_told_as_it_was_asked() -> None:
    told: list[Question] = []
    script = Script()
    vector = script.declare("v", bit_vector(8))
    flag = script.define("flag", has_value(vector, 3))
    solver = Solver(script, about=["reaches"], hear=told.append)
    assert solver.check() == "sat"
    assert solver.check([flag]) == "sat"
    assert solver.values()["v"] == 3
    assert solver.check_goal(conjunction([flag, has_value(vector, 4)])) == "unsat"
    assert solver.check_goal(negate(flag)) == "sat"
    solver.extend([Assertion(equal(vector, bits(4, 8)))])
    assert solver.check([flag]) == "unsat"
    assert [(question.about, question.outcome) for question in told] == [
        (("reaches",), outcome) for outcome in ("sat", "sat", "unsat", "sat", "unsat")
    ]
    for question in told:
        assert answer(str(question)) == question.outcome


def answer(whole: str) -> str:
    """What Z3 says of a script by itself."""
    context = z3.Context()
    said: str = z3.Z3_eval_smtlib2_string(context.ref(), whole)
    return said.strip()
