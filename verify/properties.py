"""The properties, each as what would violate it.

One function per English sentence of ``docs/verification.md``. Each returns SMT-LIB terms over
an encoding: the property holds for all packets if none of its terms is satisfiable.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from svcc.verify.encode import Encoding
from svcc.verify.schema import Schema, SchemaCase
from svcc.verify.shares import SharesEncoding
from svcc.verify.terms import conjunction, disjunction

REACHES = "reaches-exactly"
FAIR = "fair"
CAPTURES = "captures-nothing-else"
MASQUERADES = "masquerades-exactly"
REFUSES = "refuses-exactly"
LETS_THROUGH = "lets-through"
ENDS = "ends"

SENTENCES = {
    REACHES: "every sender reaches exactly the selected backends",
    FAIR: "each backend gets an equal share, and with affinity a client returns to its backend",
    CAPTURES: "a packet for no frontend is left alone",
    MASQUERADES: "the source is rewritten exactly when it must be",
    REFUSES: "what has no backend to reach is refused or dropped, and nothing else is",
    LETS_THROUGH: "replies, marked packets and health checks are accepted, invalid ones dropped",
    ENDS: "every walk through the rules ends",
}


def reaches_exactly(encoding: Encoding, schema: Schema) -> list[str]:
    """A packet to be served goes elsewhere, is lost, refused or left alone."""
    terms = []
    for condition, serve in _only_serve(encoding, schema):
        served = disjunction(
            [fires for fires, host, port in encoding.dnat if (host, port) in serve[1]]
        )
        terms.append(conjunction([condition, _not(conjunction([encoding.passed, served]))]))
    return terms


def masquerades_exactly(encoding: Encoding, schema: Schema) -> list[str]:
    """A packet that is served has its source rewritten when it must not, or the reverse."""
    terms = []
    for condition, serve in _only_serve(encoding, schema):
        wrong = [
            conjunction([fires, _not(_right_source(encoding, must))])
            for fires, must in _served(encoding, serve)
        ]
        terms.append(conjunction([condition, encoding.passed, disjunction(wrong)]))
    return terms


def refuses_exactly(encoding: Encoding, schema: Schema) -> list[str]:
    """A packet to be refused or dropped sees something else."""
    return _none_allowed(
        encoding,
        [case for case in schema.cases if len(case.allowed) > 1 or case.allowed[0][0] in _REFUSALS],
        lambda kinds: bool(kinds & _REFUSALS),
    )


def captures_nothing_else(encoding: Encoding, schema: Schema) -> list[str]:
    """A packet to be left alone is rewritten, marked, refused or dropped."""
    return _none_allowed(
        encoding,
        [case for case in schema.cases if any(o[0] == "untouched" for o in case.allowed)],
        lambda kinds: not kinds & _REFUSALS,
    )


def fair(encoding: SharesEncoding, schema: Schema, tolerance: Fraction) -> list[str]:
    """A backend's share is not 1/n, for a client that no affinity binds."""
    bound = _real(tolerance)
    terms = []
    for case in schema.cases:
        condition = encoding.condition(case.condition)
        for serve in _serves(case):
            share = _real(Fraction(1, len(serve[1])))
            totals = [_share(encoding, backend) for backend in serve[1]]
            unfair = [
                f"(or (> (- {total} {share}) {bound}) (> (- {share} {total}) {bound}))"
                for total in totals
            ]
            some = []
            if len(case.allowed) > 1:
                some = [disjunction([f"(> {total} 0.0)" for total in totals])]
            terms.append(
                conjunction([condition, *_unbound(encoding, serve[3]), *some, disjunction(unfair)])
            )
    return terms


def never_reached(encoding: SharesEncoding, schema: Schema) -> list[str]:
    """A backend that must be reached never is."""
    terms = []
    for condition, serve in _only_serve(encoding, schema):
        missing = [f"(<= {_share(encoding, backend)} 0.0)" for backend in serve[1]]
        terms.append(conjunction([condition, *_unbound(encoding, serve[3]), disjunction(missing)]))
    return terms


def returns(encoding: Encoding, schema: Schema) -> list[str]:
    """With affinity, a client is not remembered, or comes to another backend next time."""
    terms = []
    lines: list[str] = []
    for condition, serve in _only_serve(encoding, schema):
        timeout = serve[3]
        if timeout is None:
            continue
        lists: dict[int, set[int]] = {}
        for index, (fires, host, port) in enumerate(encoding.dnat):
            if (host, port) not in serve[1]:
                continue
            number = serve[1].index((host, port))
            if index in encoding.persistence:
                if encoding.persistence[index] != timeout:
                    terms.append(conjunction([condition, fires]))
                continue
            lists.setdefault(number, set()).update(encoding.dnat_lists[index])
            recorded = encoding.dnat_recorded[index]
            forgotten = [_not(recorded[item]) for item in encoding.dnat_lists[index]]
            if forgotten:
                terms.append(conjunction([condition, fires, disjunction(forgotten)]))
            else:
                terms.append(conjunction([condition, fires]))
        client = f"client{len(lines)}"
        lines.append(client)
        encoding.lines.append(f"(declare-const {client} Int)")
        stands = []
        for (item, seconds), name in encoding.recent.items():
            holders = [f"(= {client} {b})" for b, of_backend in lists.items() if item in of_backend]
            long_enough = seconds is None or seconds >= timeout
            stands.append(f"(= {name} {disjunction(holders) if long_enough else 'false'})")
        strays = []
        remembered = disjunction([encoding.dnat[index][0] for index in encoding.persistence])
        for number, backend in enumerate(serve[1]):
            there = [f for f, host, port in encoding.dnat if (host, port) == backend]
            there.append(remembered)
            strays.append(conjunction([f"(= {client} {number})", _not(disjunction(there))]))
        terms.append(conjunction([condition, *stands, disjunction(strays)]))
    return terms


_REFUSALS = frozenset({"refuse", "discard"})


def _none_allowed(encoding: Encoding, cases: list[SchemaCase], wanted: Any) -> list[str]:
    terms = []
    for case in cases:
        if not wanted({outcome[0] for outcome in case.allowed}):
            continue
        fulfilled = disjunction([_meets(encoding, outcome) for outcome in case.allowed])
        terms.append(conjunction([encoding.condition(case.condition), _not(fulfilled)]))
    return terms


def _meets(encoding: Encoding, outcome: tuple[Any, ...]) -> str:
    kind = outcome[0]
    if kind == "refuse":
        return encoding.is_rejected
    if kind == "discard":
        return encoding.is_dropped
    if kind == "serve":
        right = [
            conjunction([fires, _right_source(encoding, must)])
            for fires, must in _served(encoding, outcome)
        ]
        return conjunction([encoding.passed, disjunction(right)])
    if kind == "doomed":
        return _doomed(encoding, outcome[1])
    mark = encoding.schema.mark
    return conjunction(
        [
            encoding.passed,
            _not(disjunction([fires for fires, _, _ in encoding.dnat])),
            _not(encoding.masqueraded),
            f"(= (bvand (bvxor {encoding.mark} mark0) (_ bv{mark} 32)) (_ bv0 32))",
        ]
    )


def _doomed(encoding: Encoding, mark: int) -> str:
    """Forwarded untranslated, with the mark that means that it should be dropped."""
    if encoding.schema.from_node:
        return "false"
    return conjunction(
        [
            encoding.passed,
            encoding.sent_out,
            _not(disjunction([fires for fires, _, _ in encoding.dnat])),
            f"(= (bvand {encoding.mark} (_ bv{mark} 32)) (_ bv{mark} 32))",
        ]
    )


def _right_source(encoding: Encoding, must: str | None) -> str:
    return "true" if must is None else f"(= {encoding.masqueraded} {must})"


def _served(encoding: Encoding, serve: tuple[Any, ...]) -> list[tuple[str, str | None]]:
    """(fires, must be masqueraded) of each DNAT rule to one of the backends; None: as it likes."""
    return [
        (
            fires,
            None
            if serve[2] is None
            else conjunction(
                [encoding.sent_out, "true" if serve[2] else f"(= src {encoding.host(host)})"]
            ),
        )
        for fires, host, port in encoding.dnat
        if (host, port) in serve[1]
    ]


def _only_serve(encoding: Encoding, schema: Schema) -> list[tuple[str, tuple[Any, ...]]]:
    return [
        (encoding.condition(case.condition), case.allowed[0])
        for case in schema.cases
        if len(case.allowed) == 1 and case.allowed[0][0] == "serve"
    ]


def _serves(case: SchemaCase) -> list[tuple[Any, ...]]:
    found = [outcome for outcome in case.allowed if outcome[0] == "serve"]
    return found if len(found) == 1 else []


def _share(encoding: SharesEncoding, backend: tuple[int, int]) -> str:
    return encoding.total(
        [weight for weight, host, port in encoding.weights if (host, port) == backend]
    )


def _unbound(encoding: SharesEncoding, timeout: int | None) -> list[str]:
    """The client was last seen just longer ago than the timeout."""
    if timeout is None:
        return []
    return [
        name if seconds is None or seconds > timeout else _not(name)
        for (_, seconds), name in encoding.recent.items()
    ]


def _not(term: str) -> str:
    if term in ("true", "false"):
        return "false" if term == "true" else "true"
    return f"(not {term})"


def _real(value: Fraction) -> str:
    return f"(/ {value.numerator}.0 {value.denominator}.0)"
