"""Tables of nftables that iptables-nft made, which iptables-nft-save shows whole.

Source: iptables 1.8, iptables/nft.c (xtables_ipv4, xtables_ipv6: names of tables, chains and
priorities). What nft prints of them leaves out what iptables' extensions ask (``xt match``).
"""

from __future__ import annotations

from dataclasses import replace

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.iptables.names import BUILT_IN_CHAINS
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.grammar.nftables.program import OtherStatement, Ruleset, Table

_FAMILY = {Family.IPV4: "ip", Family.IPV6: "ip6"}


def is_of_iptables(table: Table) -> bool:
    """Whether a table has the name and the base chains of one of iptables."""
    names = BUILT_IN_CHAINS.get(table.name, ())
    bases = [chain for chain in table.chains.values() if chain.base is not None]
    return table.family in ("ip", "ip6") and bool(bases) and all(c.name in names for c in bases)


def without_tables_of_iptables(
    ruleset: Ruleset, family: Family, of_iptables: RuleSet | None, *, every: bool = False
) -> Ruleset:
    """The tables less those that iptables' own rules, where they are given, have too; with
    ``every`` less all that iptables made.

    Raises:
        InputError: one that they do not have asks what nft does not show.
    """
    kept = {}
    problems: list[Problem] = []
    given = of_iptables.tables if of_iptables is not None else {}
    for key, table in ruleset.tables.items():
        if table.family == _FAMILY[family] and is_of_iptables(table):
            if every or table.name in given:
                continue
            line = _hidden(table)
            if line is not None:
                tool = "iptables-nft-save" if family is Family.IPV4 else "ip6tables-nft-save"
                message = (
                    f"table {table.family} {table.name} was made by iptables, and nft does not "
                    f"show all of its rules; give what {tool} prints as well"
                )
                problems.append(Problem(Position(ruleset.source, line, 1), message))
        kept[key] = table
    if problems:
        raise InputError(problems)
    return replace(ruleset, tables=kept)


def _hidden(table: Table) -> int | None:
    """The line of a rule that nft does not show whole; None if there is none."""
    for chain in table.chains.values():
        for rule in chain.rules:
            for statement in rule.statements:
                if isinstance(statement, OtherStatement) and statement.text.startswith("xt "):
                    return rule.line
    return None
