"""Whether a condition holds for all packets of a box, for none, or for which part of it."""

from __future__ import annotations

from collections.abc import Callable

from svcc.verify.model.rules import Condition, IndexedRules
from svcc.verify.slicing.box import Box


class Truth:
    """Decides conditions on the destination over boxes.

    ``state`` is the packets' conntrack state; ``original`` their box before any translation.
    """

    def __init__(
        self,
        rules: IndexedRules,
        always_local: Callable[[int, int], bool],
        never_local: Callable[[int], bool],
        state: str,
    ) -> None:
        self._tracks_all = rules.tracks_all
        self._full_mask = (1 << rules.family.bits) - 1
        self._always_local = always_local
        self._never_local = never_local
        self._connection_state = state
        self.original = Box()

    def normal(self, box: Box) -> Box:
        """The box with what is known of its locality."""
        if box.local is None and box.mask:
            if self._always_local(box.address, box.mask):
                return box._replace(local=True)
            if box.mask == self._full_mask and self._never_local(box.address):
                return box._replace(local=False)
        return box

    def evaluate(self, condition: Condition, box: Box) -> tuple[bool | None, Box]:
        """The condition's truth over the whole box, None if mixed, and the part that has it."""
        kind = condition[0]
        if kind == "dst":
            return self._destination(condition, box)
        if kind == "proto":
            _, number, negated = condition
            if box.protocol is not None:
                return (box.protocol == number) != negated, box
            return None, box if negated else box._replace(protocol=number)
        if kind == "dport":
            return _port(condition, box)
        if kind == "dstlocal":
            (negated,) = condition[1:]
            if box.local is not None:
                return box.local != negated, box
            return None, box._replace(local=not negated)
        if kind == "odst":
            return self._destination(condition, self.original)[0], box
        if kind == "odport":
            return _port(condition, self.original)[0], box
        if kind == "state":
            return self.state(condition), box
        return None, box

    def _destination(self, condition: Condition, box: Box) -> tuple[bool | None, Box]:
        _, address, mask, negated = condition
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

    def state(self, condition: Condition) -> bool | None:
        """Whether the connection is in one of the states; None where that is open."""
        _, states, negated = condition
        if not self._tracks_all:
            return None
        if self._connection_state in states:
            return not negated
        if not {"DNAT", "SNAT"} & set(states):
            return bool(negated)
        return None


def _port(condition: Condition, box: Box) -> tuple[bool | None, Box]:
    _, first, last, negated = condition
    if box.last_port < first or last < box.first_port:
        return negated, box
    if first <= box.first_port and box.last_port <= last:
        return not negated, box
    if negated:
        return None, box
    return None, box._replace(
        first_port=max(first, box.first_port), last_port=min(last, box.last_port)
    )
