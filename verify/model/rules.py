"""Rules as the symbolic model sees them: conditions and one action, indexed per chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.model.actions import Action, Notrack
from svcc.verify.model.conditions import (
    Condition,
    Destination,
    DestinationPort,
    OriginalDestination,
    Recent,
)
from svcc.verify.model.sets import IndexedSet, index_sets
from svcc.verify.model.translation import translate_action, translate_conditions
from svcc.verify.model.virtual_servers import VirtualIndex, index_virtual


@dataclass(slots=True)
class Record:
    """One rule. ``service`` tells whether it counts as a rule of the service proxy.

    ``but_for_pods``: it is the part of the rule that is about packets from this pod network
    (address and mask) to others, or about what nothing has translated; the rest of the rule is
    another record.
    """

    rule: Rule
    table: str
    conditions: tuple[Condition, ...]
    action: Action
    service: bool = True
    but_for_pods: tuple[int, int] | None = None


def exact_port(record: Record) -> int | None:
    """The one destination port without which the rule has no effect at all."""
    for condition in record.conditions:
        if isinstance(condition, DestinationPort):
            if condition.first == condition.last and not condition.negated:
                return condition.first
        elif isinstance(condition, Recent) and condition.records:
            return None
    return None


def required_network(record: Record) -> Destination | None:
    """The first network that the destination must lie in."""
    for condition in record.conditions:
        if isinstance(condition, Destination) and not condition.negated:
            return condition
    return None


def _required_original(record: Record) -> OriginalDestination | None:
    """The first network that the original destination must lie in; None where the rule records
    a client whether it does or not.
    """
    for condition in record.conditions:
        if isinstance(condition, OriginalDestination) and not condition.negated:
            return condition
        if isinstance(condition, Recent) and condition.records:
            return None
    return None


@dataclass(slots=True)
class ChainIndex:
    """Which rules of a chain can match a given destination address or port."""

    by_destination: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    """mask → masked address → positions of rules with that positive ``-d``."""
    any_destination: list[int] = field(default_factory=list)
    """Positions of the others."""
    any_destination_by_port: dict[int, list[int]] = field(default_factory=dict)
    """Of those, by the one ``--dport`` that they have …"""
    any_at_all: list[int] = field(default_factory=list)
    """… and those that have none either."""
    by_original: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    """As ``by_destination``, by what packets were addressed to before any translation; rules that
    are here are nowhere else."""
    by_port: dict[int, list[int]] = field(default_factory=dict)
    """port → positions of rules without ``-d`` … and with exactly that ``--dport``."""
    any_port: list[int] = field(default_factory=list)


@dataclass(slots=True)
class IndexedChain:
    """A chain's records. ``index`` is None where there are few."""

    name: str
    policy: str | None
    records: list[Record]
    index: ChainIndex | None = None


FEW_RECORDS = 8


def index_chain(name: str, policy: str | None, records: list[Record]) -> IndexedChain:
    """A chain of these records."""
    return IndexedChain(name, policy, records, _index(records))


def _index(records: list[Record]) -> ChainIndex | None:
    if len(records) <= FEW_RECORDS:
        return None
    index = ChainIndex()
    for position, record in enumerate(records):
        destination = required_network(record)
        port = exact_port(record)
        original = _required_original(record) if destination is None else None
        if original is not None:
            masked = index.by_original.setdefault(original.mask, {})
            masked.setdefault(original.address, []).append(position)
            continue
        if destination is not None:
            masked = index.by_destination.setdefault(destination.mask, {})
            masked.setdefault(destination.address, []).append(position)
        else:
            index.any_destination.append(position)
            if port is None:
                index.any_at_all.append(position)
            else:
                index.any_destination_by_port.setdefault(port, []).append(position)
        if port is None:
            index.any_port.append(position)
        else:
            index.by_port.setdefault(port, []).append(position)
    return index


@dataclass(slots=True)
class IndexedRules:
    """A rule set ready for slicing."""

    family: Family
    tables: dict[str, dict[str, IndexedChain]]
    tracks_all: bool
    """No rule exempts packets from connection tracking."""
    sets: Mapping[str, IndexedSet] = field(default_factory=dict)
    virtual: VirtualIndex | None = None


def index_rules(rules: RuleSet) -> IndexedRules:
    """Translate every rule and build the indexes."""
    tables: dict[str, dict[str, IndexedChain]] = {}
    tracks_all = True
    for table, chains in rules.tables.items():
        indexed: dict[str, IndexedChain] = {}
        for name, chain in chains.items():
            records = [
                Record(
                    rule,
                    table,
                    translate_conditions(rule, table, rules.family),
                    translate_action(rule.target),
                )
                for rule in chain.rules
            ]
            tracks_all &= not any(isinstance(record.action, Notrack) for record in records)
            indexed[name] = index_chain(name, chain.policy, records)
        tables[table] = indexed
    return IndexedRules(rules.family, tables, tracks_all, index_sets(rules), index_virtual(rules))
