"""Rules as the symbolic model sees them: conditions and one action, indexed per chain.

A condition is a tuple whose first member names its kind; equal conditions are equal tuples,
which is what slices are compared by. A match outside the model becomes an ``unknown``
condition: true or false, the proof has to hold both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from svcc.grammar.address import Family, prefix_mask
from svcc.grammar.iptables.program import (
    PROBABILITY_ONE,
    AddressMatch,
    AddrtypeMatch,
    BpfMatch,
    Comment,
    ConntrackMatch,
    Goto,
    IpvsMatch,
    Jump,
    MapMark,
    MarkMatch,
    Masquerade,
    Match,
    MultiportMatch,
    NatTarget,
    Notrack,
    OtherTarget,
    PortRange,
    RandomMatch,
    RecentMatch,
    Reject,
    Rule,
    SetMark,
    SetMatch,
    StateMatch,
    Target,
    TransportMatch,
    Verdict,
    VirtualServerMatch,
)
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.model.sets import IndexedSet, index_sets
from svcc.verify.model.virtual_servers import VirtualIndex, index_virtual
from svcc.verify.netfilter import bpf
from svcc.verify.netfilter.extensions import TCP_SYN, TRANSPORT_NUMBER, is_inert, only_counts

Condition = tuple[Any, ...]
Action = tuple[Any, ...]

NEVER: Condition = ("never",)


@dataclass(slots=True)
class Record:
    """One rule. ``service`` tells whether it counts as a rule of the service proxy.

    ``of_pods_that_leave``: it is the part of the rule that is about packets from this network
    (address and mask) to others; the rest of the rule is the next record.
    """

    rule: Rule
    table: str
    conditions: tuple[Condition, ...]
    action: Action
    service: bool = True
    of_pods_that_leave: tuple[int, int] | None = None


def exact_port(record: Record) -> int | None:
    """The one destination port without which the rule has no effect at all."""
    for condition in record.conditions:
        if condition[0] == "recent" and condition[1] != "rcheck":
            return None
        if condition[0] == "dport" and condition[1] == condition[2] and not condition[3]:
            return int(condition[1])
    return None


@dataclass(slots=True)
class ChainIndex:
    """Which rules of a chain can match a given destination address or port."""

    by_destination: dict[int, dict[int, list[int]]] = field(default_factory=dict)
    """mask → masked address → positions of rules with that positive ``-d``."""
    any_destination: list[int] = field(default_factory=list)
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
        destination = next((c for c in record.conditions if c[0] == "dst" and not c[3]), None)
        if destination is None:
            index.any_destination.append(position)
        else:
            masked = index.by_destination.setdefault(destination[2], {})
            masked.setdefault(destination[1], []).append(position)
        port = exact_port(record)
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
            records = [translate(rule, table, rules.family) for rule in chain.rules]
            tracks_all &= all(record.action is not _NOTRACK for record in records)
            indexed[name] = index_chain(name, chain.policy, records)
        tables[table] = indexed
    return IndexedRules(rules.family, tables, tracks_all, index_sets(rules), index_virtual(rules))


def translate(rule: Rule, table: str, family: Family) -> Record:
    """One rule's conditions and action."""
    conditions: list[Condition] = []
    if rule.source is not None:
        conditions.append(_address("src", rule.source))
    if rule.destination is not None:
        conditions.append(_address("dst", rule.destination))
    if rule.in_interface is not None:
        conditions.append(("iif", rule.in_interface.name, rule.in_interface.negated))
    if rule.out_interface is not None:
        conditions.append(("oif", rule.out_interface.name, rule.out_interface.negated))
    if rule.protocol is not None and rule.protocol.number:
        conditions.append(_protocol(rule.protocol.number, rule.protocol.negated))
    if rule.fragment:
        conditions.append(NEVER)
    for match in rule.matches:
        if table == "raw" and isinstance(match, ConntrackMatch | StateMatch):
            conditions.append(_before_tracking(match))
        elif type(match) is not Comment:
            _translate_match(match, family, conditions)
    return Record(rule, table, tuple(conditions), _action(rule.target))


# Equal conditions are one tuple where there are few of them: rules come in tens of thousands.
@lru_cache(maxsize=512)
def _protocol(number: int, negated: bool) -> Condition:
    return ("proto", number, negated)


@lru_cache(maxsize=4096)
def _port_range(kind: str, ports: PortRange) -> Condition:
    return (kind, ports.first, ports.last, ports.negated)


def _address(kind: str, match: AddressMatch) -> Condition:
    return (kind, match.address & match.mask, match.mask, match.negated)


def _translate_match(match: Match, family: Family, into: list[Condition]) -> None:
    if only_counts(match):
        return
    if isinstance(match, TransportMatch):
        protocol = _protocol(TRANSPORT_NUMBER[match.protocol], False)
        if protocol not in into:
            into.append(protocol)
        if match.source_ports is not None:
            into.append(_port_range("sport", match.source_ports))
        if match.destination_ports is not None:
            into.append(_port_range("dport", match.destination_ports))
        flags = match.tcp_flags
        if flags is not None and (TCP_SYN & flags.mask == flags.compare) == flags.negated:
            into.append(NEVER)
    elif isinstance(match, MultiportMatch):
        ranges = tuple((r.first, r.last) for r in match.ranges)
        if match.which == "dports" and len(ranges) == 1:
            into.append(("dport", *ranges[0], match.negated))
        else:
            into.append((match.which, ranges, match.negated))
    elif isinstance(match, MarkMatch):
        into.append(("mark", match.value, match.mask, match.negated))
    elif isinstance(match, StateMatch):
        into.append(("state", tuple(sorted(match.states)), match.negated))
    elif isinstance(match, ConntrackMatch):
        _translate_conntrack(match, into)
    elif isinstance(match, AddrtypeMatch):
        _translate_addrtype(match, into)
    elif isinstance(match, RandomMatch):
        threshold = match.threshold
        if threshold in (0, PROBABILITY_ONE):
            if (threshold == 0) != match.negated:
                into.append(NEVER)
        else:
            into.append(("random", PROBABILITY_ONE - threshold if match.negated else threshold))
    elif isinstance(match, RecentMatch):
        full = prefix_mask(family, family.bits)
        plain = not (
            match.hitcount is not None
            or match.rttl
            or match.by_destination
            or match.mask not in (None, full)
            or match.operation == "remove"
        )
        if plain:
            into.append(("recent", match.operation, match.name, match.seconds, match.negated))
        else:
            into.append(("unknown", repr(match)))
    elif isinstance(match, BpfMatch):
        condition = bpf.condition(match.instructions, family)
        if condition is None:
            into.append(("unknown", "bpf"))
        elif condition is False:
            into.append(NEVER)
        elif condition is not True:
            into.append(("bpf", condition))
    elif isinstance(match, SetMatch):
        into.append(("set", match.name, match.flags, match.negated))
    elif isinstance(match, IpvsMatch):
        into.append(("ipvs", match.negated))
    elif isinstance(match, VirtualServerMatch):
        into += _virtual_server(match)
    else:
        into.append(("unknown", repr(match)))


def _virtual_server(match: VirtualServerMatch) -> Iterator[Condition]:
    """IPVS has sent the packet on; what it had been addressed to is as it came to IPVS.

    xt_ipvs.c, ipvs_mt, finds the connection by the client: not behind a rewritten source.
    """
    yield ("ipvs", False)
    yield ("state", ("SNAT",), True)
    if match.protocol is not None:
        yield _protocol(match.protocol.number, match.protocol.negated)
    if match.address is not None:
        yield _address("vdst", match.address)
    if match.port is not None:
        yield _port_range("vport", match.port)


def _translate_conntrack(match: ConntrackMatch, into: list[Condition]) -> None:
    if match.states is not None:
        into.append(("state", tuple(sorted(match.states)), match.states_negated))
    details = _details(match)
    untracked: Condition = ("state", ("UNTRACKED",), False)
    if match.states is None:
        into += [*details, ("state", ("UNTRACKED",), True)]
    elif ("UNTRACKED" in match.states) != match.states_negated:
        # xt_conntrack.c, conntrack_mt: without a connection the state part alone decides.
        into += [("any", (detail, untracked), False) for detail in details]
    else:
        into += details


def _details(match: ConntrackMatch) -> list[Condition]:
    found: list[Condition] = []
    if match.original_source is not None:
        found.append(_address("osrc", match.original_source))
    if match.original_destination is not None:
        found.append(_address("odst", match.original_destination))
    if match.original_destination_ports is not None:
        found.append(_port_range("odport", match.original_destination_ports))
    if match.direction == "REPLY":
        found.append(NEVER)
    return found


def _before_tracking(match: ConntrackMatch | StateMatch) -> Condition:
    """A question about the connection in ``raw``, where only what comes in on loopback after
    the node has sent it has one (NF_IP_PRI_RAW is before NF_IP_PRI_CONNTRACK)."""
    if isinstance(match, StateMatch):
        return ("connection", tuple(sorted(match.states)), match.negated, ())
    states = None if match.states is None else tuple(sorted(match.states))
    return ("connection", states, match.states_negated, tuple(_details(match)))


def _translate_addrtype(match: AddrtypeMatch, into: list[Condition]) -> None:
    if match.limit_interface is not None:
        into.append(("unknown", repr(match)))
        return
    for kind, negated, name in (
        (match.source_type, match.source_negated, "srclocal"),
        (match.destination_type, match.destination_negated, "dstlocal"),
    ):
        if kind == "LOCAL":
            into.append((name, negated))
        elif kind is not None:
            into.append(("unknown", f"addrtype {name[:3]} {kind}", negated))


_NOTHING: Action = ("nothing",)
_NOTRACK: Action = ("notrack",)


def _action(target: Target | None) -> Action:
    if target is None:
        return _NOTHING
    if isinstance(target, Jump):
        return ("jump", target.chain)
    if isinstance(target, Goto):
        return ("goto", target.chain)
    if isinstance(target, Verdict):
        return (target.name.lower(),)
    if isinstance(target, Reject):
        return ("reject",)
    if isinstance(target, SetMark):
        return ("mark", target.value, target.mask)
    if isinstance(target, Notrack):
        return _NOTRACK
    if isinstance(target, MapMark):
        return ("map-mark", target.name, target.flags)
    if isinstance(target, Masquerade) or (isinstance(target, NatTarget) and target.name == "SNAT"):
        return ("masquerade", *_new_source(target))
    if isinstance(target, NatTarget):
        one_address = target.last_address in (None, target.first_address)
        one_port = target.last_port in (None, target.first_port)
        if target.first_address is None or not one_address or not one_port:
            return ("unknown", target.name)
        return ("dnat", target.first_address, target.first_port)
    if isinstance(target, OtherTarget) and is_inert(target):
        return _NOTHING
    return ("unknown", target.name)


def _new_source(target: Masquerade | NatTarget) -> tuple[str | int, str | int]:
    """What a target writes as the source: an address, ``own`` or ``any``; a port, ``same`` or
    ``any``."""
    address: str | int = "own"
    if isinstance(target, NatTarget):
        one = target.last_address in (None, target.first_address)
        address = "any" if target.first_address is None or not one else target.first_address
    if target.first_port is not None:
        one = target.last_port in (None, target.first_port)
        return address, target.first_port if one else "any"
    return address, "any" if target.random or target.random_fully else "same"
