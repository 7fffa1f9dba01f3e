"""Whether a condition holds for all packets of a box, for none, or for which part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from svcc.verify.model.conditions import (
    AnyOf,
    Bpf,
    Connection,
    Destination,
    DestinationLocal,
    DestinationPort,
    InInterface,
    Mark,
    Never,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    OutInterface,
    PortList,
    Predicate,
    Probability,
    Protocol,
    SentByIpvs,
    Source,
    SourceLocal,
    SourcePort,
    State,
    Unknown,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.model.rules import IndexedRules
from svcc.verify.slicing.box import Box


class Truth:
    """Decides conditions on the destination over boxes.

    ``state`` is the packets' conntrack state; ``original`` their box before any translation.
    ``absent``: no packet of a box without one address is addressed to one of these.
    """

    def __init__(
        self,
        rules: IndexedRules,
        always_local: Callable[[int, int], bool],
        never_local: Callable[[int], bool],
        state: str,
        absent: frozenset[int] = frozenset(),
    ) -> None:
        self._tracks_all = rules.tracks_all
        self._full_mask = (1 << rules.family.bits) - 1
        self._always_local = always_local
        self._never_local = never_local
        self._connection_state = state
        self._absent = absent
        self.original = Box()

    def normal(self, box: Box) -> Box:
        """The box with what is known of its locality."""
        if box.local is None and box.mask:
            if self._always_local(box.address, box.mask):
                return box._replace(local=True)
            if box.mask == self._full_mask and self._never_local(box.address):
                return box._replace(local=False)
        return box

    def evaluate(self, condition: Predicate, box: Box) -> tuple[bool | None, Box]:
        """The condition's truth over the whole box, None if mixed, and the part that has it."""
        match condition:
            case Destination():
                return self._destination(condition.address, condition.mask, condition.negated, box)
            case Protocol():
                if box.protocol is not None:
                    return (box.protocol == condition.number) != condition.negated, box
                if condition.negated:
                    return None, box
                return None, box._replace(protocol=condition.number)
            case DestinationPort():
                return _port(condition, box)
            case State():
                return self._state(condition), box
            case DestinationLocal():
                if box.local is not None:
                    return box.local != condition.negated, box
                return None, box._replace(local=not condition.negated)
            case OriginalDestination(address, mask, negated) if (
                address in self._absent
                and mask == self._full_mask
                and self.original.mask != self._full_mask
            ):
                return negated, box
            case OriginalDestination():
                truth, _ = self._destination(
                    condition.address, condition.mask, condition.negated, self.original
                )
                return truth, box
            case OriginalPort():
                return _port(condition, self.original)[0], box
            case Never():
                return False, box
            case (
                Source()
                | SourcePort()
                | SourceLocal()
                | OriginalSource()
                | InInterface()
                | OutInterface()
                | Mark()
                | Probability()
                | PortList()
                | Connection()
                | Bpf()
                | SentByIpvs()
                | VirtualDestination()
                | VirtualPort()
                | AnyOf()
                | Unknown()
            ):
                return None, box
            case _:
                assert_never(condition)

    def _destination(
        self, address: int, mask: int, negated: bool, box: Box
    ) -> tuple[bool | None, Box]:
        if (address ^ box.address) & mask & box.mask:
            return negated, box
        if mask & ~box.mask == 0:
            return not negated, box
        if negated:
            return None, box
        narrowed = box._replace(address=(box.address & box.mask) | address, mask=box.mask | mask)
        if narrowed.local is None:
            narrowed = self.normal(narrowed)
        elif (
            narrowed.local
            and narrowed.mask == self._full_mask
            and self._never_local(narrowed.address)
        ):
            return False, box
        return None, narrowed

    def _state(self, condition: State) -> bool | None:
        """Whether the connection is in one of the states; None where that is open."""
        if not self._tracks_all:
            return None
        if self._connection_state in condition.states:
            return not condition.negated
        if not {"DNAT", "SNAT"} & set(condition.states):
            return condition.negated
        return None


def _port(condition: DestinationPort | OriginalPort, box: Box) -> tuple[bool | None, Box]:
    first, last, negated = condition.first, condition.last, condition.negated
    if box.last_port < first or last < box.first_port:
        return negated, box
    if first <= box.first_port and box.last_port <= last:
        return not negated, box
    if negated:
        return None, box
    return None, box._replace(
        first_port=max(first, box.first_port), last_port=min(last, box.last_port)
    )
