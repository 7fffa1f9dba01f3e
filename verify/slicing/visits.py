"""What slicing left out of each chain, noted so that the solver can look at it again.

:mod:`svcc.verify.recheck.paranoid` checks it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from svcc.verify.slicing.box import Box
from svcc.verify.slicing.items import ItemCondition

Boxes = tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Kept:
    """A rule of a slice: the conditions that it still has there.

    ``narrowed``: the packets that it sends into another chain; None: all that come to it.
    """

    conditions: tuple[ItemCondition, ...]
    narrowed: Boxes | None


@dataclass(slots=True, kw_only=True)
class Visit:
    """One chain, cut for the packets of some boxes; ``kept`` are rules by position.

    ``excluded`` tells which of them are judged elsewhere. No packet comes behind ``stop``.
    """

    boxes: Boxes
    original: Box
    state: str
    excluded: Callable[[Box], bool] | None
    kept: dict[int, Kept] = field(default_factory=dict)
    stop: int | None = None

    def keep(
        self,
        position: int,
        conditions: tuple[ItemCondition, ...],
        narrowed: Boxes | None,
        *,
        stops: bool,
    ) -> None:
        """Note a rule that stays; ``stops``: no packet goes on behind it."""
        self.kept[position] = Kept(conditions, narrowed)
        if stops:
            self.stop = position


@dataclass(slots=True)
class Visits:
    """All chains that were cut, with every region on its own."""

    of_chain: dict[tuple[str, str], list[Visit]] = field(default_factory=dict)
    entries: dict[tuple[Boxes, Boxes], None] = field(default_factory=dict)
    """Packets as they come to a base chain, and as they were looked at."""

    def visit(
        self,
        table: str,
        chain: str,
        boxes: Boxes,
        original: Box,
        state: str,
        excluded: Callable[[Box], bool] | None,
    ) -> Visit:
        """A chain is about to be cut."""
        visit = Visit(boxes=boxes, original=original, state=state, excluded=excluded)
        self.of_chain.setdefault((table, chain), []).append(visit)
        return visit

    def enter(self, given: Boxes, boxes: Boxes) -> None:
        """Packets come to a base chain."""
        self.entries[given, boxes] = None
