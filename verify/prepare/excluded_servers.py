"""Virtual servers that are other people's (``ipvs.excludeCIDRs``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from svcc.grammar.address import Network
from svcc.grammar.iptables.ruleset import RuleSet


def without_others(rules: RuleSet, excluded: Iterable[Network]) -> RuleSet:
    """The rule set without virtual servers whose addresses are other people's."""
    networks = tuple(excluded)
    ipvs = rules.ipvs
    if ipvs is None or not networks:
        return rules
    servers = {
        key: server
        for key, server in ipvs.servers.items()
        if not key.protocol
        or not any(n.family is key.family and key.address & n.mask == n.value for n in networks)
    }
    return replace(rules, ipvs=replace(ipvs, servers=servers))
