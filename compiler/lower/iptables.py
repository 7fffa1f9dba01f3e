"""Lowering to iptables: one tree from a packet's destination to its backend.

The shape and the reasons for it are in ``docs/architecture.md``. What each rule must achieve
is kube-proxy's behaviour (pkg/proxy/iptables/proxier.go); how it is laid out is not.
"""

from __future__ import annotations

from svcc.compiler.ir import Forwarding
from svcc.compiler.lower.chains import Chains
from svcc.compiler.lower.filter import FilterTable
from svcc.compiler.lower.nat import NatTable
from svcc.grammar.address import Family
from svcc.grammar.program import Program

MAX_DEPTH = 15
"""Chains below a base chain that nf_tables allows (NFT_JUMP_STACK_SIZE)."""
WIDTHS = (8, 16, 64)


class TooDeepError(Exception):
    """The tree of chains cannot be laid out within the kernel's limit."""


def lower(forwarding: Forwarding, *, comments: bool = True) -> dict[Family, Program]:
    """The rule programs of both families.

    Depth: with at most 2**20 addresses a tree of 8 branches has at most 9 levels; with three
    chains of a frontend and three of the choice of a backend that is 15 chains at the very
    most. Should a rule set be deeper, wider nodes are used.

    Raises:
        TooDeepError: even the widest nodes leave the tree too deep.
    """
    return {family: _family(forwarding, family, comments) for family in Family}


def _family(forwarding: Forwarding, family: Family, comments: bool) -> Program:
    for width in WIDTHS:
        tables = [
            FilterTable(Chains("filter", family, comments=comments), forwarding, width).write(),
            NatTable(Chains("nat", family, comments=comments), forwarding, width).write(),
        ]
        if all(chains.depth() <= MAX_DEPTH for chains in tables):
            return Program(family, {chains.table: chains.finish() for chains in tables})
    raise TooDeepError(f"the {family.label} rules need more than {MAX_DEPTH} nested chains")
