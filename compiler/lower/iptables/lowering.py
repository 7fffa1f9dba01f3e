"""Lowering to iptables: one tree from a packet's destination to its backend.

The shape and the reasons for it are in ``docs/architecture.md``. What each rule must achieve
is kube-proxy's behaviour (pkg/proxy/iptables/proxier.go); how it is laid out is not.
"""

from __future__ import annotations

from svcc.compiler.lower.iptables.filter import FilterTable
from svcc.compiler.lower.iptables.nat import NatTable
from svcc.compiler.lower.shared.chains import Branches, Chains
from svcc.compiler.resolve.forwarding import Forwarding
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Program

MAX_DEPTH = 15
"""Chains below a base chain that nf_tables allows (NFT_JUMP_STACK_SIZE, 16, counts the base)."""
GOOD_DEPTH = 12
"""Deeper than this, wider nodes are tried."""
BRANCHES = (Branches(8, 8, 4), Branches(16, 16, 8), Branches(64, 64, 64))


class TooDeepError(Exception):
    """The tree of chains cannot be laid out within the kernel's limit."""


def lower(forwarding: Forwarding, *, comments: bool = True) -> dict[Family, Program]:
    """The rule programs of both families.

    A packet goes through the root, the levels of the address tree, those of the port tree of
    an address with many ports, at most three chains of its frontend, and the levels of the
    choice among many backends. With the narrowest nodes, 2**20 addresses of one port each are
    9 levels at the very worst, 13 chains in all, so wider ones are tried; 10,000 are 6 levels,
    10 chains. With the widest nodes 2**20 addresses are 4 levels, all ports of one address 3
    and 2**20 backends 3: at most 14 chains if everything comes at once.

    Raises:
        TooDeepError: beyond these numbers, even the widest nodes leave the tree too deep.
    """
    return {family: _family(forwarding, family, comments) for family in Family}


def _family(forwarding: Forwarding, family: Family, comments: bool) -> Program:
    deepest = 0
    for branches in BRANCHES:
        tables = [
            FilterTable(Chains("filter", family, branches, comments=comments), forwarding).write(),
            NatTable(Chains("nat", family, branches, comments=comments), forwarding).write(),
        ]
        deepest = max(chains.depth() for chains in tables)
        if deepest <= GOOD_DEPTH:
            break
    if deepest > MAX_DEPTH:
        raise TooDeepError(f"the {family.label} rules need more than {MAX_DEPTH} nested chains")
    return Program(family, {chains.table: chains.finish() for chains in tables})
