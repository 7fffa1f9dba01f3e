"""What is loaded: svcc's own part of a table as lines, and everybody else's as text.

Own are the chains named ``SVCC-…`` and, in all other chains, the rules that jump or go to
one. Foreign lines are kept as they are printed and are never parsed or written again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from svcc.apply.iptables.tool import Iptables
from svcc.apply.system.errors import ToolError
from svcc.grammar.address import Address, Family, parse_address

PREFIX = "SVCC-"
TABLES = ("mangle", "nat", "filter")

_ADDRESS_ALONE = re.compile(
    r" -j DNAT --to-destination ((?:\d+\.){3}\d+|[0-9a-f]*:[0-9a-f:.]*)$", re.IGNORECASE
)
_OWN_TARGET = re.compile(rf" -[jg] ({PREFIX}\S+)$")


@dataclass(slots=True)
class TableState:
    """One table. Rule lines are spelled ``-A CHAIN …``, in the order of the chain.

    ``chains`` has the rules of each own chain; ``others`` all rules, own jumps included, of
    each chain that is not ours; ``foreign`` what must survive untouched: declarations of
    other chains without counters, and their rules.
    """

    chains: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, list[str]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)

    def jumps(self, chain: str) -> list[str]:
        """The own rules of a chain that is not ours."""
        return [line for line in self.others.get(chain, ()) if own_target(line)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing here is svcc's own."""
        return not self.chains and not any(self.jumps(chain) for chain in self.others)


Tables = dict[str, TableState]
"""Table name to its state."""


def own_target(line: str) -> str | None:
    """The own chain that a rule line jumps or goes to, None if it does not."""
    if PREFIX not in line:
        return None
    found = _OWN_TARGET.search(line)
    return found[1] if found else None


def read_table(text: str) -> TableState:
    """Sort the lines of one table, as iptables-save prints it, by owner."""
    state = TableState()
    chains = state.chains
    own_rule = f"-A {PREFIX}"
    rules: list[str] = []
    same_chain = own_rule + " "  # no rule starts so
    for line in text.splitlines():
        if line.startswith(own_rule):
            if not line.startswith(same_chain):
                name = line.split(" ", 2)[1]
                same_chain, rules = f"-A {name} ", chains.setdefault(name, [])
            rules.append(line)
        elif line.startswith(":"):
            name, policy = line[1:].split(" ")[:2]
            if name.startswith(PREFIX):
                chains.setdefault(name, [])
            elif policy != "ACCEPT":
                # A built-in chain with the default policy is there whether printed or not:
                # nft has none before the first rule.
                state.foreign.append(f":{name} {policy}")
        elif line.startswith("-A "):
            state.others.setdefault(line.split(" ", 2)[1], []).append(line)
            if not own_target(line):
                state.foreign.append(line)
        elif line and not line.startswith(("#", "*")) and line != "COMMIT":
            state.foreign.append(line)
    return state


def read_family(tools: Iptables, family: Family) -> Tables:
    """Read the tables that svcc uses.

    Raises:
        ToolError: the family cannot be used on this node.
    """
    return {table: read_table(text) for table, text in tools.save(family, TABLES).items()}


def read_families(
    tools: Iptables, families: tuple[Family, ...]
) -> tuple[dict[Family, Tables], dict[Family, ToolError]]:
    """Read every family that can be read, and why the others cannot."""
    states: dict[Family, Tables] = {}
    failures: dict[Family, ToolError] = {}
    for family in families:
        try:
            states[family] = read_family(tools, family)
        except ToolError as error:
            failures[family] = error
    return states, failures


def served_by_nat(states: Mapping[Family, Tables]) -> frozenset[Family]:
    """The families whose nat rules, as far as they are svcc's, are those of iptables mode."""
    return frozenset(family for family, tables in states.items() if is_nat_mode(tables))


def is_nat_mode(tables: Tables) -> bool:
    """Whether the nat rules of svcc that are loaded are those of iptables mode.

    Those of ipvs mode ask in POSTROUTING whether IPVS has sent a packet on.
    """
    return any(tables["nat"].chains.values()) and not is_ipvs_mode(tables)


def is_ipvs_mode(tables: Tables) -> bool:
    """Whether the nat rules are svcc's of ipvs mode."""
    rules = tables["nat"].chains.values()
    return any(" -m ipvs " in line for lines in rules for line in lines)


def rewritten_to(states: Mapping[Family, Tables]) -> frozenset[Address]:
    """The addresses to which svcc's nat rules of ipvs mode send node ports, whatever the port."""
    lines = (
        line
        for tables in states.values()
        if is_ipvs_mode(tables)
        for rules in tables["nat"].chains.values()
        for line in rules
    )
    found = (_ADDRESS_ALONE.search(line) for line in lines)
    return frozenset(parse_address(match[1]) for match in found if match)


def holds_own_rules(tables: Mapping[str, TableState]) -> bool:
    """Whether any of the tables has something of svcc's."""
    return any(not state.is_empty for state in tables.values())
