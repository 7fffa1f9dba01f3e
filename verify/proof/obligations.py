"""The properties, each as what would violate it.

One function per English sentence of ``docs/verification.md``. Each returns SMT-LIB terms over
an encoding: the property holds for all packets if none of its terms is satisfiable.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from svcc.verify.slicing.schema import Schema, SchemaCase
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.shares import SharesEncoding
from svcc.verify.smt.terms import conjunction, disjunction

BACKENDS_AT_ONCE = 200
"""Hairpins of a Service with very many backends are asked about in parts: it is much faster."""


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
    ours = _not(disjunction(encoding.by_others))
    for condition, serve in _only_serve(encoding, schema):
        by_duty: dict[str, list[str]] = {}
        for fires, must in _served(encoding, serve):
            if must is not None:
                by_duty.setdefault(must, []).append(fires)
        wrong = [
            conjunction([disjunction(fires), _differ(encoding.masqueraded, must)])
            for must, fires in by_duty.items()
        ]
        for start in range(0, len(wrong), BACKENDS_AT_ONCE):
            some = disjunction(wrong[start : start + BACKENDS_AT_ONCE])
            terms.append(conjunction([condition, encoding.passed, some, ours]))
    return terms


def refuses_exactly(encoding: Encoding, schema: Schema) -> list[str]:
    """A packet to be refused or dropped sees something else."""
    terms = _none_allowed(
        encoding,
        [
            case
            for case in schema.cases
            if case.allowed[0][0] != "untouched"
            and (len(case.allowed) > 1 or case.allowed[0][0] in _REFUSALS)
        ],
    )
    ours = _not(disjunction(encoding.let_past))
    return [conjunction([term, ours]) for term in terms]


def captures_nothing_else(encoding: Encoding, schema: Schema) -> list[str]:
    """A packet to be left alone is rewritten, marked, refused or dropped."""
    return _none_allowed(
        encoding, [case for case in schema.cases if case.allowed[0][0] == "untouched"]
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


def remembers(encoding: Encoding, schema: Schema) -> list[str]:
    """With affinity, a client that is served is not remembered, or not as this backend's."""
    terms = []
    for condition, serve in _only_serve(encoding, schema):
        timeout = serve[3]
        if timeout is None:
            continue
        for index, (fires, host, port) in enumerate(encoding.dnat):
            if (host, port) not in serve[1]:
                continue
            if index in encoding.persistence:
                if encoding.persistence[index] != timeout:
                    terms.append(conjunction([condition, fires]))
                continue
            own = encoding.dnat_lists[index]
            recorded = encoding.dnat_recorded[index]
            # Recorded on the way, though another backend was chosen in the end.
            others = encoding.lingering.difference(own)
            astray = [recorded[item] for item in sorted(others) if item in recorded]
            if astray:
                terms.append(conjunction([condition, fires, disjunction(astray)]))
            forgotten = [_not(recorded[item]) for item in own]
            some = [disjunction(forgotten)] if forgotten else []
            terms.append(conjunction([condition, fires, *some]))
    return terms


def returns(encoding: Encoding, schema: Schema) -> list[str]:
    """With affinity, a client that is remembered comes to another backend."""
    terms = []
    for condition, serve in _only_serve(encoding, schema):
        timeout = serve[3]
        if timeout is None:
            continue
        backends = set(serve[1])
        # Clients that were sent to one backend and stand in the same lists are one.
        clients: dict[tuple[tuple[int, int | None], frozenset[int]], int] = {}
        there: dict[tuple[int, int | None], list[str]] = {}
        for index, (fires, host, port) in enumerate(encoding.dnat):
            there.setdefault((host, port), []).append(fires)
            if (host, port) in backends and index not in encoding.persistence:
                own = frozenset(encoding.dnat_lists[index])
                clients.setdefault(((host, port), own), len(clients))
        client = f"client{len(encoding.clients)}"
        encoding.clients.append(client)
        # Bits, not an integer: whoever it is, what the others' lists hold follows at once.
        bits = len(clients).bit_length() or 1
        encoding.lines.append(f"(declare-const {client} (_ BitVec {bits}))")
        bound = [f"(= {client} (_ bv{number} {bits}))" for number in range(len(clients))]
        members: dict[int, list[str]] = {}
        for (_, own), number in clients.items():
            for item in own:
                members.setdefault(item, []).append(bound[number])
        stands = []
        for (item, seconds), name in encoding.recent.items():
            long_enough = seconds is None or seconds >= timeout
            holders = disjunction(members.get(item, []))
            stands.append(f"(= {name} {holders if long_enough else 'false'})")
        known = encoding.define("Bool", conjunction([condition, *stands]))
        remembered = [encoding.dnat[index][0] for index in encoding.persistence]
        strays = [
            conjunction([bound[number], _not(disjunction([*there[backend], *remembered]))])
            for (backend, _), number in clients.items()
        ]
        for start in range(0, len(strays), BACKENDS_AT_ONCE):
            some = disjunction(strays[start : start + BACKENDS_AT_ONCE])
            terms.append(conjunction([known, some]))
    return terms


_REFUSALS = frozenset({"refuse", "discard"})


def _none_allowed(encoding: Encoding, cases: list[SchemaCase]) -> list[str]:
    terms = []
    for case in cases:
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
            fires
            if must is None
            else conjunction(
                [fires, disjunction([f"(= {encoding.masqueraded} {must})", *encoding.by_others])]
            )
            for fires, must in _served(encoding, outcome)
        ]
        return conjunction([encoding.passed, disjunction(right)])
    if kind == "doomed":
        return _doomed(encoding, outcome[1])
    mark = encoding.schema.mark
    stays = encoding.stays_here if outcome[1] else "false"
    if outcome[2] is not None and encoding.schema.from_node:
        stays = disjunction([stays, encoding.condition((outcome[2],))])
    unchanged = [
        disjunction([stays, f"(= {encoding.mark_bit(bit)} {encoding.first_mark_bit(bit)})"])
        for bit in range(32)
        if mark >> bit & 1 and encoding.mark_bit(bit) != encoding.first_mark_bit(bit)
    ]
    return conjunction(
        [
            encoding.passed,
            _not(encoding.sent_elsewhere),
            disjunction([_not(encoding.masqueraded), stays, *encoding.by_others]),
            *unchanged,
        ]
    )


def _doomed(encoding: Encoding, mark: int) -> str:
    """Forwarded untranslated, with the mark that means that it should be dropped."""
    if encoding.schema.from_node:
        return "false"
    marked = [encoding.mark_bit(bit) for bit in range(32) if mark >> bit & 1]
    return conjunction([encoding.passed, encoding.sent_out, _not(encoding.sent_elsewhere), *marked])


def _served(encoding: Encoding, serve: tuple[Any, ...]) -> list[tuple[str, str | None]]:
    """(fires, must be masqueraded) of each DNAT rule to one of the backends; None: as it likes."""

    def must(host: int) -> str | None:
        if serve[2] is None:
            return None
        return conjunction(
            [encoding.sent_out, "true" if serve[2] else f"(= src {encoding.host(host)})"]
        )

    return [(fires, must(host)) for fires, host, port in encoding.dnat if (host, port) in serve[1]]


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


def _differ(left: str, right: str) -> str:
    if right in ("true", "false"):
        return left if right == "false" else _not(left)
    return f"(not (= {left} {right}))"


def _real(value: Fraction) -> str:
    return f"(/ {value.numerator}.0 {value.denominator}.0)"
