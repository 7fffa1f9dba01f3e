"""Lowering to iptables: one tree from a packet's destination to its backend.

The shape and the reasons for it are in ``docs/architecture.md``. What each rule must achieve
is kube-proxy's behaviour (pkg/proxy/iptables/proxier.go); how it is laid out is not.
"""

from __future__ import annotations

from svcc.compiler.lower.iptables.filter import FilterTable
from svcc.compiler.lower.iptables.nat import NatTable
from svcc.compiler.lower.shared.chains import Branches, Chains
from svcc.compiler.lower.shared.depth import shallow_enough
from svcc.compiler.resolve.forwarding import Forwarding
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Program


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
    def tables(branches: Branches) -> list[Chains]:
        return [
            FilterTable(Chains("filter", family, branches, comments=comments), forwarding).write(),
            NatTable(Chains("nat", family, branches, comments=comments), forwarding).write(),
        ]

    return shallow_enough(family, tables)
