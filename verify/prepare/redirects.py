"""REDIRECT: where it sends packets to (net/netfilter/nf_nat_redirect.c).

What the node sends goes to 127.0.0.1 or ::1, what comes in to the first address of the interface
that it came in on. Which that is nobody says, so the node's first address stands for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.program import Goto, Jump, NatTarget, Rule
from svcc.grammar.iptables.ruleset import Chain, RuleSet
from svcc.verify.prepare.sharing import ChainName, with_rules


def with_redirects(rules: RuleSet, addresses: Sequence[Address]) -> RuleSet:
    """The rule set with an address for each REDIRECT; it stays outside the model where none is
    known.
    """
    own = next((a.value for a in addresses if a.family is rules.family), None)
    loopback = 1 if rules.family is Family.IPV6 else (127 << 24) + 1
    incoming: set[str] | None
    changed: dict[ChainName, dict[int, Rule]] = {}
    for table in rules.at("nat"):
        incoming = None
        for name, chain in rules.tables[table].items():
            for position, rule in enumerate(chain.rules):
                target = rule.target
                if isinstance(target, NatTarget) and target.name == "REDIRECT":
                    if incoming is None:
                        incoming = _below(rules.tables[table], "PREROUTING")
                    address = own if name in incoming else loopback
                    new = replace(rule, target=replace(target, first_address=address))
                    changed.setdefault((table, name), {})[position] = new
    return with_rules(rules, changed)


def _below(chains: Mapping[str, Chain], base: str) -> set[str]:
    """The chains that a base chain leads to."""
    found: set[str] = set()
    pending = [base]
    while pending:
        name = pending.pop()
        if name in found or name not in chains:
            continue
        found.add(name)
        pending += [
            rule.target.chain for rule in chains[name].rules if isinstance(rule.target, Jump | Goto)
        ]
    return found
