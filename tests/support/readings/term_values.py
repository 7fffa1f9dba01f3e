"""What a term is worth, by what SMT-LIB says of each operator: the oracle for terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from svcc.verify.smt.term import BitVec, Term

Value = bool | int | Fraction


def evaluate(term: Term, values: Mapping[str, Value]) -> Value:
    """The value of a term for values of its free names."""
    if term.operator == "constant":
        return values[term.symbol]
    return _apply(term, [evaluate(argument, values) for argument in term.arguments])


def _apply(term: Term, of: Sequence[Value]) -> Value:
    match term.operator:
        case "true" | "false":
            return term.operator == "true"
        case "bits":
            (value,) = term.numerals
            assert isinstance(term.sort, BitVec)
            return value % (1 << term.sort.width)
        case "number":
            return Fraction(*term.numerals)
        case "not":
            return not of[0]
        case "and":
            return all(of)
        case "or":
            return any(of)
        case "xor":
            return of[0] != of[1]
        case "=>":
            return not of[0] or bool(of[1])
        case "=":
            return of[0] == of[1]
        case "distinct":
            return len(set(of)) == len(of)
        case "ite":
            return of[1] if of[0] else of[2]
        case "bvand":
            return int(of[0]) & int(of[1])
        case "bvule" | "<=":
            return of[0] <= of[1]
        case "bvuge":
            return of[0] >= of[1]
        case "extract":
            high, low = term.numerals
            return int(of[0]) >> low & ((1 << high - low + 1) - 1)
        case "+":
            return sum(map(Fraction, of), Fraction(0))
        case "-":
            return Fraction(of[0]) - Fraction(of[1])
        case "*":
            return Fraction(of[0]) * Fraction(of[1])
        case ">":
            return of[0] > of[1]
        case "constant":
            raise AssertionError("a constant has no arguments")
