"""Rule sets that share with another all that is the same in both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import Chain, RuleSet

ChainName = tuple[str, str]
"""Table and chain."""


def with_chains(rules: RuleSet, changed: Iterable[tuple[str, Chain]]) -> RuleSet:
    """The rule set with some chains of a table put in the place of those of the same name, or
    behind all others; ``rules`` is not changed.
    """
    tables = dict(rules.tables)
    copied: set[str] = set()
    for table, chain in changed:
        if table not in copied:
            tables[table] = dict(tables.get(table, {}))
            copied.add(table)
        tables[table][chain.name] = chain
    return replace(rules, tables=tables) if copied else rules


def with_rules(rules: RuleSet, changed: Mapping[ChainName, Mapping[int, Rule]]) -> RuleSet:
    """The rule set with other rules at some positions of some chains; ``rules`` is not changed."""
    found = []
    for (table, name), at in changed.items():
        chain = rules.tables[table][name]
        new = [at.get(position, rule) for position, rule in enumerate(chain.rules)]
        found.append((table, Chain(name, chain.policy, new)))
    return with_chains(rules, found)
