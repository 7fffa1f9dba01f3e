"""Slicing: the part of a chain that can touch a given region of packets.

A region is a set of boxes over (destination, protocol, destination port, is the destination
local). A rule that is disjoint from every box is left out; a condition that every box fulfils
is left out of its rule; everything else stays, as a residual condition for the solver. No
chain name means anything here, so linear layouts, decision trees and hand-written rules are
treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from svcc.grammar.iptables.ruleset import place_of
from svcc.verify.model.actions import Continue, Goto, Jump, MapMark, Notrack, Return
from svcc.verify.model.conditions import (
    InInterface,
    InSet,
    Mark,
    Never,
    Predicate,
    Probability,
    Recent,
    Source,
    SourcePort,
)
from svcc.verify.model.rules import ChainIndex, IndexedChain, IndexedRules, Record, exact_port
from svcc.verify.model.sets import EveryPacket, NoPacket
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.box_evaluation import Truth
from svcc.verify.slicing.items import InlinedRun, Item, ItemCondition, stops
from svcc.verify.slicing.numbering import unnumbered
from svcc.verify.slicing.plain_runs import SHORTEST, Run, runs_of
from svcc.verify.slicing.schema_conditions import InlinedGoto, InlinedJump
from svcc.verify.slicing.set_conditions import SetConditions
from svcc.verify.slicing.visits import Visit, Visits

MAX_SLICE_RULES = 400_000

_OF_THE_SENDER = (Source, Probability, Mark, InInterface, SourcePort)
"""Conditions that say nothing of the destination: no box decides them."""

_JUMP, _GOTO, _RETURN, _CONTINUE, _NEVER = (
    InlinedJump(), InlinedGoto(), Return(), Continue(), Never(),
)  # fmt: skip
_EVERY_PACKET, _NO_PACKET = EveryPacket(), NoPacket()


class SliceTooLargeError(Exception):
    """The rules touch the region in more ways than can be written out."""


class MissingChainError(Exception):
    """A jump leads to a chain that does not exist."""


class Slicer:
    """Cuts slices out of one rule set.

    ``excluded`` tells of a box whether it lies outside the region altogether (it belongs to
    a declared frontend and is judged there). ``state`` is the packets' conntrack state.
    ``absent`` are addresses that are in no region but their own. With ``visits`` nothing is
    shared, and what was left out of each chain is noted there.
    """

    def __init__(
        self,
        rules: IndexedRules,
        *,
        always_local: Callable[[int, int], bool],
        never_local: Callable[[int], bool],
        excluded: Callable[[Box], bool] | None = None,
        state: str = "NEW",
        absent: frozenset[int] = frozenset(),
        visits: Visits | None = None,
    ) -> None:
        self._rules = rules
        self._visits = visits
        self._state = state
        self._narrowed: tuple[Box, ...] | None = None
        """The packets that the last rule sent into another chain."""
        self._full_mask = (1 << rules.family.bits) - 1
        self._truth = Truth(rules, always_local, never_local, state, absent)
        self._excluded = excluded
        self._sets = SetConditions(
            rules.sets, self._full_mask, self._truth.normal, excluded, absent
        )
        self._absent = absent
        self._of_others: dict[tuple[str, str], list[int]] = {}
        self._memo: dict[tuple[str, str, tuple[Box, ...]], tuple[Item, ...]] = {}
        self._ports: dict[tuple[str, str], frozenset[int] | None] = {}
        self._size = 0
        self._known_runs: dict[tuple[str, str], list[Run | None]] = {}
        self._run_items: dict[object, tuple[Item, ...]] = {}

    def hook(
        self, table: str, chain: str, boxes: Iterable[Box], original: Box
    ) -> tuple[tuple[Item, ...], str | None]:
        """The slice of a base chain and its policy; empty where the chain does not exist.

        ``original`` is the region before any translation, which ``--ctorigdst`` looks at.

        Raises:
            SliceTooLargeError, MissingChainError: see there.
        """
        if original != self._truth.original:
            # What was cut for another region is not met again.
            self._memo.clear()
            self._size = 0
            self._truth.original = original
        found = self._rules.tables.get(table, {}).get(chain)
        given = tuple(boxes)
        boxes = tuple(dict.fromkeys(self._truth.normal(box) for box in given))
        if found is None or not boxes:
            return (), None
        if self._visits is not None:
            self._visits.enter(given, boxes)
        return self._chain(table, found, boxes), found.policy

    def normal(self, box: Box) -> Box:
        """The box with what is known of its locality."""
        return self._truth.normal(box)

    def leaves_out(self, box: Box) -> bool:
        """Whether the box lies outside the region altogether."""
        return self._excluded is not None and self._excluded(box)

    def _chain(self, table: str, chain: IndexedChain, boxes: tuple[Box, ...]) -> tuple[Item, ...]:
        key = (table, chain.name, boxes)
        known = self._memo.get(key)
        if known is not None:
            return known
        items: list[Item] = []
        records = chain.records
        visit: Visit | None = None
        runs = None
        if self._visits is not None:
            visit = self._visits.visit(
                table, chain.name, boxes, self._truth.original, self._state, self._excluded
            )
        elif len(records) >= SHORTEST:
            runs = self._runs(table, chain)
        resume = 0
        for position in self._candidates(table, chain, boxes):
            if position < resume:
                continue
            if runs is not None and (run := runs[position]) is not None:
                left = self._run(table, chain, run, boxes)
                if left is not None:
                    resume = run.end
                    items += left
                    if left and stops(left[0].body[-1]):
                        break
                    continue
            item = self._item(table, records[position], boxes)
            if item is None:
                continue
            items.append(item)
            if visit is not None:
                visit.keep(position, item.conditions, self._narrowed, stops=stops(item))
                self._narrowed = None
            if stops(item):
                break
        while items and isinstance(items[-1].action, Return):
            items.pop()
        self._size += len(items)
        if self._size > MAX_SLICE_RULES:
            raise SliceTooLargeError
        result = tuple(items)
        self._memo[key] = result
        return result

    def _runs(self, table: str, chain: IndexedChain) -> list[Run | None]:
        key = (table, chain.name)
        if key not in self._known_runs:
            self._known_runs[key] = runs_of(chain)
        return self._known_runs[key]

    def _run(
        self, table: str, chain: IndexedChain, run: Run, boxes: tuple[Box, ...]
    ) -> tuple[Item, ...] | None:
        """What is left of a run, as one item if there is anything; None if the boxes have to be
        looked at rule by rule.
        """
        seen: object = None
        if run.blind:
            boxes = (Box(),)
        else:
            (box, *others) = boxes
            exact = box.mask == self._full_mask and box.first_port == box.last_port
            if others or not exact or box.protocol is None or self._excluded is not None:
                return None
            seen = (run.distinctions.of(box), box.local)
        key = (table, chain.name, run.start, seen)
        known = self._run_items.get(key)
        if known is None:
            body = []
            for record in chain.records[run.start : run.end]:
                item = self._item(table, record, boxes)
                if item is not None:
                    body.append(item)
                    if stops(item):
                        break
            through = InlinedRun(tuple([unnumbered(item) for item in body]))
            first = chain.records[run.start]
            known = (Item((), through, tuple(body), first),) if body else ()
            self._run_items[key] = known
        return known

    def _candidates(self, table: str, chain: IndexedChain, boxes: tuple[Box, ...]) -> Iterable[int]:
        index = chain.index
        if index is None:
            return range(len(chain.records))
        found: set[int]
        if all(box.mask == self._full_mask for box in boxes):
            if index.any_destination_by_port and all(b.first_port == b.last_port for b in boxes):
                found = set(index.any_at_all)
                for box in boxes:
                    found.update(index.any_destination_by_port.get(box.first_port, ()))
            else:
                found = set(index.any_destination)
            for mask, by_address in index.by_destination.items():
                for box in boxes:
                    found.update(by_address.get(box.address & mask, ()))
            self._add_of_original(table, chain.name, index, found)
            return sorted(found)
        if all(box.first_port == box.last_port for box in boxes):
            found = set(index.any_port)
            for box in boxes:
                found.update(index.by_port.get(box.first_port, ()))
            self._add_of_original(table, chain.name, index, found)
            return sorted(found)
        return range(len(chain.records))

    def _add_of_original(self, table: str, chain: str, index: ChainIndex, found: set[int]) -> None:
        """Add the rules that the region's packets may fulfil by where they were addressed to."""
        original = self._truth.original
        if original.mask == self._full_mask:
            for mask, by_address in index.by_original.items():
                found.update(by_address.get(original.address & mask, ()))
            return
        present = self._of_others.get((table, chain))
        if present is None:
            present = self._of_others[table, chain] = [
                position
                for mask, by_address in index.by_original.items()
                for address, positions in by_address.items()
                if mask != self._full_mask or address not in self._absent
                for position in positions
            ]
        found.update(present)

    def _item(self, table: str, record: Record, boxes: tuple[Box, ...]) -> Item | None:
        """What is left of a rule for packets of some boxes; None if it does nothing to them."""
        given = boxes
        conditions: list[ItemCondition] = []
        records_client = False
        for condition in record.conditions:
            if isinstance(condition, _OF_THE_SENDER):
                conditions.append(condition)
                continue
            if isinstance(condition, Recent):
                conditions.append(condition)
                records_client |= condition.records
                continue
            left: EveryPacket | NoPacket | ItemCondition
            if isinstance(condition, InSet):
                left = self._sets.left_of(condition, boxes)
            else:
                left, boxes = self._evaluate(condition, boxes)
            if isinstance(left, NoPacket):
                return _without_effect(conditions, record) if records_client else None
            if not isinstance(left, EveryPacket):
                conditions.append(left)
        if self._excluded is not None:
            boxes = self._not_excluded(boxes)
            if not boxes:
                return None
        action = record.action
        match action:
            case Jump() | Goto():
                if len(boxes) > 1:
                    boxes = tuple(dict.fromkeys(boxes))
                item = self._jump(table, record, action, tuple(conditions), boxes)
                if self._visits is not None and boxes != given:
                    self._narrowed = boxes
                return item
            case MapMark():
                return self._map_mark(record, action, conditions, boxes)
            case Notrack() if place_of(table) != "raw" and self._state != "INVALID":
                # nft_ct.c, nft_notrack_eval: what has a connection by now keeps it.
                if not any(isinstance(c, Recent) for c in conditions):
                    return None
                action = _CONTINUE
            case Continue():
                if not any(isinstance(c, Recent) for c in conditions):
                    return None
        return Item(tuple(conditions), action, (), record)

    def _evaluate(
        self, condition: Predicate, boxes: tuple[Box, ...]
    ) -> tuple[EveryPacket | NoPacket | Predicate, tuple[Box, ...]]:
        """Whether all packets of some boxes fulfil a condition, or none, or it has to stay; and
        the parts of the boxes that may fulfil it.
        """
        if len(boxes) == 1:
            truth, narrowed = self._truth.evaluate(condition, boxes[0])
            if truth is None:
                return condition, (narrowed,)
            return _EVERY_PACKET if truth else _NO_PACKET, boxes
        kept: list[Box] = []
        decided = True
        for box in boxes:
            truth, narrowed = self._truth.evaluate(condition, box)
            decided &= truth is True
            if truth is not False:
                kept.append(narrowed)
        if not kept:
            return _NO_PACKET, ()
        return _EVERY_PACKET if decided else condition, tuple(kept)

    def _not_excluded(self, boxes: tuple[Box, ...]) -> tuple[Box, ...]:
        excluded = self._excluded
        if excluded is None:
            return boxes
        if len(boxes) == 1:
            return () if excluded(boxes[0]) else boxes
        return tuple([box for box in boxes if not excluded(box)])

    def _map_mark(
        self,
        record: Record,
        action: MapMark,
        conditions: list[ItemCondition],
        boxes: tuple[Box, ...],
    ) -> Item | None:
        effect = self._sets.mark_of(action, boxes)
        if effect is None:
            return None
        members, given = effect
        return Item((*conditions, *members), given, (), record)

    def _jump(
        self,
        table: str,
        record: Record,
        action: Jump | Goto,
        conditions: tuple[ItemCondition, ...],
        boxes: tuple[Box, ...],
    ) -> Item | None:
        chain = self._rules.tables[table].get(action.chain)
        if chain is None:
            raise MissingChainError(action.chain)
        body: tuple[Item, ...] = ()
        if self._may_touch(table, chain, boxes):
            body = self._chain(table, chain, boxes)
        if isinstance(action, Goto):
            return Item(conditions, _GOTO if body else _RETURN, body, record)
        if body or self._visits is not None or any(isinstance(c, Recent) for c in conditions):
            return Item(conditions, _JUMP, body, record)
        return None

    def _may_touch(self, table: str, chain: IndexedChain, boxes: tuple[Box, ...]) -> bool:
        """Whether a chain can do anything to packets of the boxes, as far as is easily told."""
        if self._visits is not None or (len(boxes) == 1 and boxes[0].mask == self._full_mask):
            return True
        wanted = {box.first_port for box in boxes if box.first_port == box.last_port}
        if len(wanted) != len(boxes):
            return True
        ports = self._ports_of(table, chain)
        return ports is None or bool(ports & wanted)

    def _ports_of(self, table: str, chain: IndexedChain) -> frozenset[int] | None:
        """Destination ports that the chain does something about; None: any port."""
        key = (table, chain.name)
        if key in self._ports:
            return self._ports[key]
        self._ports[key] = None
        ports: set[int] = set()
        for record in chain.records:
            exact = exact_port(record)
            if exact is not None:
                ports.add(exact)
                continue
            if isinstance(record.action, Jump | Goto):
                target = self._rules.tables[table].get(record.action.chain)
                below = self._ports_of(table, target) if target is not None else None
                if below is None:
                    return None
                ports |= below
            elif not isinstance(record.action, Return) or any(
                isinstance(c, Recent) for c in record.conditions
            ):
                return None
        result = frozenset(ports)
        self._ports[key] = result
        return result


def _without_effect(conditions: list[ItemCondition], record: Record) -> Item:
    """A rule that never fires, but whose ``recent`` match is evaluated before that shows."""
    return Item((*conditions, _NEVER), _CONTINUE, (), record)
