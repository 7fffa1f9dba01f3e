"""The properties, each as what would violate it.

One function per English sentence of ``docs/verification.md``. Each returns terms over
an encoding: the property holds for all packets if none of its terms is satisfiable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import assert_never

from svcc.verify.model.conditions import AnyOf, Source
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.schema import Schema, SchemaCase
from svcc.verify.slicing.schema_conditions import NumberedServe, SchemaOutcome
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.shares import SharesEncoding, tolerance
from svcc.verify.smt.term import (
    FALSE,
    TRUE,
    ZERO,
    Term,
    at_most,
    bit_vector,
    conjunction,
    disjunction,
    equal,
    greater,
    has_value,
    negate,
    number,
    subtract,
)
from svcc.verify.spec.outcomes import Discard, DroppedByMark, Refuse, Untouched
from svcc.verify.spec.properties import CAPTURES, FAIR, LEFT_OUT, MASQUERADES, REACHES, REFUSES

BACKENDS_AT_ONCE = 200
"""Hairpins of a Service with very many backends are asked about in parts: it is much faster."""


@dataclass(frozen=True, slots=True)
class Obligations:
    """By property, the terms of which none can be met where it holds.

    ``of_backends`` are those of them that speak of one backend at a time, ``of_affinity`` those
    of remembered clients: both are asked about in ways of their own.
    """

    terms: dict[str, list[Term]]
    of_backends: Sequence[Term] = ()
    of_affinity: Sequence[Term] = ()

    def of_rules(self) -> Term:
        """Some other term can be met."""
        apart = {*self.of_backends, *self.of_affinity}
        return disjunction([t for terms in self.terms.values() for t in terms if t not in apart])


def obligations(
    encoding: Encoding, schema: Schema, boxes: Sequence[Box] | None = None
) -> Obligations:
    """All that must be where chance goes any way; ``boxes``: where packets must be sent."""
    reaches = reaches_exactly(encoding, schema)
    affinity = remembers(encoding, schema) + returns(encoding, schema)
    masquerades = masquerades_exactly(encoding, schema)
    terms = {
        REACHES: reaches,
        FAIR: affinity,
        MASQUERADES: masquerades,
        REFUSES: refuses_exactly(encoding, schema),
        CAPTURES: captures_nothing_else(encoding, schema),
    }
    if boxes is not None:
        terms[LEFT_OUT] = [negate(disjunction([encoding.sent_to(box) for box in boxes]))]
    return Obligations(terms, masquerades, affinity)


def obligations_on_shares(encoding: SharesEncoding, schema: Schema) -> Obligations:
    """All that must be of shares."""
    return Obligations(
        {
            REACHES: never_reached(encoding, schema),
            FAIR: fair(encoding, schema, tolerance(schema)),
        }
    )


def reaches_exactly(encoding: Encoding, schema: Schema) -> list[Term]:
    """A packet to be served goes elsewhere, is lost, refused or left alone."""
    terms = []
    for condition, serve in _only_serve(encoding, schema):
        backends = set(serve.backends)
        served = disjunction(
            [fires for fires, host, port in encoding.dnat if (host, port) in backends]
        )
        terms.append(conjunction([condition, negate(conjunction([encoding.passed, served]))]))
    return terms


def masquerades_exactly(encoding: Encoding, schema: Schema) -> list[Term]:
    """A packet that is served has its source rewritten when it must not, or the reverse."""
    terms = []
    ours = negate(disjunction(encoding.by_others))
    for condition, serve in _only_serve(encoding, schema):
        by_duty: dict[Term, list[Term]] = {}
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


def refuses_exactly(encoding: Encoding, schema: Schema) -> list[Term]:
    """A packet to be refused or dropped sees something else."""
    terms = _none_allowed(
        encoding,
        [
            case
            for case in schema.cases
            if not isinstance(case.allowed[0], Untouched)
            and (len(case.allowed) > 1 or isinstance(case.allowed[0], Refuse | Discard))
        ],
    )
    ours = negate(disjunction(encoding.let_past))
    return [conjunction([term, ours]) for term in terms]


def captures_nothing_else(encoding: Encoding, schema: Schema) -> list[Term]:
    """A packet to be left alone is rewritten, marked, refused or dropped."""
    return _none_allowed(
        encoding, [case for case in schema.cases if isinstance(case.allowed[0], Untouched)]
    )


def fair(encoding: SharesEncoding, schema: Schema, bound: Fraction) -> list[Term]:
    """A backend's share is not 1/n, for a client that no affinity binds."""
    most = number(bound)
    totals = _totals(encoding)

    @cache
    def unfair(backends: tuple[tuple[int, int], ...]) -> Term:
        share = number(Fraction(1, len(backends)))
        far = []
        for total in (totals.get(backend, ZERO) for backend in backends):
            more, less = subtract(total, share), subtract(share, total)
            far.append(disjunction([greater(more, most), greater(less, most)]))
        return disjunction(far)

    terms = []
    for case in schema.cases:
        condition = encoding.condition(case.condition)
        for serve in _serves(case):
            parts = [condition, *_unbound(encoding, serve.affinity_timeout)]
            if len(case.allowed) > 1:
                of_each = [totals.get(backend, ZERO) for backend in serve.backends]
                parts.append(disjunction([greater(total, ZERO) for total in of_each]))
            terms.append(conjunction([*parts, unfair(serve.backends)]))
    return terms


def never_reached(encoding: SharesEncoding, schema: Schema) -> list[Term]:
    """A backend that must be reached never is."""
    totals = _totals(encoding)

    @cache
    def missing(backends: tuple[tuple[int, int], ...]) -> Term:
        return disjunction([at_most(totals.get(backend, ZERO), ZERO) for backend in backends])

    return [
        conjunction(
            [condition, *_unbound(encoding, serve.affinity_timeout), missing(serve.backends)]
        )
        for condition, serve in _only_serve(encoding, schema)
    ]


def remembers(encoding: Encoding, schema: Schema) -> list[Term]:
    """With affinity, a client that is served is not remembered, or not as this backend's; without
    it, a virtual server remembers one."""

    @cache
    def wrong(index: int) -> list[Term]:
        own, recorded = encoding.dnat_lists[index], encoding.dnat_recorded[index]
        forgotten = [negate(recorded[item]) for item in own]
        found = [disjunction(forgotten) if forgotten else TRUE]
        # Recorded on the way, though another backend was chosen in the end.
        others = encoding.lingering.difference(own)
        astray = [recorded[item] for item in sorted(others) if item in recorded]
        return [disjunction(astray), *found] if astray else found

    terms = []
    for condition, serve in _only_serve(encoding, schema):
        timeout = serve.affinity_timeout
        backends = set(serve.backends)
        for index, (fires, host, port) in enumerate(encoding.dnat):
            if (host, port) not in backends:
                continue
            if timeout is None:
                if encoding.persistence.get(index) is not None and len(backends) > 1:
                    terms.append(conjunction([condition, fires]))
                continue
            if index in encoding.persistence:
                if encoding.persistence[index] != timeout:
                    terms.append(conjunction([condition, fires]))
                continue
            terms += [conjunction([condition, fires, term]) for term in wrong(index)]
    return terms


def returns(encoding: Encoding, schema: Schema) -> list[Term]:
    """With affinity, a client that is remembered comes to another backend."""
    terms = []
    for condition, serve in _only_serve(encoding, schema):
        timeout = serve.affinity_timeout
        if timeout is None:
            continue
        backends = set(serve.backends)
        # Clients that were sent to one backend and stand in the same lists are one.
        clients: dict[tuple[tuple[int, int | None], frozenset[int]], int] = {}
        there: dict[tuple[int, int | None], list[Term]] = {}
        for index, (fires, host, port) in enumerate(encoding.dnat):
            there.setdefault((host, port), []).append(fires)
            if (host, port) in backends and index not in encoding.persistence:
                own = frozenset(encoding.dnat_lists[index])
                clients.setdefault(((host, port), own), len(clients))
        # Bits, not an integer: whoever it is, what the others' lists hold follows at once.
        width = len(clients).bit_length() or 1
        client = encoding.script.declare(f"client{len(encoding.clients)}", bit_vector(width))
        encoding.clients.append(client)
        bound = [has_value(client, place) for place in range(len(clients))]
        members: dict[int, list[Term]] = {}
        for (_, own), place in clients.items():
            for item in own:
                members.setdefault(item, []).append(bound[place])
        stands = []
        for (item, seconds), flag in encoding.recent.items():
            long_enough = seconds is None or seconds >= timeout
            holders = disjunction(members.get(item, []))
            stands.append(equal(flag, holders if long_enough else FALSE))
        known = encoding.define(conjunction([condition, *stands]))
        remembered = [encoding.dnat[index][0] for index in encoding.persistence]
        strays = [
            conjunction([bound[place], negate(disjunction([*there[backend], *remembered]))])
            for (backend, _), place in clients.items()
        ]
        for start in range(0, len(strays), BACKENDS_AT_ONCE):
            some = disjunction(strays[start : start + BACKENDS_AT_ONCE])
            terms.append(conjunction([known, some]))
    return terms


def _none_allowed(encoding: Encoding, cases: list[SchemaCase]) -> list[Term]:
    terms = []
    for case in cases:
        fulfilled = disjunction([_meets(encoding, outcome) for outcome in case.allowed])
        terms.append(conjunction([encoding.condition(case.condition), negate(fulfilled)]))
    return terms


def _meets(encoding: Encoding, outcome: SchemaOutcome) -> Term:
    match outcome:
        case Refuse():
            return encoding.is_rejected
        case Discard():
            return encoding.is_dropped
        case NumberedServe():
            return _is_served(encoding, outcome)
        case DroppedByMark(mark):
            return _dropped_by_mark(encoding, mark)
        case Untouched():
            return _untouched(encoding, outcome)
        case _:
            assert_never(outcome)


def _is_served(encoding: Encoding, serve: NumberedServe) -> Term:
    right = [
        fires
        if must is None
        else conjunction(
            [fires, disjunction([equal(encoding.masqueraded, must), *encoding.by_others])]
        )
        for fires, must in _served(encoding, serve)
    ]
    return conjunction([encoding.passed, disjunction(right)])


def _untouched(encoding: Encoding, outcome: Untouched) -> Term:
    mark = encoding.schema.mark
    stays = encoding.stays_here if outcome.mark_may_stay else FALSE
    own = outcome.masqueraded_sources
    if own and encoding.schema.from_node:
        of_own = AnyOf(tuple(Source(network.value, network.mask) for network in own))
        stays = disjunction([stays, encoding.condition((of_own,))])
    unchanged = [
        disjunction([stays, equal(encoding.mark_bit(bit), encoding.first_mark_bit(bit))])
        for bit in range(32)
        if mark >> bit & 1 and encoding.mark_bit(bit) is not encoding.first_mark_bit(bit)
    ]
    return conjunction(
        [
            encoding.passed,
            negate(encoding.sent_elsewhere),
            disjunction([negate(encoding.masqueraded), stays, *encoding.by_others]),
            *unchanged,
        ]
    )


def _dropped_by_mark(encoding: Encoding, mark: int) -> Term:
    """Forwarded untranslated, with the mark that means that it should be dropped."""
    if encoding.schema.from_node:
        return FALSE
    marked = [encoding.mark_bit(bit) for bit in range(32) if mark >> bit & 1]
    return conjunction(
        [encoding.passed, encoding.sent_out, negate(encoding.sent_elsewhere), *marked]
    )


def _served(encoding: Encoding, serve: NumberedServe) -> list[tuple[Term, Term | None]]:
    """(fires, must be masqueraded) of each DNAT rule to one of the backends; None: as it likes."""

    def must(host: int) -> Term | None:
        if serve.masquerade is None:
            return None
        hairpin = TRUE if serve.masquerade else equal(encoding.packet.src, encoding.host(host))
        return conjunction([encoding.sent_out, hairpin])

    backends = set(serve.backends)
    return [(fires, must(host)) for fires, host, port in encoding.dnat if (host, port) in backends]


def _only_serve(encoding: Encoding, schema: Schema) -> list[tuple[Term, NumberedServe]]:
    found = []
    for case in schema.cases:
        outcome = case.allowed[0]
        if len(case.allowed) == 1 and isinstance(outcome, NumberedServe):
            found.append((encoding.condition(case.condition), outcome))
    return found


def _serves(case: SchemaCase) -> list[NumberedServe]:
    found = [outcome for outcome in case.allowed if isinstance(outcome, NumberedServe)]
    return found if len(found) == 1 else []


def _totals(encoding: SharesEncoding) -> dict[tuple[int, int | None], Term]:
    """What each backend gets; one that is not here gets nothing."""
    weights: dict[tuple[int, int | None], list[Term]] = {}
    for weight, host, port in encoding.weights:
        weights.setdefault((host, port), []).append(weight)
    return {backend: encoding.total(parts) for backend, parts in weights.items()}


def _unbound(encoding: SharesEncoding, timeout: int | None) -> list[Term]:
    """The client was last seen just longer ago than the timeout."""
    if timeout is None:
        return []
    return [
        flag if seconds is None or seconds > timeout else negate(flag)
        for (_, seconds), flag in encoding.recent.items()
    ]


def _differ(left: Term, right: Term) -> Term:
    if right is FALSE:
        return left
    return negate(left if right is TRUE else equal(left, right))
