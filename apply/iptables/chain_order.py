"""The order in which a script declares its chains.

Any order loads the same rules. But iptables-nft-restore 1.8.9 looks chains up in a linked
list sorted by name, and iptables-nft-save sorts what it reads by a quicksort that takes the
first element as its pivot. The first is fast if neighbours by name are near each other in
memory, the second if the list does not come sorted. With 12,500 chains and 60,000 rules, CPU
seconds to load and to save: random order 5.6 and 0.3, by name 2.5 and 1.5, by name reversed
2.0 and 1.5, this one 2.3 and 0.35. To iptables-legacy it is all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

_BLOCK = 64


def declaration_order(chains: Iterable[str]) -> list[str]:
    """Blocks of neighbours, each reversed; the middle block first, then either half so."""
    names = sorted(chains)
    blocks = [names[i : i + _BLOCK][::-1] for i in range(0, len(names), _BLOCK)]
    ordered: list[str] = []
    waiting = [(0, len(blocks))]
    while waiting:
        first, end = waiting.pop()
        if first < end:
            middle = (first + end) // 2
            ordered += blocks[middle]
            waiting += [(first, middle), (middle + 1, end)]
    return ordered
