"""How deep the chains may go, and how wide the trees must be for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from svcc.compiler.lower.shared.chains import Branches, Chains
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Program

MAX_DEPTH = 15
"""Chains below a base chain that nf_tables allows (NFT_JUMP_STACK_SIZE, 16, counts the base)."""
GOOD_DEPTH = 12
"""Deeper than this, wider nodes are tried."""
BRANCHES = (Branches(8, 8, 4), Branches(16, 16, 8), Branches(64, 64, 64))


class TooDeepError(Exception):
    """The tree of chains cannot be laid out within the kernel's limit."""


def shallow_enough(family: Family, tables: Callable[[Branches], Sequence[Chains]]) -> Program:
    """The program of one family, laid out with the narrowest nodes that are good enough.

    Args:
        family: whose rules.
        tables: lays out every table with nodes of the given width.

    Raises:
        TooDeepError: even the widest nodes leave the chains too deep.
    """
    for branches in BRANCHES:
        laid_out = tables(branches)
        deepest = max(chains.depth() for chains in laid_out)
        if deepest <= GOOD_DEPTH:
            break
    if deepest > MAX_DEPTH:
        raise TooDeepError(f"the {family.label} rules need more than {MAX_DEPTH} nested chains")
    return Program(family, {chains.table: chains.finish() for chains in laid_out})
