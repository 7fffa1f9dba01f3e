"""Slicing: the part of a chain that can touch a given region of packets.

A region is a set of boxes over (destination, protocol, destination port, is the destination
local). A rule that is disjoint from every box is left out; a condition that every box fulfils
is left out of its rule; everything else stays, as a residual condition for the solver. No
chain name means anything here, so linear layouts, decision trees and hand-written rules are
treated alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from svcc.grammar.address import Network
from svcc.grammar.ipvs.ipset import PortOf
from svcc.verify.model.rules import (
    NEVER,
    Action,
    Condition,
    IndexedChain,
    IndexedRules,
    Record,
    exact_port,
)
from svcc.verify.model.sets import Excluded, IndexedSet, Where
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.box_evaluation import Truth
from svcc.verify.slicing.plain_runs import SHORTEST, Run, runs_of
from svcc.verify.slicing.visits import Visit, Visits

MAX_SLICE_RULES = 400_000

_OF_THE_SENDER = frozenset({"src", "sport", "iif", "mark", "random"})
"""Conditions that say nothing of the destination."""

_JUMP = ("jump",)

_GO_ON = frozenset({"jump", "map-mark", "mark", "nothing", "notrack"})
"""Actions after which the next rule is looked at."""


@dataclass(frozen=True, slots=True)
class Item:
    """A rule of a slice: residual conditions, an action, and a body for jumps and gotos."""

    conditions: tuple[Condition, ...]
    action: Action
    body: tuple[Item, ...]
    record: Record


class RunItems(tuple[Item, ...]):
    """What is left of a run of rules: it names no address or port of one region."""

    numbered: object = None
    """The same as schemas have it."""


def _stops(item: Item) -> bool:
    """Whether no packet goes on behind the item."""
    return not item.conditions and item.action[0] not in _GO_ON


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
        self._absent = absent
        self._only_absent: dict[str, bool] = {}
        self._full_mask = (1 << rules.family.bits) - 1
        self._truth = Truth(rules, always_local, never_local, state)
        self._excluded = excluded
        self._memo: dict[tuple[str, str, tuple[Box, ...]], tuple[Item, ...]] = {}
        self._ports: dict[tuple[str, str], frozenset[int] | None] = {}
        self._size = 0
        self._known_runs: dict[tuple[str, str], list[Run | None]] = {}
        self._run_items: dict[object, RunItems] = {}

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
        cut = self._item
        if len(boxes) == 1 and boxes[0].mask == self._full_mask and self._excluded is None:
            cut = self._item_of_one
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
                body = self._run(table, chain, run, boxes)
                if body is not None:
                    resume = run.end
                    if body:
                        items.append(Item((), _JUMP, body, records[run.start]))
                        if _stops(body[-1]):
                            break
                    continue
            item = cut(table, records[position], boxes)
            if item is None:
                continue
            items.append(item)
            if visit is not None:
                visit.keep(position, item.conditions, self._narrowed, stops=_stops(item))
                self._narrowed = None
            if _stops(item):
                break
        while items and items[-1].action == ("return",):
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
    ) -> RunItems | None:
        """What is left of a run; None if the boxes have to be looked at rule by rule."""
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
            items = []
            for record in chain.records[run.start : run.end]:
                item = self._item(table, record, boxes)
                if item is not None:
                    items.append(item)
                    if _stops(item):
                        break
            known = self._run_items[key] = RunItems(items)
        return known

    def _candidates(self, table: str, chain: IndexedChain, boxes: tuple[Box, ...]) -> Iterable[int]:
        index = chain.index
        if index is None:
            return range(len(chain.records))
        found: set[int]
        if all(box.mask == self._full_mask for box in boxes):
            found = set(index.any_destination)
            for mask, by_address in index.by_destination.items():
                for box in boxes:
                    found.update(by_address.get(box.address & mask, ()))
            return sorted(found)
        if all(box.first_port == box.last_port for box in boxes):
            found = set(index.any_port)
            for box in boxes:
                found.update(index.by_port.get(box.first_port, ()))
            return sorted(found)
        return range(len(chain.records))

    def _item_of_one(self, table: str, record: Record, boxes: tuple[Box, ...]) -> Item | None:
        """The same as :meth:`_item` for one address, where nearly all conditions are decided."""
        (box,) = boxes
        conditions = record.conditions
        kept: list[Condition] = []
        for condition in conditions:
            kind = condition[0]
            if kind == "dst":
                hit = not (condition[1] ^ box.address) & condition[2]
                if hit == condition[3]:
                    return None
            elif kind == "proto" and box.protocol is not None:
                if (condition[1] == box.protocol) == condition[2]:
                    return None
            elif kind == "dport" and box.first_port == box.last_port:
                hit = condition[1] <= box.first_port <= condition[2]
                if hit == condition[3]:
                    return None
            elif kind in _OF_THE_SENDER:
                kept.append(condition)
            elif kind == "state":
                truth = self._truth.state(condition)
                if truth is False:
                    return None
                if truth is None:
                    kept.append(condition)
            else:
                return self._item(table, record, boxes)
        action = record.action
        if action[0] == "jump":
            chain = self._rules.tables[table].get(action[1])
            if chain is None:
                raise MissingChainError(action[1])
            body = self._chain(table, chain, boxes)
            has_effect = body or self._visits is not None
            return Item(tuple(kept), _JUMP, body, record) if has_effect else None
        if action[0] in ("goto", "map-mark", "nothing"):
            return self._item(table, record, boxes)
        return Item(tuple(kept), action, (), record)

    def _item(self, table: str, record: Record, boxes: tuple[Box, ...]) -> Item | None:
        conditions: list[Condition] = []
        records_client = False
        for condition in record.conditions:
            if condition is NEVER:
                return _without_effect(conditions, record) if records_client else None
            if condition[0] == "set":
                member = self._member(condition, boxes)
                if member is False:
                    return _without_effect(conditions, record) if records_client else None
                if member is not True:
                    conditions.append(member)
                continue
            records_client |= condition[0] == "recent" and condition[1] != "rcheck"
            kept: list[Box] = []
            decided = True
            for box in boxes:
                truth, narrowed = self._truth.evaluate(condition, box)
                if truth is False:
                    continue
                if truth is None:
                    decided = False
                kept.append(narrowed)
            if not kept:
                return _without_effect(conditions, record) if records_client else None
            if len(kept) < len(boxes):
                decided = False
            boxes = tuple(kept)
            if not decided:
                conditions.append(condition)
        if self._excluded is not None:
            boxes = tuple(box for box in boxes if not self._excluded(box))
            if not boxes:
                return None
        kind = record.action[0]
        if kind in ("jump", "goto"):
            return self._jump(table, record, tuple(conditions), tuple(dict.fromkeys(boxes)))
        if kind == "map-mark":
            return self._map_mark(record, tuple(conditions), boxes)
        if kind == "nothing" and not any(c[0] == "recent" for c in conditions):
            return None
        return Item(tuple(conditions), record.action, (), record)

    def _member(self, condition: Condition, boxes: tuple[Box, ...]) -> bool | Condition:
        """Whether every packet of the boxes is in a set, none is, or on what it depends."""
        _, name, flags, negated = condition
        known = self._rules.sets.get(name)
        if known is None:
            return ("unknown", f"set {name}, which was not given")
        absent = flags == ("dst",) and self._has_only_absent(name, known)
        answers = [
            False
            if absent and box.mask != self._full_mask
            else known.evaluate(flags, _where(box), self._full_mask, self._of_others(box))
            for box in boxes
        ]
        found = set(answers)
        if len(found) > 1:
            places = self._places(boxes, answers)
            if places is not None:
                return ("place", places, negated)
            members = known.members(
                flags,
                [_where(box) for box in boxes],
                self._full_mask,
                lambda number: self._of_others(boxes[number]),
            )
            return ("unknown", f"set {name}") if members is None else ("members", members, negated)
        result: bool | Condition = found.pop() if found else False
        if isinstance(result, bool):
            return result != bool(negated)
        if result[0] == "unknown":
            return result
        return (result[0], result[1], negated)

    def _has_only_absent(self, name: str, known: IndexedSet) -> bool:
        """Whether no packet of a region without one address can be in a set of addresses."""
        if name not in self._only_absent:
            hosts = known.hosts
            self._only_absent[name] = (
                bool(self._absent) and hosts is not None and (hosts <= self._absent)
            )
        return self._only_absent[name]

    def _places(
        self, boxes: tuple[Box, ...], answers: Sequence[object]
    ) -> tuple[tuple[int | None, int], ...] | None:
        """The places (address, port) of the boxes with the one answer that is not False.

        None: it cannot be told from address and port which box a packet is in.
        """
        if len({answer for answer in answers if answer is not False}) != 1:
            return None
        if not all(answer is False or not _is_condition(answer) for answer in answers):
            return None
        inside = [box for box, answer in zip(boxes, answers, strict=True) if answer is not False]
        outside = [box for box, answer in zip(boxes, answers, strict=True) if answer is False]
        for one in inside:
            if one.first_port != one.last_port:
                return None
            for other in outside:
                exact = one.mask == other.mask == self._full_mask
                apart = other.last_port < one.first_port or one.last_port < other.first_port
                if not apart and not (exact and one.address != other.address):
                    return None
        return tuple(
            (box.address if box.mask == self._full_mask else None, box.first_port) for box in inside
        )

    def _map_mark(
        self, record: Record, conditions: tuple[Condition, ...], boxes: tuple[Box, ...]
    ) -> Item | None:
        _, name, flags = record.action
        known = self._rules.sets.get(name)
        if known is None:
            return Item(conditions, ("unknown", f"set {name}, which was not given"), (), record)
        answers = [
            known.mark(flags, _where(box), self._full_mask, self._of_others(box)) for box in boxes
        ]
        marks = {answer for answer in answers if answer is not False}
        if not marks:
            return None
        found = marks.pop()
        if not marks and isinstance(found, tuple):
            mark, member = found
            if member is not None:
                conditions = (*conditions, member)
            if False not in answers:
                return Item(conditions, ("mark", *mark), (), record)
            places = self._places(boxes, answers)
            if places is not None:
                place: Condition = ("place", places, False)
                return Item((*conditions, place), ("mark", *mark), (), record)
        return Item(conditions, ("unknown", f"set {name}"), (), record)

    def _of_others(self, box: Box) -> Excluded:
        """Whether an entry of a set is a packet of another region than the box's."""
        excluded = self._excluded

        def judge(network: Network | None, port: PortOf | None) -> bool:
            if excluded is None or network is None:
                return False
            place = box
            if network.mask == self._full_mask:
                place = self._truth.normal(box._replace(address=network.value, mask=network.mask))
            elif port is None:
                return False
            if port is not None:
                place = place._replace(
                    protocol=port.protocol, first_port=port.port, last_port=port.port
                )
            return excluded(place)

        return judge

    def _jump(
        self,
        table: str,
        record: Record,
        conditions: tuple[Condition, ...],
        boxes: tuple[Box, ...],
    ) -> Item | None:
        kind, name = record.action
        chain = self._rules.tables[table].get(str(name))
        if chain is None:
            raise MissingChainError(str(name))
        wanted = {box.first_port for box in boxes if box.first_port == box.last_port}
        body: tuple[Item, ...] = ()
        ports = None if self._visits is not None else self._ports_of(table, chain)
        if ports is None or len(wanted) != len(boxes) or ports & wanted:
            body = self._chain(table, chain, boxes)
        self._narrowed = boxes
        has_effect = body or any(c[0] == "recent" for c in conditions)
        has_effect = has_effect or self._visits is not None
        if kind == "goto":
            action: Action = ("goto",) if body else ("return",)
            return Item(conditions, action, body, record)
        return Item(conditions, ("jump",), body, record) if has_effect else None

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
            if record.action[0] in ("jump", "goto"):
                target = self._rules.tables[table].get(record.action[1])
                below = self._ports_of(table, target) if target is not None else None
                if below is None:
                    return None
                ports |= below
            elif record.action != ("return",) or any(c[0] == "recent" for c in record.conditions):
                return None
        result = frozenset(ports)
        self._ports[key] = result
        return result


def _is_condition(answer: object) -> bool:
    return isinstance(answer, tuple) and bool(answer) and isinstance(answer[0], str)


def _where(box: Box) -> Where:
    return Where(box.address, box.mask, box.protocol, box.first_port, box.last_port)


def _without_effect(conditions: list[Condition], record: Record) -> Item:
    """A rule that never fires, but whose ``recent`` match is evaluated before that shows."""
    return Item((*conditions, NEVER), ("nothing",), (), record)
