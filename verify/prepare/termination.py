"""The property that every walk through the rules ends.

The kernel refuses cycles of jumps (net/ipv4/netfilter/ip_tables.c mark_source_chains,
net/netfilter/nf_tables_api.c nft_chain_validate) and nf_tables allows no more than 16 nested
chains (NFT_JUMP_STACK_SIZE).
"""

from __future__ import annotations

from dataclasses import dataclass

from svcc.grammar.iptables.program import Goto, Jump, Rule
from svcc.grammar.iptables.ruleset import RuleSet

MAX_DEPTH = 15
"""Jumps and gotos below a base chain."""


@dataclass(frozen=True, slots=True)
class Endless:
    """Why a walk does not end, and the jumps that lead there: (chain, rule)."""

    table: str
    reason: str
    way: tuple[tuple[str, Rule], ...]


def check_ends(rules: RuleSet) -> list[Endless]:
    """Every cycle, missing chain or too deep nesting reachable from a base chain."""
    found: list[Endless] = []
    for table, chains in rules.tables.items():
        depth: dict[str, int] = {}
        jumps = {
            name: [
                (rule, rule.target.chain)
                for rule in chain.rules
                if isinstance(rule.target, Jump | Goto)
            ]
            for name, chain in chains.items()
        }
        for name, chain in chains.items():
            if chain.policy is not None:
                _walk(table, name, jumps, depth, [], found)
                if depth.get(name, 0) > MAX_DEPTH:
                    reason = (
                        f"{depth[name]} nested jumps below {name}; nf_tables allows {MAX_DEPTH}"
                    )
                    found.append(Endless(table, reason, tuple(_deepest(name, jumps, depth))))
    return found


def _walk(
    table: str,
    start: str,
    jumps: dict[str, list[tuple[Rule, str]]],
    depth: dict[str, int],
    way: list[tuple[str, Rule]],
    found: list[Endless],
) -> None:
    """Fill in ``depth`` below a chain, without recursion: a chain of jumps can be long."""
    open_chains: list[tuple[str, int]] = [(start, 0)]
    on_way: dict[str, None] = {start: None}
    while open_chains:
        chain, position = open_chains.pop()
        if position == len(jumps[chain]):
            depth[chain] = max((1 + depth.get(target, 0) for _, target in jumps[chain]), default=0)
            del on_way[chain]
            if way:
                way.pop()
            continue
        open_chains.append((chain, position + 1))
        rule, target = jumps[chain][position]
        if target not in jumps:
            reason = f"chain {target} does not exist"
            found.append(Endless(table, reason, (*way, (chain, rule))))
        elif target in on_way:
            reason = f"{chain} jumps back to {target}"
            found.append(Endless(table, reason, (*way, (chain, rule))))
        elif target not in depth:
            on_way[target] = None
            way.append((chain, rule))
            open_chains.append((target, 0))


def _deepest(
    chain: str, jumps: dict[str, list[tuple[Rule, str]]], depth: dict[str, int]
) -> list[tuple[str, Rule]]:
    way = []
    while jumps[chain]:
        rule, target = max(jumps[chain], key=lambda pair: depth.get(pair[1], 0))
        way.append((chain, rule))
        if depth.get(target, 0) >= depth[chain]:
            break
        chain = target
    return way
