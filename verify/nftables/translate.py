"""A rule set of nftables as the rules that both models judge, for packets of one IP version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.grammar.address import Family
from svcc.grammar.iptables import program
from svcc.grammar.iptables.ruleset import Chain, RuleSet
from svcc.grammar.nftables.program import (
    Counter,
    Goto,
    Jump,
    Limit,
    Log,
    Match,
    Ruleset,
    Statement,
    Table,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.walks import reached
from svcc.verify.nftables.actions import outside
from svcc.verify.nftables.chains import ChainReader, chain_name
from svcc.verify.nftables.hooks import Standing, grouped, standing_of_iptables, standings
from svcc.verify.nftables.matching import Matching
from svcc.verify.nftables.sets import Filled, Written
from svcc.verify.nftables.spread import Spread

_SEEN = {Family.IPV4: ("ip", "inet", "netdev"), Family.IPV6: ("ip6", "inet", "netdev")}
"""Families of the tables that packets pass: bridge and arp are no way of routed packets."""


def translate(
    ruleset: Ruleset,
    family: Family,
    of_iptables: RuleSet | None = None,
    *,
    ties_turned: bool = False,
) -> RuleSet:
    """The rules that packets of a family pass, in the order in which they pass them.

    ``of_iptables``: rules of iptables that stand beside. ``ties_turned``: tables at one priority
    are passed in the order of the text, not the other way round.

    What is not in the model becomes a match or target that both models take for unknown, with the
    text and line that it comes from.
    """
    found = RuleSet(family)
    written = Written(family)
    spread = Spread(ruleset)
    found_standings = [
        each
        for table in ruleset.tables.values()
        if table.family in _SEEN[family] and "dormant" not in table.flags
        for chain in table.chains.values()
        if chain.base is not None
        for each in standings(table, chain, chain.base)
    ]
    beside = of_iptables.tables if of_iptables is not None else {}
    found_standings += [
        standing_of_iptables(place, hook)
        for place, chains in beside.items()
        for hook, chain in chains.items()
        if chain.policy is not None
    ]
    if of_iptables is not None:
        found.ipvs = of_iptables.ipvs
    readers: dict[object, _TableReader] = {}
    touching = [each for each in found_standings if each.known or _touches(each)]
    for group in grouped(touching, ties_turned=ties_turned):
        table = group[0].table
        if table is None:
            found.tables[group[0].place] = beside[group[0].place]
            continue
        reader = readers.get(table.key)
        if reader is None:
            reader = readers[table.key] = _TableReader(table, family, written, spread)
        name = f"{group[0].place} {table.family} {table.name}"
        number = 2
        while name in found.tables:
            name, number = f"{group[0].place} {table.family} {table.name} {number}", number + 1
        found.tables[name] = reader.chains(group)
    found.nft_sets = written.sets
    return found


class _TableReader:
    """Translates each chain of a table once."""

    def __init__(self, table: Table, family: Family, written: Written, spread: Spread) -> None:
        self._table = table
        matching = Matching(family, table, written, Filled(table, family), spread)
        self._reader = ChainReader(family, matching)
        self._known: dict[str, Chain] = {}

    def chains(self, group: Iterable[Standing]) -> dict[str, Chain]:
        """Some base chains, by their hooks, and all that they lead to."""
        found: dict[str, Chain] = {}
        pending: list[str] = []
        for each in group:
            if each.known:
                policy = (
                    "DROP" if each.chain.base and each.chain.base.policy == "drop" else "ACCEPT"
                )
                rules = self._reader.rules(each.chain.name, each.chain.rules)
                chain = Chain(each.hook, policy, rules)
            else:
                chain = Chain(each.hook, "ACCEPT", [_elsewhere(each)])
            found[each.hook] = chain
            pending += _goals(chain)
        while pending:
            name = pending.pop()
            if name in found:
                continue
            chain_there = self._chain(name)
            if chain_there is not None:
                found[name] = chain_there
                pending += _goals(chain_there)
        return found

    def _chain(self, name: str) -> Chain | None:
        known = self._known.get(name) or self._reader.parts.get(name)
        if known is not None:
            return known
        own = name.removeprefix("chain ")
        chain = self._table.chains.get(own)
        if chain is None or chain.base is not None:
            return None
        translated = Chain(chain_name(own), None, self._reader.rules(own, chain.rules))
        self._known[name] = translated
        return translated


def _goals(chain: Chain) -> Iterator[str]:
    for rule in chain.rules:
        target = rule.target
        if type(target) is program.Jump or type(target) is program.Goto:
            yield target.chain


class _Hooked:
    """The head of a base chain, as its text."""

    def __init__(self, each: Standing) -> None:
        self._each = each

    def __str__(self) -> str:
        base, table = self._each.chain.base, self._each.table
        assert base is not None
        assert table is not None
        return (
            f"table {table.family} {table.name}, chain {self._each.chain.name}: type {base.type} "
            f"hook {base.hook} priority {base.priority}"
        )


def _elsewhere(each: Standing) -> program.Rule:
    """What stands for a chain at a place that no model has."""
    hooked = _Hooked(each)
    return program.Rule(
        chain=each.chain.name,
        target=outside(str(hooked)),
        line=each.chain.line,
        written=hooked,
    )


def _touches(each: Standing) -> bool:
    """Whether a chain can do anything to a packet but accept it."""
    base = each.chain.base
    if base is not None and base.policy == "drop":
        return True
    assert each.table is not None
    return not all(
        _only_looks(statement)
        for chain in reached(each.table, each.chain)
        for rule in chain.rules
        for statement in rule.statements
    )


def _only_looks(statement: Statement) -> bool:
    if isinstance(statement, Verdict):
        return statement.name != "drop"
    if isinstance(statement, VerdictMap):
        return False
    return isinstance(statement, Match | Counter | Log | Limit | Jump | Goto)
