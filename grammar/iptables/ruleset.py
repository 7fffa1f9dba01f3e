"""What is loaded in the kernel after a restore script has run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.iptables.names import BUILT_IN_CHAINS
from svcc.grammar.iptables.program import ChainCommand, Goto, Jump, Program, Rule, Table
from svcc.grammar.ipvs.ipset import Sets
from svcc.grammar.ipvs.state import Ipvs


@dataclass(slots=True)
class Chain:
    """A chain as the kernel holds it; ``policy`` None: a user-defined chain."""

    name: str
    policy: str | None
    rules: list[Rule] = field(default_factory=list)
    by_destination: dict[int | None, list[int]] | None = field(
        default=None, compare=False, repr=False
    )
    """Positions of rules by their one destination, None for others; where readers note it."""


@dataclass(slots=True)
class RuleSet:
    """All tables of one family; ``ipvs``: what else the kernel holds, None for nothing.

    A table's name begins with its place in the kernel's order of hooks: ``nat``, or
    ``nat ip NAME`` for what a table of nftables has there. Those of one place are passed one after
    another, in the order in which they stand here. Base chains are named by their hooks.
    """

    family: Family
    tables: dict[str, dict[str, Chain]] = field(default_factory=dict)
    ipvs: Ipvs | None = None
    nft_sets: Sets = field(default_factory=dict)
    """Sets of nftables, as ipsets: by names that no ipset can have."""

    def at(self, place: str) -> list[str]:
        """The tables that stand at a place of the kernel's order, in their order."""
        return [table for table in self.tables if place_of(table) == place]

    @property
    def sets(self) -> Sets | None:
        """All sets that rules can ask for; None where nobody gave any."""
        if self.ipvs is None:
            return self.nft_sets or None
        return self.ipvs.sets | self.nft_sets if self.nft_sets else self.ipvs.sets


@lru_cache(maxsize=256)
def place_of(table: str) -> str:
    """Where a table stands in the kernel's order: ``raw``, ``mangle``, ``nat`` and so on."""
    return table.partition(" ")[0]


@lru_cache(maxsize=256)
def nft_table_of(table: str) -> str:
    """The family and name of the table of nftables that a table comes from; empty of iptables'."""
    return " ".join(table.split(" ")[1:3])


def rule_count(rules: RuleSet) -> int:
    """How many rules there are in all chains."""
    return sum(len(chain.rules) for chains in rules.tables.values() for chain in chains.values())


def load(program: Program, onto: RuleSet | None = None) -> RuleSet:
    """Run a restore script on nothing, or with ``--noflush`` on what is loaded.

    Without ``onto`` the tables that the script names are replaced whole, as
    iptables-restore(8) does. ``onto`` is not changed.

    Raises:
        InputError: a command that iptables-restore would refuse (a chain that does not exist,
            a rule to delete that is not there, a chain to delete that is in use).
    """
    result = RuleSet(program.family, {})
    if onto is not None:
        for name, chains in onto.tables.items():
            result.tables[name] = {
                chain.name: Chain(chain.name, chain.policy, list(chain.rules))
                for chain in chains.values()
            }
    problems: list[Problem] = []
    for table in program.tables.values():
        if table.name not in result.tables:
            result.tables[table.name] = {
                name: Chain(name, "ACCEPT") for name in BUILT_IN_CHAINS.get(table.name, ())
            }
        _run(table, result.tables[table.name], program.source, problems)
    if problems:
        raise InputError(problems)
    return result


def _run(table: Table, chains: dict[str, Chain], source: str, problems: list[Problem]) -> None:
    for declaration in table.chains.values():
        known = chains.get(declaration.name)
        if known is None:
            chains[declaration.name] = Chain(declaration.name, declaration.policy)
        elif known.policy is None:
            known.rules.clear()
        elif declaration.policy is not None:
            known.policy = declaration.policy

    def wrong(line: int, message: str) -> None:
        problems.append(Problem(Position(source, line, 1), message))

    for command in table.commands:
        if isinstance(command, ChainCommand):
            _run_chain_command(command, chains, wrong)
        else:
            _run_rule_command(command, chains, wrong)


def _run_chain_command(
    command: ChainCommand, chains: dict[str, Chain], wrong: Callable[[int, str], None]
) -> None:
    chain = chains.get(command.chain)
    if command.command == "-N":
        if chain is not None:
            wrong(command.line, f"chain {command.chain} exists already; leave out the -N")
        else:
            chains[command.chain] = Chain(command.chain, None)
        return
    if chain is None:
        wrong(command.line, f"no chain {command.chain} in this table; declare it first")
    elif command.command == "-F":
        chain.rules.clear()
    elif command.command == "-P":
        if chain.policy is None:
            wrong(command.line, f"{command.chain} is no built-in chain and has no policy")
        else:
            chain.policy = command.policy
    elif command.command == "-X":
        if chain.policy is not None:
            wrong(command.line, f"{command.chain} is a built-in chain and cannot be deleted")
        elif chain.rules:
            wrong(command.line, f"chain {command.chain} is not empty; flush it first (-F)")
        elif _is_used(command.chain, chains):
            wrong(command.line, f"a rule still jumps to chain {command.chain}; delete it first")
        else:
            del chains[command.chain]


def _is_used(name: str, chains: dict[str, Chain]) -> bool:
    return any(
        isinstance(rule.target, Jump | Goto) and rule.target.chain == name
        for chain in chains.values()
        for rule in chain.rules
    )


def _run_rule_command(
    rule: Rule, chains: dict[str, Chain], wrong: Callable[[int, str], None]
) -> None:
    chain = chains.get(rule.chain)
    if chain is None:
        wrong(rule.line, f"no chain {rule.chain} in this table; declare it first")
        return
    if isinstance(rule.target, Jump | Goto) and rule.command in ("-A", "-I"):
        target = chains.get(rule.target.chain)
        if target is None:
            wrong(rule.line, f"no chain {rule.target.chain} to jump to; declare it first")
            return
        if target.policy is not None:
            wrong(rule.line, f"cannot jump to the built-in chain {rule.target.chain}")
            return
    if rule.command == "-A":
        chain.rules.append(rule)
    elif rule.command == "-I":
        position = (rule.number or 1) - 1
        if position > len(chain.rules):
            wrong(rule.line, f"chain {rule.chain} has only {len(chain.rules)} rules")
            return
        chain.rules.insert(position, as_appended(rule))
    elif rule.command == "-D":
        wanted = as_appended(rule)
        if wanted not in chain.rules:
            wrong(rule.line, f"no such rule in chain {rule.chain} to delete")
            return
        chain.rules.remove(wanted)


def as_appended(rule: Rule) -> Rule:
    """The rule as ``iptables-save`` would list it: appended."""
    return Rule(
        chain=rule.chain,
        source=rule.source,
        destination=rule.destination,
        in_interface=rule.in_interface,
        out_interface=rule.out_interface,
        protocol=rule.protocol,
        fragment=rule.fragment,
        matches=rule.matches,
        target=rule.target,
        counters=rule.counters,
        line=rule.line,
    )
