"""Runs: stretches of a chain that many regions see alike.

Other tools and people put hundreds of rules into the base chains. Where a stretch of them has
no jumps, returns, translations, sets or lists, what is left of it for a region depends only on
what its conditions can tell of the region's destination, so it is cut once for each such kind.
"""

from __future__ import annotations

from dataclasses import dataclass

from svcc.verify.model.rules import IndexedChain, Record
from svcc.verify.slicing.distinctions import Distinctions

SHORTEST = 16

_PLAIN_ACTIONS = frozenset(
    {"accept", "drop", "reject", "mark", "nothing", "notrack", "masquerade", "unknown"}
)
_BLIND_CONDITIONS = frozenset({"src", "sport", "iif", "oif", "mark", "random", "srclocal"})
_PLAIN_CONDITIONS = _BLIND_CONDITIONS | {"dst", "dport", "proto", "dstlocal"}


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
            records = chain.records[start:position]
            blind = all(c[0] in _BLIND_CONDITIONS for r in records for c in r.conditions)
            run = Run(start, position, blind, Distinctions.of_records(records))
            places[start:position] = [run] * (position - start)
        start = position + 1
    return places


def _is_plain(record: Record) -> bool:
    return record.action[0] in _PLAIN_ACTIONS and all(
        condition[0] in _PLAIN_CONDITIONS for condition in record.conditions
    )
