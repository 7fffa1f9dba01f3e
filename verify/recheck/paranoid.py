"""``--paranoid``: the solver looks again at what ordinary code established.

Every region is cut on its own, nothing shared, and proved with its own numbers put back. What
the cutting rests on is asked here, of a packet of which nothing is known: a rule that was left
out matches no packet that came to its chain; a condition that was left out holds for all that
came to its rule; what goes on to another chain was looked at there; every packet is in a region.
Chains and their visits are many, so they are asked about in chunks. Chunks whose addresses lie
apart need no more than their bounds, which are asked about first.

The contents of sets, and which virtual servers a packet can meet, are not looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from svcc.verify.model.actions import Continue, MapMark
from svcc.verify.model.conditions import (
    Destination,
    DestinationPort,
    InSet,
    OriginalDestination,
    Recent,
)
from svcc.verify.model.rules import IndexedChain, Record
from svcc.verify.recheck.box_terms import BoxTerms, Flags
from svcc.verify.slicing.regions import Exclusion, Regions
from svcc.verify.slicing.visits import Visit, Visits
from svcc.verify.smt.solver import Solver
from svcc.verify.smt.term import (
    FALSE,
    Term,
    bit_vector,
    bits,
    bvule,
    conjunction,
    constant,
    disjunction,
    has_value,
    implies,
    negate,
)
from svcc.verify.spec.properties import LEFT_OUT

CHUNK = 400
TIMEOUT_MS = 60_000

_INDEX = bit_vector(32)
_VISIT, _RULE, _POSITION = (constant(name, _INDEX) for name in ("visit", "rule", "position"))

Thing = TypeVar("Thing")
Bounds = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Chunk(Generic[Thing]):
    """Things asked about at once; ``bounds``: of their addresses, if each has only one."""

    things: list[Thing]
    terms: list[Term]
    bounds: Bounds | None


class Recheck:
    """Asks about one family's visits. ``asked`` counts the questions."""

    def __init__(self, regions: Regions, visits: Visits) -> None:
        self._regions = regions
        self._visits = visits
        self._terms = BoxTerms(regions)
        self._full_mask = regions.full_mask
        self.asked = 0

    def doubts(self) -> Iterator[str]:
        """What the solver does not confirm, in words."""
        yield from self._coverage()
        yield from self._entries()
        for (table, name), visits in self._visits.of_chain.items():
            chain = self._regions.rules.tables[table][name]
            kinds: dict[tuple[str, Flags | None], list[Visit]] = defaultdict(list)
            for visit in visits:
                kinds[visit.state, _flags(visit)].append(visit)
            for (state, flags), alike in kinds.items():
                yield from self._left_out(chain, alike, state, flags)
                yield from self._kept(chain, alike, state, flags)

    def _left_out(
        self, chain: IndexedChain, visits: Sequence[Visit], state: str, flags: Flags | None
    ) -> Iterator[str]:
        """Whether a rule that was left out matches a packet that comes so far."""
        records = chain.records
        positions = [p for p, record in enumerate(records) if _is_looked_at(record)]
        comers = self._chunks(visits, self._address_of_visit, self._visit_term)
        rules = self._chunks(
            positions,
            lambda position: self._address_of_rule(records[position]),
            lambda position: self._rule_term(records, position, state),
        )
        for left in comers:
            for right in rules:
                if left.bounds and right.bounds and self._apart(left.bounds, right.bounds):
                    continue
                found = self._example(
                    [
                        *self._facts(left.things, records, right.things, flags),
                        _numbered(_VISIT, left.terms),
                        _numbered(_RULE, right.terms),
                        *_but_kept(left.things, right.things),
                    ]
                )
                if found is not None:
                    line = records[right.things[found["rule"]]].rule.line
                    boxes = left.things[found["visit"]].boxes
                    yield f"line {line}, chain {chain.name}: left out of {boxes[0]}"

    def _kept(
        self, chain: IndexedChain, visits: Sequence[Visit], state: str, flags: Flags | None
    ) -> Iterator[str]:
        """Whether a rule that stays lost a condition that counts, or sends on what nobody saw."""
        questions: list[tuple[Visit, int, Term]] = []
        for visit in visits:
            comes = conjunction(
                [self._terms.boxes(visit.boxes), self._terms.came_as(visit.original)]
            )
            for position, kept in visit.kept.items():
                conditions = [
                    (condition, self._terms.condition(condition, state))
                    for condition in chain.records[position].conditions
                ]
                known = [term for _, term in conditions if term is not None]
                gone = [
                    FALSE if term is None else term
                    for condition, term in conditions
                    if condition not in kept.conditions and not isinstance(condition, InSet)
                ]
                stays = [t for c, t in conditions if c in kept.conditions and t is not None]
                wrong = [conjunction([*stays, negate(conjunction(gone))])]
                if kept.narrowed is not None:
                    seen = self._terms.boxes(kept.narrowed)
                    wrong.append(conjunction([*known, negate(seen)]))
                question = conjunction([comes, disjunction(wrong)])
                if question is not FALSE:
                    questions.append((visit, position, question))
        for some in _batches(questions):
            asked_of = [visit for visit, _, _ in some]
            positions = [position for _, position, _ in some]
            found = self._example(
                [
                    *self._facts(asked_of, chain.records, positions, flags),
                    _numbered(_VISIT, [question for _, _, question in some]),
                ]
            )
            if found is not None:
                visit, position, _ = some[found["visit"]]
                line = chain.records[position].rule.line
                yield f"line {line}, chain {chain.name}: not the same for {visit.boxes[0]}"

    def _entries(self) -> Iterator[str]:
        """Whether packets come to a base chain that were looked at nowhere."""
        changed = [entry for entry in self._visits.entries if entry[0] != entry[1]]
        for some in _batches(changed):
            addresses = {box.address for given, _ in some for box in given}
            wrong = [
                conjunction([self._terms.boxes(given), negate(self._terms.boxes(boxes))])
                for given, boxes in some
            ]
            facts = self._terms.locality(addresses)
            if self._example([*facts, disjunction(wrong)]) is not None:
                yield f"packets of {some[0][0][0]} are looked at nowhere"

    def _coverage(self) -> Iterator[str]:
        """Whether a packet that the last region leaves to others is in none of them."""
        by_address: dict[int, list[Term]] = defaultdict(list)
        of_ports = []
        boxes = [r.box for r in self._regions if r.frontend or r.virtual_ip]
        for box in (*boxes, *self._regions.not_judged()):
            term = self._terms.box(box)
            if box.mask:
                by_address[box.address].append(term)
            else:
                of_ports.append(term)
        every_port = {port for _, port in self._regions.node_ports}
        elsewhere = self._terms.judged_elsewhere
        questions = [(elsewhere((), every_port, (True, False)), of_ports, list[int]())]
        named = sorted({a for a, _, _ in self._regions.addresses} | self._regions.apart)
        for some in _batches(named):
            own = [term for address in some for term in by_address[address]]
            questions.append((elsewhere(some, (), (False, True)), own, some))
        for left, own, addresses in questions:
            facts = self._terms.locality(addresses)
            if self._example([*facts, disjunction(left), negate(disjunction(own))]) is not None:
                yield "packets that are left to other regions are in none"

    # -- questions ---------------------------------------------------------------------

    def _example(self, held: Sequence[Term]) -> dict[str, int] | None:
        """The visit and rule of a packet that there should not be; None if there is none."""
        self.asked += 1
        script = self._terms.script()
        for index in (_VISIT, _RULE, _POSITION):
            script.declare(index.symbol, _INDEX)
        solver = Solver(script.requiring(held), timeout_ms=TIMEOUT_MS, about=[LEFT_OUT])
        outcome = solver.check()
        if outcome == "unsat":
            return None
        values = solver.values() if outcome == "sat" else {}
        return {name: int(values.get(name, 0)) for name in ("visit", "rule")}

    def _facts(
        self,
        visits: Sequence[Visit],
        records: Sequence[Record],
        positions: Sequence[int],
        flags: Flags | None,
    ) -> list[Term]:
        """What is assumed or judged elsewhere, as far as these rules and packets name it."""
        addresses = {box.address for visit in visits for box in visit.boxes}
        named: set[int] = set()
        ports: set[int] = set()
        for position in positions:
            for condition in records[position].conditions:
                if isinstance(condition, Destination | OriginalDestination):
                    if condition.mask == self._full_mask:
                        named.add(condition.address)
                elif isinstance(condition, DestinationPort) and condition.first == condition.last:
                    ports.add(condition.first)
        facts = self._terms.locality(addresses | named)
        if flags is not None:
            others = self._terms.judged_elsewhere(named, ports, flags)
            if flags[1]:
                others += self._terms.came_for(named & self._regions.apart)
            facts += map(negate, others)
        return facts

    def _apart(self, one: Bounds, other: Bounds) -> bool:
        if one[0] <= other[1] and other[0] <= one[1]:
            return False
        return self._example([self._within(one), self._within(other)]) is None

    def _within(self, bounds: Bounds, *, negated: bool = False) -> Term:
        inside = [self._terms.at_least(bounds[0]), self._terms.at_most(bounds[1])]
        return negate(conjunction(inside), negated)

    # -- chunks ------------------------------------------------------------------------

    def _chunks(
        self,
        things: Sequence[Thing],
        address_of: Callable[[Thing], int | None],
        term_of: Callable[[Thing], Term],
    ) -> list[_Chunk[Thing]]:
        """The things in chunks of neighbours, those without one address last."""
        placed: list[tuple[int, Thing]] = []
        others: list[Thing] = []
        for thing in things:
            address = address_of(thing)
            if address is None:
                others.append(thing)
            else:
                placed.append((address, thing))
        placed.sort(key=lambda pair: pair[0])
        chunks = []
        for pairs in _batches(placed):
            terms = [term_of(thing) for _, thing in pairs]
            bounds = (pairs[0][0], pairs[-1][0])
            wrong = [disjunction(terms), self._within(bounds, negated=True)]
            confirmed = len(placed) <= CHUNK or self._example(wrong) is None
            chunks.append(
                _Chunk([thing for _, thing in pairs], terms, bounds if confirmed else None)
            )
        for some in _batches(others):
            chunks.append(_Chunk(some, [term_of(thing) for thing in some], None))
        return chunks

    def _address_of_visit(self, visit: Visit) -> int | None:
        (box, *others) = visit.boxes
        return box.address if not others and box.mask == self._full_mask else None

    def _address_of_rule(self, record: Record) -> int | None:
        return next(
            (
                c.address
                for c in record.conditions
                if isinstance(c, Destination) and c.mask == self._full_mask and not c.negated
            ),
            None,
        )

    def _visit_term(self, visit: Visit) -> Term:
        comes = [self._terms.boxes(visit.boxes), self._terms.came_as(visit.original)]
        if visit.stop is not None:
            comes.append(bvule(_POSITION, bits(visit.stop, _INDEX.width)))
        return conjunction(comes)

    def _rule_term(self, records: Sequence[Record], position: int, state: str) -> Term:
        matches = [self._terms.condition(c, state) for c in records[position].conditions]
        return conjunction(
            [_at(_POSITION, position), *(term for term in matches if term is not None)]
        )


def _flags(visit: Visit) -> Flags | None:
    if not isinstance(visit.excluded, Exclusion):
        return None
    return visit.excluded.node_ports, visit.excluded.virtual_ips


def _is_looked_at(record: Record) -> bool:
    """Not what does nothing, and not what the contents of a set decide."""
    conditions, action = record.conditions, record.action
    if isinstance(action, MapMark) or any(isinstance(c, InSet) for c in conditions):
        return False
    return not isinstance(action, Continue) or any(isinstance(c, Recent) for c in conditions)


def _at(index: Term, number: int) -> Term:
    return has_value(index, number)


def _numbered(index: Term, terms: Sequence[Term]) -> Term:
    """One of the terms holds, and the index is its number."""
    return disjunction(
        [conjunction([_at(index, number), term]) for number, term in enumerate(terms)]
    )


def _but_kept(visits: Sequence[Visit], positions: Sequence[int]) -> Iterator[Term]:
    """The rules that each visit kept are not meant."""
    if not positions:
        return
    for number, visit in enumerate(visits):
        for position in visit.kept:
            yield implies(_at(_VISIT, number), negate(_at(_POSITION, position)))


def _batches(things: Sequence[Thing]) -> Iterator[list[Thing]]:
    for start in range(0, len(things), CHUNK):
        yield list(things[start : start + CHUNK])
