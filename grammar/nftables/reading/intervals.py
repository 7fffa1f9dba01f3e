"""Intervals in sets: what is one, and which of them overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.grammar.address import Network
from svcc.grammar.nftables.datatypes import Datatype
from svcc.grammar.nftables.program import Concatenation, Expression, Range

_INTERVALS = frozenset({Range, Network})


def is_interval(key: Expression) -> bool:
    """Whether a key, or a part of it, stands for more than one value."""
    if isinstance(key, Concatenation):
        return not _INTERVALS.isdisjoint(map(type, key.parts))
    return type(key) in _INTERVALS


def bounds(key: Expression, datatype: Datatype) -> tuple[int, int] | None:
    """The first and last number of a key; None where it is none."""
    match key:
        case Network():
            return key.value, key.value | ((1 << (key.family.bits - key.prefix_length)) - 1)
        case Range(first, last):
            low, high = datatype.number(first), datatype.number(last)
        case _:
            low = high = datatype.number(key)
    return None if low is None or high is None else (low, high)


def overlapping(keys: Iterable[Expression], datatype: Datatype) -> Iterator[Expression]:
    """Keys that share a value with one before them, as nft's sets of intervals do not take."""
    found = [(where, key) for key in keys if (where := bounds(key, datatype)) is not None]
    found.sort(key=lambda item: item[0])
    end = -1
    for (low, high), key in found:
        if low <= end:
            yield key
        end = max(end, high)
