"""A rule as it stands in the text that it was read from."""

from __future__ import annotations

from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.write import write_rule


def rule_words(rule: Rule, family: Family) -> str:
    """A rule as iptables-save prints it, or as ``nft list ruleset`` where it is one of nftables."""
    return write_rule(rule, family) if rule.written is None else str(rule.written)
