"""Terms mean what they were built to mean, are written as SMT-LIB, and are there once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.verify.smt.script import Assertion, Declaration, Script
from svcc.verify.smt.solver import Solver
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    ONE,
    REAL,
    TRUE,
    ZERO,
    Sort,
    Term,
    add,
    at_most,
    between,
    bit_vector,
    bits,
    boolean,
    bvand,
    bvuge,
    bvule,
    conjunction,
    constant,
    disjunction,
    distinct,
    equal,
    exclusive_or,
    extract,
    greater,
    has_value,
    implies,
    in_network,
    ite,
    negate,
    number,
    scale,
    substitution,
    subtract,
    terms_in_use,
)
from tests.support.effort import examples
from tests.support.readings.term_values import Value, evaluate

WIDTH = 3
TOP = (1 << WIDTH) - 1
SORTS: dict[str, Sort] = {
    **{f"p{i}": BOOL for i in range(3)},
    **{f"v{i}": bit_vector(WIDTH) for i in range(3)},
    **{f"r{i}": REAL for i in range(2)},
}
Values = Mapping[str, Value]


class Meant(NamedTuple):
    """A term, and what it is meant to be worth, said without terms."""

    term: Term
    worth: Callable[[Values], Value]


def free(symbol: str) -> Meant:
    return Meant(constant(symbol, SORTS[symbol]), lambda values: values[symbol])


def literal(value: Value) -> Meant:
    if isinstance(value, bool):
        return Meant(boolean(value), lambda _: value)
    if isinstance(value, int):
        return Meant(bits(value, WIDTH), lambda _: value)
    return Meant(number(value), lambda _: value)


VECTORS = st.one_of(st.sampled_from(["v0", "v1", "v2"]).map(free), st.integers(0, TOP).map(literal))
RATIONALS = st.one_of(
    st.sampled_from(["r0", "r1"]).map(free),
    st.fractions(-2, 2, max_denominator=6).map(literal),
)


def vectors(truths: st.SearchStrategy[Meant]) -> st.SearchStrategy[Meant]:
    return st.one_of(
        VECTORS,
        st.builds(
            lambda a, b: Meant(bvand(a.term, b.term), lambda v: int(a.worth(v)) & int(b.worth(v))),
            VECTORS,
            VECTORS,
        ),
        st.builds(_choice, truths, VECTORS, VECTORS),
    )


def rationals(truths: st.SearchStrategy[Meant]) -> st.SearchStrategy[Meant]:
    return st.one_of(
        RATIONALS,
        st.builds(
            lambda a, b, c: Meant(
                add([a.term, b.term, c.term]),
                lambda v: Fraction(a.worth(v)) + Fraction(b.worth(v)) + Fraction(c.worth(v)),
            ),
            RATIONALS,
            RATIONALS,
            RATIONALS,
        ),
        st.builds(
            lambda a, b: Meant(
                subtract(a.term, b.term), lambda v: Fraction(a.worth(v)) - Fraction(b.worth(v))
            ),
            RATIONALS,
            RATIONALS,
        ),
        st.builds(
            lambda f, a: Meant(scale(f, a.term), lambda v: f * Fraction(a.worth(v))),
            st.fractions(-2, 2, max_denominator=5),
            RATIONALS,
        ),
        st.builds(_choice, truths, RATIONALS, RATIONALS),
    )


def _choice(condition: Meant, then: Meant, otherwise: Meant) -> Meant:
    return Meant(
        ite(condition.term, then.term, otherwise.term),
        lambda v: then.worth(v) if condition.worth(v) else otherwise.worth(v),
    )


def _many(
    make: Callable[[list[Term]], Term], meaning: Callable[[list[bool]], bool]
) -> Callable[[list[Meant]], Meant]:
    return lambda parts: Meant(
        make([part.term for part in parts]), lambda v: meaning([bool(p.worth(v)) for p in parts])
    )


def _two(
    make: Callable[[Term, Term], Term], meaning: Callable[[Value, Value], bool]
) -> Callable[[Meant, Meant], Meant]:
    return lambda a, b: Meant(make(a.term, b.term), lambda v: meaning(a.worth(v), b.worth(v)))


def compound(truths: st.SearchStrategy[Meant]) -> st.SearchStrategy[Meant]:
    lists = st.lists(truths, max_size=4)
    vector, rational = vectors(truths), rationals(truths)
    same_sort = st.one_of(
        st.tuples(truths, truths), st.tuples(vector, vector), st.tuples(rational, rational)
    )
    return st.one_of(
        lists.map(_many(conjunction, all)),
        lists.map(_many(disjunction, any)),
        st.builds(
            lambda a, n: Meant(negate(a.term, n), lambda v: bool(a.worth(v)) != n),
            truths,
            st.booleans(),
        ),
        st.builds(_two(implies, lambda a, b: not a or bool(b)), truths, truths),
        st.builds(_two(exclusive_or, lambda a, b: a != b), truths, truths),
        same_sort.map(lambda pair: _two(equal, lambda a, b: a == b)(*pair)),
        same_sort.map(lambda pair: _two(lambda a, b: distinct([a, b]), lambda a, b: a != b)(*pair)),
        st.builds(_choice, truths, truths, truths),
        st.builds(_two(bvule, lambda a, b: a <= b), vector, vector),
        st.builds(_two(bvuge, lambda a, b: a >= b), vector, vector),
        st.builds(_two(at_most, lambda a, b: a <= b), rational, rational),
        st.builds(_two(greater, lambda a, b: a > b), rational, rational),
        st.builds(
            lambda a, low, high: Meant(
                between(a.term, low, high), lambda v: low <= a.worth(v) <= high
            ),
            vector,
            st.integers(0, TOP),
            st.integers(0, TOP),
        ),
        st.builds(
            lambda a, address, mask: Meant(
                in_network(a.term, address & mask, mask),
                lambda v: int(a.worth(v)) & mask == address & mask,
            ),
            vector,
            st.integers(0, TOP),
            st.integers(0, TOP),
        ),
        st.builds(
            lambda a, bit: Meant(
                has_value(extract(a.term, bit, bit), 1), lambda v: bool(int(a.worth(v)) >> bit & 1)
            ),
            vector,
            st.integers(0, WIDTH - 1),
        ),
    )


TRUTHS = st.recursive(
    st.one_of(st.sampled_from(["p0", "p1", "p2"]).map(free), st.booleans().map(literal)),
    compound,
    max_leaves=12,
)
ASSIGNMENTS = st.fixed_dictionaries(
    {
        name: st.booleans()
        if sort is BOOL
        else st.fractions(-2, 2, max_denominator=4)
        if sort is REAL
        else st.integers(0, TOP)
        for name, sort in SORTS.items()
    }
)


def script_of(values: Values) -> Script:
    """Every free name has its value."""
    script = Script(Declaration(constant(name, sort)) for name, sort in SORTS.items())
    return script.requiring(
        equal(constant(name, SORTS[name]), literal(value).term) for name, value in values.items()
    )


@examples(200, 5000)
@given(TRUTHS, ASSIGNMENTS)
def test_simplified_terms_mean_what_was_meant(meant: Meant, values: Values) -> None:
    assert evaluate(meant.term, values) == meant.worth(values)


@examples(80, 3000)
@given(TRUTHS, ASSIGNMENTS)
def test_z3_reads_what_was_meant(meant: Meant, values: Values) -> None:
    holds = negate(meant.term, not meant.worth(values))
    assert Solver(script_of(values)).check_goal(holds) == "sat"
    assert Solver(script_of(values)).check_goal(negate(holds), last=True) == "unsat"


@examples(100, 3000)
@given(TRUTHS, ASSIGNMENTS, ASSIGNMENTS)
def test_nothing_but_free_names_counts(meant: Meant, values: Values, others: Values) -> None:
    term = meant.term
    written = {
        name for name in SORTS if name in str(term).replace("(", " ").replace(")", " ").split()
    }
    assert term.free_names == written
    mixed = {name: (values if name in term.free_names else others)[name] for name in SORTS}
    assert evaluate(term, mixed) == evaluate(term, values)


@examples(100, 3000)
@given(TRUTHS, ASSIGNMENTS)
def test_other_names_in_their_place(meant: Meant, values: Values) -> None:
    names = {name: constant(f"b_{name}", sort) for name, sort in SORTS.items() if name != "p0"}
    substitute = substitution({constant(name, SORTS[name]): new for name, new in names.items()})
    other = substitute(meant.term)
    assert substitute(meant.term) is other
    moved = {"p0": values["p0"], **{f"b_{name}": values[name] for name in names}}
    assert evaluate(other, moved) == evaluate(meant.term, values)
    assert other.free_names == {
        name if name == "p0" else f"b_{name}" for name in meant.term.free_names
    }


P, Q, R = (constant(name, BOOL) for name in "pqr")
V = constant("v", bit_vector(32))


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (conjunction([]), "true"),
        (conjunction([P, TRUE, P]), "p"),
        (conjunction([P, Q, P]), "(and p q)"),
        (conjunction([P, FALSE]), "false"),
        (disjunction([]), "false"),
        (disjunction([Q, FALSE]), "q"),
        (disjunction([P, Q]), "(or p q)"),
        (disjunction([P, TRUE]), "true"),
        (negate(TRUE), "false"),
        (negate(P), "(not p)"),
        (negate(P, False), "p"),
        (implies(P, exclusive_or(Q, R)), "(=> p (xor q r))"),
        (distinct([P, Q]), "(distinct p q)"),
        (has_value(V, 5), "(= v (_ bv5 32))"),
        (in_network(V, 0x50, 0xF0), "(= (bvand v (_ bv240 32)) (_ bv80 32))"),
        (in_network(V, 7, 0xFFFFFFFF), "(= v (_ bv7 32))"),
        (between(V, 1, 2), "(and (bvule (_ bv1 32) v) (bvule v (_ bv2 32)))"),
        (between(V, 3, 3), "(= v (_ bv3 32))"),
        (has_value(extract(V, 14, 14), 1), "(= ((_ extract 14 14) v) (_ bv1 1))"),
        (bvuge(V, bits(1, 32)), "(bvuge v (_ bv1 32))"),
        (ZERO, "0.0"),
        (ONE, "1.0"),
        (number(Fraction(2, 6)), "(/ 1.0 3.0)"),
        (number(Fraction(-3)), "(- 3.0)"),
        (scale(Fraction(1, 2), ite(P, ONE, ZERO)), "(* (/ 1.0 2.0) (ite p 1.0 0.0))"),
        (greater(subtract(ONE, add([ONE, ZERO])), ZERO), "(> (- 1.0 (+ 1.0 0.0)) 0.0)"),
    ],
    ids=str,
)  # fmt: skip
def test_written_as_smt_lib(term: Term, text: str) -> None:
    assert str(term) == text
    assert str(term) == text, "what is kept of it is the same"


def test_terms_that_are_written_alike_are_one() -> None:
    assert conjunction([P, negate(Q)]) is conjunction([P, negate(Q), P])
    assert constant("p", BOOL) is P
    assert constant("p", REAL) is not P
    assert bits(1, 8) is not bits(1, 16)
    assert extract(V, 3, 0) is not extract(V, 2, 0)


def chain(length: int, prefix: str = "fires") -> Term:
    """As deep as the destination of a packet to a Service with so many endpoints."""
    term = V
    for place in range(length):
        term = ite(constant(f"{prefix}{place}", BOOL), bits(place, 32), term)
    return term


def test_depth_is_no_limit() -> None:
    length = 20_000
    term = chain(length)
    text = str(term)
    assert text.startswith(f"(ite fires{length - 1} (_ bv{length - 1} 32) (ite ")
    assert text.endswith("(ite fires0 (_ bv0 32) v" + ")" * length)
    assert len(term.free_names) == length + 1
    other = substitution({V: constant("w", V.sort)})(term)
    assert "w" in other.free_names
    assert "v" not in other.free_names
    term = disjunction([term, other])
    del term, other


def test_terms_that_nobody_has_are_gone() -> None:
    before, literals = terms_in_use(), bits.cache_info().maxsize or 0
    for round_ in range(20):
        chain(1000, f"fires_{round_}_")
    assert 5 * literals < 20 * 2000
    assert terms_in_use() <= before + literals


def test_assertions_of_a_script_print_the_term() -> None:
    assert str(Assertion(P)) == "(assert p)"
