"""Lowering to nftables: a constant number of rules, and an element for every frontend and backend.

A packet is looked up once by address, protocol and port, which tells the chain that it goes to;
there it is masqueraded or not, and looked up again with a random number for its backend. What is
refused or dropped is so where it is looked up, as a nat chain sees the first packet of each
connection and no other (nf_nat_core.c). Everything is in svcc's own tables.

What each rule must achieve is kube-proxy's behaviour (pkg/proxy/iptables/proxier.go); as in its
nftables mode, ports of a cluster IP that no Service has are refused, and packets to cluster IPs
that nobody has are dropped where the range of cluster IPs is known.
"""

from __future__ import annotations

from collections.abc import Iterable

from svcc.compiler.lower.nftables.frontends import (
    CLUSTER_IPS,
    HAIRPINS,
    NODE_PORTS,
    REFUSE,
    SERVICES,
    Frontends,
    local_node_ports,
)
from svcc.compiler.lower.nftables.selection import selected
from svcc.compiler.lower.nftables.table import TableWriter
from svcc.compiler.lower.nftables.terms import (
    INVALID,
    NEW,
    NODE_PORT,
    PROTOCOL,
    TERMS,
    TRANSLATED,
    UNKNOWN,
    clear_mark,
    interface,
    marked,
    protocol,
)
from svcc.compiler.lower.shared.dispatch import cut
from svcc.compiler.resolve.forwarding import Forwarding, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network
from svcc.grammar.nftables.program import (
    BaseChain,
    Concatenation,
    Field,
    Goto,
    Jump,
    Match,
    Nat,
    Reject,
    Ruleset,
    SetReference,
    Statement,
    Verdict,
    VerdictMap,
)
from svcc.grammar.numbers import TRANSPORTS

PREROUTING, OUTPUT, POSTROUTING = "nat-prerouting", "nat-output", "nat-postrouting"
INPUT, FORWARD, FILTER_OUTPUT = "filter-input", "filter-forward", "filter-output"
_BASE = {
    PREROUTING: BaseChain("nat", "prerouting", -100),
    OUTPUT: BaseChain("nat", "output", -100),
    POSTROUTING: BaseChain("nat", "postrouting", 100),
    INPUT: BaseChain("filter", "input", 0),
    FORWARD: BaseChain("filter", "forward", 0),
}
"""Priorities are those of iptables' tables, as in kube-proxy's nftables mode."""
_TO_SERVICES, _TO_NODE_PORTS, _HAIRPIN = "to-services", "to-node-ports", "hairpin"
_UNALLOCATED = "unallocated"
_MAX_GATES = 8
_DROP = Verdict("drop")
_MASQUERADE = Nat("masquerade", flags=("fully-random",))


def lower(forwarding: Forwarding, *, comments: bool = True) -> Ruleset:
    """The tables of both families."""
    made = Ruleset()
    for family in Family:
        table = TableWriter(TERMS[family].word, comments=comments)
        _declare_bases(table)
        add_frontends(table, forwarding.of(family), family, forwarding.settings)
        add_shared(table, forwarding, family)
        made.add(table.table)
    return made


def _declare_bases(table: TableWriter) -> None:
    for name, base in _BASE.items():
        table.base(name, base)


def add_frontends(
    table: TableWriter, services: Iterable[ServicePort], family: Family, settings: NodeSettings
) -> None:
    """Add what is there for these Service ports alone, and the chains that it leads to."""
    frontends = Frontends(table, TERMS[family], settings)
    for service in services:
        frontends.add(service)


def add_shared(table: TableWriter, forwarding: Forwarding, family: Family) -> None:
    """Add the chains that packets begin in, by what all Service ports have added."""
    _Shared(table, forwarding, family).write()


SHARED_CHAINS = (*_BASE, FILTER_OUTPUT, _TO_SERVICES, _TO_NODE_PORTS, _HAIRPIN, _UNALLOCATED)
"""The chains that :func:`add_shared` makes."""


class _Shared:
    def __init__(self, table: TableWriter, forwarding: Forwarding, family: Family) -> None:
        self._forwarding = forwarding
        self._settings = forwarding.settings
        self._terms = TERMS[family]
        self._table = table

    def write(self) -> None:
        _declare_bases(self._table)
        if self._table.has(SERVICES):
            self._services()
        self._postrouting()
        self._filter()

    def _services(self) -> None:
        table, terms = self._table, self._terms
        for base in (PREROUTING, OUTPUT):
            table.rule(base, Jump(_TO_SERVICES))
        rules: list[tuple[Statement, ...]] = [(VerdictMap(terms.frontend, SetReference(SERVICES)),)]
        if table.has(NODE_PORTS):
            loopback = self._settings.loopback_node_ports(terms.family)
            table.chain(_TO_NODE_PORTS, (VerdictMap(NODE_PORT, SetReference(NODE_PORTS)),))
            to_node_ports = Jump(_TO_NODE_PORTS)
            rules += [
                (*where, to_node_ports) for where in selected(terms, self._settings, loopback=False)
            ]
            if loopback:
                # Nobody but the node itself reaches node ports there.
                for where in selected(terms, self._settings, loopback=True):
                    table.rule(OUTPUT, *where, to_node_ports)
        refuse = table.chain(REFUSE, (Reject(),))
        rules.append((Match(terms.destination, "==", SetReference(CLUSTER_IPS)), Goto(refuse)))
        table.chain(_TO_SERVICES, *rules)

    def _postrouting(self) -> None:
        table, terms = self._table, self._terms
        mark = self._settings.masquerade_mark
        # Cleared, or a tunnel that copies the mark would have the outer packet masqueraded.
        table.rule(POSTROUTING, marked(mark), clear_mark(mark), _MASQUERADE)
        if not table.has(HAIRPINS):
            return
        ends = Concatenation((terms.source, terms.destination))
        to_itself = Match(ends, "==", SetReference(HAIRPINS))
        # Other people's translations are left alone: only what was sent to a frontend counts.
        rules: list[tuple[Statement, ...]] = [
            (Match(terms.original_destination, "==", terms.network(gate)), _MASQUERADE)
            for gate in self._gates()
        ]
        rules += [
            (
                Match(PROTOCOL, "==", protocol(number)),
                Match(Field("ct original proto-dst"), "==", SetReference(local_node_ports(number))),
                _MASQUERADE,
            )
            for number in TRANSPORTS.values()
            if table.has(local_node_ports(number))
        ]
        hairpin = Jump(table.chain(_HAIRPIN, *rules))
        table.rule(POSTROUTING, TRANSLATED, to_itself, hairpin)

    def _gates(self) -> list[Network]:
        """A few prefixes that hold the addresses of all frontends."""
        family = self._terms.family
        addresses = {
            address
            for service in self._forwarding.of(family)
            for address in (
                service.cluster_ip, *service.external_addresses, *service.balancer_addresses,
            )
        }  # fmt: skip
        parts = cut(sorted(addresses), family.bits, _MAX_GATES)
        return [Network(family, part.prefix, part.length) for part in parts]

    def _filter(self) -> None:
        table, terms = self._table, self._terms
        if terms.family is Family.IPV4 and self._forwarding.loopback_node_ports:
            # route_localnet, which node ports there need, lets neighbours in.
            elsewhere = interface("lo", negated=True)
            table.rule(INPUT, elsewhere, terms.to_loopback, UNKNOWN, _DROP)
        if not self._settings.tcp_be_liberal:
            # A packet that conntrack does not place is not translated back either; the peer
            # would answer it with a reset and end a good connection.
            table.rule(FORWARD, INVALID, _DROP)
        unallocated = [n for n in self._forwarding.unallocated if n.family is terms.family]
        if not unallocated:
            return
        # Here and not where a frontend is looked up: other tables may translate such a packet.
        rules = [(Match(terms.destination, "==", terms.network(n)), _DROP) for n in unallocated]
        table.chain(_UNALLOCATED, *rules)
        table.base(FILTER_OUTPUT, BaseChain("filter", "output", 0))
        for base in (FORWARD, FILTER_OUTPUT):
            table.rule(base, NEW, Jump(_UNALLOCATED))
