"""Runs: stretches of a chain that many regions see alike.

Other tools and people put hundreds of rules into the base chains. Where a stretch of them has
no jumps, returns, translations, sets or lists, what is left of it for a region depends only on
what its conditions can tell of the region's destination, so it is cut once for each such kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from svcc.verify.model.actions import (
    Accept,
    Continue,
    Drop,
    Masquerade,
    Notrack,
    Reject,
    SetMark,
    UnknownTarget,
)
from svcc.verify.model.conditions import (
    Condition,
    Destination,
    DestinationLocal,
    DestinationPort,
    InInterface,
    Mark,
    OutInterface,
    Probability,
    Protocol,
    Source,
    SourceLocal,
    SourcePort,
)
from svcc.verify.model.rules import IndexedChain, Record
from svcc.verify.slicing.distinctions import Distinctions

SHORTEST = 16


@dataclass(frozen=True, slots=True)
class Run:
    """Positions ``start`` to ``end`` (behind the last) of a chain.

    ``blind``: no condition is about the destination.
    """

    start: int
    end: int
    blind: bool
    distinctions: Distinctions


def runs_of(chain: IndexedChain) -> list[Run | None]:
    """The run that each position of a chain is in."""
    places: list[Run | None] = [None] * len(chain.records)
    start = 0
    for position, record in enumerate([*chain.records, None]):
        if record is not None and _is_plain(record):
            continue
        if position - start >= SHORTEST:
            within = chain.records[start:position]
            blind = all(_is_blind(c) for each in within for c in each.conditions)
            run = Run(start, position, blind, Distinctions.of_records(within))
            places[start:position] = [run] * (position - start)
        start = position + 1
    return places


def _is_plain(record: Record) -> bool:
    return isinstance(
        record.action,
        Accept | Drop | Reject | SetMark | Continue | Notrack | Masquerade | UnknownTarget,
    ) and all(
        isinstance(c, Destination | DestinationPort | Protocol | DestinationLocal) or _is_blind(c)
        for c in record.conditions
    )


def _is_blind(condition: Condition) -> bool:
    """Whether it says nothing of the destination."""
    return isinstance(
        condition,
        Source | SourcePort | InInterface | OutInterface | Mark | Probability | SourceLocal,
    )
