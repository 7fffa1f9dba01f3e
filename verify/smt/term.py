"""SMT-LIB terms, each of them once.

Terms that are written alike are one object: equality is identity, and what many terms have in
common is stored once. The table of all terms holds them weakly, so that it is no larger than
what is in use. Recursion is bounded everywhere: a term may be as deep as a Service has endpoints.

Sorts are not checked here; Z3 refuses a script that is not well-sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Literal
from weakref import ref


@dataclass(frozen=True, slots=True, eq=False)
class Bool:
    """True or false."""

    def __str__(self) -> str:
        return "Bool"


@dataclass(frozen=True, slots=True, eq=False)
class BitVec:
    """Unsigned numbers of ``width`` bits; made by :func:`bit_vector`."""

    width: int

    def __str__(self) -> str:
        return f"(_ BitVec {self.width})"


@dataclass(frozen=True, slots=True, eq=False)
class Real:
    """Exact rationals."""

    def __str__(self) -> str:
        return "Real"


Sort = Bool | BitVec | Real
BOOL = Bool()
REAL = Real()


@cache
def bit_vector(width: int) -> BitVec:
    """The sort of bit vectors of a width: always the same object."""
    return BitVec(width)


Operator = Literal[
    "constant", "true", "false", "bits", "number",
    "not", "and", "or", "xor", "=>", "=", "distinct", "ite",
    "bvand", "bvule", "bvuge", "extract",
    "+", "-", "*", ">", "<=",
]  # fmt: skip
"""The first line are those without arguments; ``bits`` and ``number`` are literals."""


_DEEPEST = 40
"""From here on, terms are written down without recursion."""
_SHORT = 120
"""Characters of a term that are kept, since others have it in common."""


class Term:
    """One term; made by the functions of this module only, and never changed.

    ``symbol`` is what SMT-LIB writes in the first place, and all of it where there are no
    arguments. ``numerals`` are the numbers in it: the value of ``bits``, numerator and
    denominator of a ``number``, the highest and the lowest bit of an ``extract``.
    """

    __slots__ = (
        "__weakref__", "_free_names", "_text", "arguments", "numerals", "operator", "sort",
        "symbol",
    )  # fmt: skip
    _text: str | None
    _free_names: frozenset[str] | None

    def __init__(
        self,
        operator: Operator,
        symbol: str,
        arguments: tuple[Term, ...],
        sort: Sort,
        numerals: tuple[int, ...],
    ) -> None:
        self.operator = operator
        self.symbol = symbol
        self.arguments = arguments
        self.sort = sort
        self.numerals = numerals
        self._text = None
        self._free_names = None

    def __str__(self) -> str:
        """The term as SMT-LIB writes it."""
        return self._text or self._written(0)

    def _written(self, depth: int) -> str:
        if depth == _DEEPEST:
            return self._written_deep()
        depth += 1
        words = [argument._text or argument._written(depth) for argument in self.arguments]
        text = f"({self.symbol} {' '.join(words)})"
        if len(text) <= _SHORT:
            self._text = text
        return text

    def _written_deep(self) -> str:
        words: list[str] = []
        pending: list[Term | None] = [self]
        while pending:
            item = pending.pop()
            if item is None:
                words[-1] += ")"
            elif item._text is not None:
                words.append(item._text)
            else:
                words.append("(" + item.symbol)
                pending.append(None)
                pending += reversed(item.arguments)
        return " ".join(words)

    def __repr__(self) -> str:
        return f"<{self}>"

    @property
    def free_names(self) -> frozenset[str]:
        """The names in it."""
        if self._free_names is None:
            found: set[str] = set()
            seen: set[Term] = set()
            pending = [self]
            while pending:
                item = pending.pop()
                if item._free_names is not None:
                    found |= item._free_names
                elif item not in seen:
                    seen.add(item)
                    pending += item.arguments
            self._free_names = frozenset(found)
        return self._free_names


class _Entry(ref[Term]):
    __slots__ = ("key",)
    key: tuple[str, tuple[Term, ...] | Sort]


_TABLE: dict[tuple[str, tuple[Term, ...] | Sort], _Entry] = {}


def _forget(entry: _Entry) -> None:
    if _TABLE.get(entry.key) is entry:
        del _TABLE[entry.key]


def _term(
    operator: Operator,
    symbol: str,
    arguments: tuple[Term, ...],
    sort: Sort,
    numerals: tuple[int, ...] = (),
) -> Term:
    key = (symbol, arguments or sort)
    known = _TABLE.get(key)
    if known is not None:
        term = known()
        if term is not None:
            return term
    term = Term(operator, symbol, arguments, sort, numerals)
    if not arguments:
        term._text = symbol
        term._free_names = frozenset((symbol,) if operator == "constant" else ())
    entry = _TABLE[key] = _Entry(term, _forget)
    entry.key = key
    return term


def terms_in_use() -> int:
    """How many terms there are."""
    return len(_TABLE)


# -- without arguments -----------------------------------------------------------------

TRUE = _term("true", "true", (), BOOL)
FALSE = _term("false", "false", (), BOOL)


def constant(symbol: str, sort: Sort) -> Term:
    """A name for a value: free, or what a script defines."""
    return _term("constant", symbol, (), sort)


def boolean(value: bool) -> Term:
    """A literal truth value."""
    return TRUE if value else FALSE


@lru_cache(maxsize=4096)
def bits(value: int, width: int) -> Term:
    """A literal bit vector."""
    return _term("bits", f"(_ bv{value} {width})", (), bit_vector(width), (value,))


def number(value: Fraction) -> Term:
    """A literal rational."""
    size = abs(value.numerator)
    text = f"{size}.0" if value.denominator == 1 else f"(/ {size}.0 {value.denominator}.0)"
    symbol = f"(- {text})" if value < 0 else text
    return _term("number", symbol, (), REAL, (value.numerator, value.denominator))


ZERO = number(Fraction(0))
ONE = number(Fraction(1))


# -- truth values, simplified where that is obvious --------------------------------------


def conjunction(terms: Iterable[Term]) -> Term:
    """All of the terms hold."""
    kept = dict.fromkeys(terms)
    if TRUE in kept:
        del kept[TRUE]
    if FALSE in kept:
        return FALSE
    if len(kept) < 2:
        return next(iter(kept), TRUE)
    return _term("and", "and", tuple(kept), BOOL)


def disjunction(terms: Iterable[Term]) -> Term:
    """One of the terms holds."""
    kept = dict.fromkeys(terms)
    if FALSE in kept:
        del kept[FALSE]
    if TRUE in kept:
        return TRUE
    if len(kept) < 2:
        return next(iter(kept), FALSE)
    return _term("or", "or", tuple(kept), BOOL)


def negate(term: Term, negated: bool = True) -> Term:
    """The term does not hold; the term itself unless ``negated``."""
    if not negated:
        return term
    if term is TRUE:
        return FALSE
    if term is FALSE:
        return TRUE
    return _term("not", "not", (term,), BOOL)


def implies(term: Term, other: Term) -> Term:
    """If one holds, the other does."""
    return _term("=>", "=>", (term, other), BOOL)


def exclusive_or(one: Term, other: Term) -> Term:
    """Just one of the two holds."""
    return _term("xor", "xor", (one, other), BOOL)


def equal(one: Term, other: Term) -> Term:
    """The two are the same."""
    return _term("=", "=", (one, other), BOOL)


def distinct(terms: Iterable[Term]) -> Term:
    """No two of the terms, which are at least two, are the same."""
    return _term("distinct", "distinct", tuple(terms), BOOL)


def ite(condition: Term, then: Term, otherwise: Term) -> Term:
    """One or the other (if-then-else)."""
    return _term("ite", "ite", (condition, then, otherwise), then.sort)


# -- bit vectors -------------------------------------------------------------------------


def bvand(one: Term, other: Term) -> Term:
    """Bitwise and."""
    return _term("bvand", "bvand", (one, other), one.sort)


def bvule(one: Term, other: Term) -> Term:
    """The first is not above the second."""
    return _term("bvule", "bvule", (one, other), BOOL)


def bvuge(one: Term, other: Term) -> Term:
    """The first is not below the second."""
    return _term("bvuge", "bvuge", (one, other), BOOL)


def extract(term: Term, high: int, low: int) -> Term:
    """Some bits, from the lowest to the highest of them; bit 0 is the last."""
    symbol = f"(_ extract {high} {low})"
    return _term("extract", symbol, (term,), bit_vector(high - low + 1), (high, low))


def has_value(term: Term, value: int) -> Term:
    """A bit vector is a number."""
    assert isinstance(term.sort, BitVec)
    return equal(term, bits(value, term.sort.width))


def in_network(variable: Term, address: int, mask: int) -> Term:
    """A bit vector has the same bits as an address where the mask has some."""
    assert isinstance(variable.sort, BitVec)
    width = variable.sort.width
    if mask == (1 << width) - 1:
        return has_value(variable, address)
    return has_value(bvand(variable, bits(mask, width)), address & mask)


def between(variable: Term, first: int, last: int) -> Term:
    """A bit vector lies in a range."""
    if first == last:
        return has_value(variable, first)
    assert isinstance(variable.sort, BitVec)
    width = variable.sort.width
    low, high = bvule(bits(first, width), variable), bvule(variable, bits(last, width))
    return _term("and", "and", (low, high), BOOL)


# -- rationals ---------------------------------------------------------------------------


def add(terms: Sequence[Term]) -> Term:
    """The sum of two terms or more."""
    return _term("+", "+", tuple(terms), REAL)


def subtract(one: Term, other: Term) -> Term:
    """The difference."""
    return _term("-", "-", (one, other), REAL)


def scale(factor: Fraction, term: Term) -> Term:
    """A multiple."""
    return _term("*", "*", (number(factor), term), REAL)


def greater(one: Term, other: Term) -> Term:
    """The first is above the second."""
    return _term(">", ">", (one, other), BOOL)


def at_most(one: Term, other: Term) -> Term:
    """The first is not above the second."""
    return _term("<=", "<=", (one, other), BOOL)


# -- substitution ------------------------------------------------------------------------


def substitution(replaced: Mapping[Term, Term]) -> Callable[[Term], Term]:
    """A function that puts other names in the place of some; it remembers what it did."""
    known = dict(replaced)

    def substitute(term: Term) -> Term:
        pending = [term]
        while pending:
            item = pending[-1]
            if item in known:
                pending.pop()
                continue
            open_arguments = [argument for argument in item.arguments if argument not in known]
            if open_arguments:
                pending += open_arguments
                continue
            pending.pop()
            arguments = tuple([known[argument] for argument in item.arguments])
            known[item] = (
                item
                if arguments == item.arguments
                else _term(item.operator, item.symbol, arguments, item.sort, item.numerals)
            )
        return known[term]

    return substitute
