"""What is left of a rule's question about a set, for packets of some boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from svcc.grammar.address import Network
from svcc.grammar.ipvs.ipset import PortOf
from svcc.verify.model.actions import MapMark, SetMark, UnknownTarget
from svcc.verify.model.conditions import InSet, Unknown
from svcc.verify.model.sets import (
    EntryMark,
    EveryPacket,
    Excluded,
    IndexedSet,
    NoMark,
    NoPacket,
    PacketsWhere,
    Where,
)
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.items import ItemCondition, ToEndpoints

_EVERY_PACKET, _NO_PACKET = EveryPacket(), NoPacket()


class SetConditions:
    """Answers for one rule set's sets.

    ``normal`` adds to a box what is known of its locality, ``excluded`` tells of a box whether
    it is judged elsewhere, ``absent`` are addresses that are in no region but their own.
    """

    def __init__(
        self,
        sets: Mapping[str, IndexedSet],
        full_mask: int,
        normal: Callable[[Box], Box],
        excluded: Callable[[Box], bool] | None,
        absent: frozenset[int],
    ) -> None:
        self._sets = sets
        self._full_mask = full_mask
        self._normal = normal
        self._excluded = excluded
        self._absent = absent
        self._only_absent: dict[str, bool] = {}

    def left_of(
        self, condition: InSet, boxes: tuple[Box, ...]
    ) -> EveryPacket | NoPacket | ItemCondition:
        """Whether all packets of the boxes fulfil a condition on a set, or none, or which."""
        name, flags, negated = condition.name, condition.flags, condition.negated
        known = self._sets.get(name)
        if known is None:
            return Unknown(f"set {name}, which was not given")
        absent = flags == ("dst",) and self._has_only_absent(name, known)
        answers = [
            _NO_PACKET
            if absent and box.mask != self._full_mask
            else known.evaluate(flags, _where(box), self._full_mask, self._of_others(box))
            for box in boxes
        ]
        first = answers[0]
        if answers.count(first) != len(answers):
            if not any(isinstance(answer, PacketsWhere) for answer in answers):
                inside = [isinstance(answer, EveryPacket) for answer in answers]
                endpoints = self._endpoints(boxes, inside)
                if endpoints is not None:
                    return ToEndpoints(endpoints, negated)
            entries = known.entries(
                flags,
                [_where(box) for box in boxes],
                self._full_mask,
                lambda number: self._of_others(boxes[number]),
            )
            return Unknown(f"set {name}") if entries is None else replace(entries, negated=negated)
        match first:
            case EveryPacket():
                return _NO_PACKET if negated else first
            case NoPacket():
                return _EVERY_PACKET if negated else first
            case PacketsWhere():
                found = first.condition
                return found if isinstance(found, Unknown) else replace(found, negated=negated)
            case _:
                assert_never(first)

    def mark_of(
        self, action: MapMark, boxes: tuple[Box, ...]
    ) -> tuple[tuple[ItemCondition, ...], SetMark | UnknownTarget] | None:
        """The mark that a set gives packets of the boxes, and what they must fulfil to get it;
        None if none gets one.
        """
        name, flags = action.name, action.flags
        known = self._sets.get(name)
        if known is None:
            return (), UnknownTarget(f"set {name}, which was not given")
        answers = [
            known.mark(flags, _where(box), self._full_mask, self._of_others(box)) for box in boxes
        ]
        marks = [answer for answer in answers if not isinstance(answer, NoMark)]
        if not marks:
            return None
        mark = marks[0]
        if not isinstance(mark, EntryMark) or marks.count(mark) != len(marks):
            return (), UnknownTarget(f"set {name}")
        given = SetMark(mark.value, mark.mask)
        members = () if mark.member is None else (mark.member,)
        if len(marks) == len(answers):
            return members, given
        hits = [not isinstance(answer, NoMark) for answer in answers]
        endpoints = self._endpoints(boxes, hits)
        if endpoints is None:
            return members, UnknownTarget(f"set {name}")
        return (*members, ToEndpoints(endpoints)), given

    def _has_only_absent(self, name: str, known: IndexedSet) -> bool:
        """Whether no packet of a region without one address can be in a set of addresses."""
        if name not in self._only_absent:
            hosts = known.hosts
            self._only_absent[name] = (
                bool(self._absent) and hosts is not None and (hosts <= self._absent)
            )
        return self._only_absent[name]

    def _endpoints(
        self, boxes: tuple[Box, ...], hits: Sequence[bool]
    ) -> tuple[tuple[int | None, int], ...] | None:
        """The address (None: any) and port of each box that is hit.

        None: it cannot be told from address and port which box a packet is in.
        """
        inside = [box for box, hit in zip(boxes, hits, strict=True) if hit]
        outside = [box for box, hit in zip(boxes, hits, strict=True) if not hit]
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

    def _of_others(self, box: Box) -> Excluded:
        """Whether an entry of a set is a packet of another region than the box's."""
        excluded = self._excluded

        def judge(network: Network | None, port: PortOf | None) -> bool:
            if excluded is None or network is None:
                return False
            place = box
            if network.mask == self._full_mask:
                place = self._normal(box._replace(address=network.value, mask=network.mask))
            elif port is None:
                return False
            if port is not None:
                place = place._replace(
                    protocol=port.protocol, first_port=port.port, last_port=port.port
                )
            return excluded(place)

        return judge


def _where(box: Box) -> Where:
    return Where(box.address, box.mask, box.protocol, box.first_port, box.last_port)
