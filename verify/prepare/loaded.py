"""Rules with the name of what they were read from."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.grammar.iptables.ruleset import RuleSet


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """One family's rules, and the name of the text that they were read from."""

    rules: RuleSet
    source: str
