"""Sets of addresses cut into parts that nothing tells apart."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from svcc.grammar.address import Family, Network

Interval = tuple[int, int]
"""First and last address."""


def interval(network: Network) -> Interval:
    """The addresses of a network."""
    size = 1 << (network.family.bits - network.prefix_length)
    return network.value, network.value + size - 1


def cells(family: Family, networks: Iterable[Network]) -> list[Interval]:
    """All addresses of a family, cut at the ends of networks."""
    last = (1 << family.bits) - 1
    starts = {0}
    for network in networks:
        if network.family is family:
            first, end = interval(network)
            starts.add(first)
            if end < last:
                starts.add(end + 1)
    ordered = sorted(starts)
    return [
        (start, following - 1)
        for start, following in zip(ordered, [*ordered[1:], last + 1], strict=True)
    ]


def without(whole: Iterable[Interval], taken: Iterable[Network]) -> list[Interval]:
    """Sorted disjoint intervals without the addresses of networks."""
    gone = list(united(interval(network) for network in taken))
    starts = [low for low, _ in gone]
    found = []
    for first, last in whole:
        start = first
        for low, high in gone[max(0, bisect_right(starts, first) - 1) :]:
            if low > last:
                break
            if high < start:
                continue
            if low > start:
                found.append((start, low - 1))
            start = high + 1
        if start <= last:
            found.append((start, last))
    return found


def first_in_both(parts: Sequence[Interval], cell: Interval) -> int | None:
    """The first address of a cell that lies in one of sorted disjoint intervals."""
    index = max(0, bisect_right(parts, cell[0], key=_start) - 1)
    for first, last in parts[index : index + 2]:
        low = max(first, cell[0])
        if low <= min(last, cell[1]):
            return low
    return None


def united(parts: Iterable[Interval]) -> Iterator[Interval]:
    """Intervals as sorted ones with gaps between them."""
    held: Interval | None = None
    for first, last in sorted(parts):
        if held is None:
            held = (first, last)
        elif first <= held[1] + 1:
            held = (held[0], max(held[1], last))
        else:
            yield held
            held = (first, last)
    if held is not None:
        yield held


def _start(part: Interval) -> int:
    return part[0]
