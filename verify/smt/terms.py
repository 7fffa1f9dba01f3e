"""Conditions on a packet as SMT-LIB terms."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import assert_never

from svcc.grammar.address import Family
from svcc.verify.model.conditions import (
    AnyOf,
    Bpf,
    Connection,
    Destination,
    DestinationLocal,
    DestinationPort,
    Detail,
    InInterface,
    Mark,
    Never,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    OutInterface,
    PortList,
    Probability,
    Protocol,
    SentByIpvs,
    Source,
    SourceLocal,
    SourcePort,
    State,
    Unknown,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.netfilter import bpf
from svcc.verify.slicing.schema import Schema
from svcc.verify.slicing.schema_conditions import (
    DestinationHost,
    DestinationHosts,
    NumberedDestinationPort,
    NumberedDestinationPorts,
    NumberedEndpoints,
    NumberedEntries,
    NumberedEntryPart,
    NumberedOriginalPort,
    NumberedRecent,
    NumberedVirtualPort,
    OriginalDestinationHost,
    OriginalSourceHost,
    SchemaPredicate,
    SentFromNode,
    SourceHost,
    VirtualDestinationHost,
)
from svcc.verify.smt.packet_variables import PORT, Interface, Variable, packet_variables
from svcc.verify.smt.script import Script
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    TRUE,
    Sort,
    Term,
    between,
    bit_vector,
    bits,
    boolean,
    conjunction,
    disjunction,
    distinct,
    equal,
    exclusive_or,
    extract,
    has_value,
    implies,
    in_network,
    ite,
    negate,
)
from svcc.verify.spec.outcomes import DroppedByMark


class Terms:
    """Declarations and assertions about one packet, and the terms that its conditions become.

    The packet's present destination, mark and interfaces change as it passes the hooks; the
    attributes that say what they are by now belong to the class that walks the chains.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.width = schema.family.bits
        self.script = Script()
        self.distinct: list[Term] = []
        """That different numbers stand for different values: few proofs need it."""
        self.recorded: dict[int, Term] = {}
        self.recent: dict[tuple[int, int | None], Term] = {}
        self.interfaces: dict[str, int] = {"lo": 0}
        self.free: list[Term] = []
        self.packet = packet_variables(self.width)
        self._hosts: dict[int, Term] = {}
        self._ports: dict[int, Term] = {}
        self._masquerades: list[Term] = []
        self._counter = 0
        self.marks_that_matter = schema.mark | tested_marks(schema)
        self.patterns: dict[tuple[Variable, str], Term] = {}
        self._untracked = FALSE
        self._translated = FALSE
        self._sent_on = FALSE
        self._in_interface: Interface = "none"
        self._out_interface: Interface = "none"
        self._destination = self.packet.dst
        self._source = self.packet.src
        self._source_port = self.packet.sport
        self._source_local = boolean(schema.from_node)
        self._new_source = FALSE
        """Source or source port are no longer those that the packet came with."""
        self._moved = FALSE
        """The source address is no longer the one that the packet came with."""
        self._looped = False
        self._routed_local: Term | None = None
        """Whether the interface was chosen for a local destination; None: for the present one."""
        self._port = self.packet.dport
        self._virtual_destination, self._virtual_port = self.packet.dst, self.packet.dport
        """What the packet was addressed to when it came to IPVS."""
        self._local = self.packet.local
        self.mark_bits: dict[int, Term] = {}
        """What the bits of the mark are by now; one that is not here is as the packet came."""

    @property
    def declared(self) -> Mapping[str, Term]:
        """The free constants so far, by name."""
        return self.script.declared

    def host(self, number: int) -> Term:
        """The name of a numbered address."""
        known = self._hosts.get(number)
        if known is None:
            known = self._hosts[number] = self._declare(f"H{number}", bit_vector(self.width))
        return known

    def port(self, number: int) -> Term:
        """The name of a numbered port."""
        known = self._ports.get(number)
        if known is None:
            known = self._ports[number] = self._declare(f"P{number}", PORT)
        return known

    def address(self, value: int) -> Term:
        """A literal address."""
        return bits(value, self.width)

    @property
    def destination(self) -> Term:
        """The packet's destination, as it is by now."""
        return self._destination

    @property
    def destination_port(self) -> Term:
        """The packet's destination port, as it is by now."""
        return self._port

    def add_interface_axioms(self) -> None:
        """Once more what is known of interfaces, after others have been named."""
        self._interface_axioms()

    @property
    def sent_elsewhere(self) -> Term:
        """DNAT or IPVS has changed the destination. DNAT to where the packet goes anyway does not
        (net/netfilter/nf_nat_core.c, nf_nat_setup_info)."""
        return disjunction([self._translated, self._sent_on])

    def define(self, term: Term) -> Term:
        """A fresh name for a term, unless that is short."""
        if not term.arguments:
            return term
        self._counter += 1
        return self.script.define(f"t{self._counter}", term)

    # -- conditions --------------------------------------------------------------------

    def _one(self, condition: SchemaPredicate) -> Term:
        match condition:
            case Source(address, mask, negated):
                return self._is_src(address, mask, negated)
            case Destination(address, mask, negated):
                return self._is_dst(address, mask, negated)
            case OriginalSource(address, mask, negated):
                return self._is_osrc(address, mask, negated)
            case OriginalDestination(address, mask, negated):
                return self._is_odst(address, mask, negated)
            case SourceHost(host, negated):
                return self._is_src_host(host, negated)
            case DestinationHost(host, negated):
                return self._is_dst_host(host, negated)
            case OriginalSourceHost(host, negated):
                return self._is_osrc_host(host, negated)
            case OriginalDestinationHost(host, negated):
                return self._is_odst_host(host, negated)
            case DestinationHosts(hosts, negated):
                return self._is_dst_in(hosts, negated)
            case Protocol(number, negated):
                return self._is_proto(number, negated)
            case SourcePort(first, last, negated):
                return self._is_sport(first, last, negated)
            case DestinationPort(first, last, negated):
                return self._is_dport(first, last, negated)
            case OriginalPort(first, last, negated):
                return self._is_odport(first, last, negated)
            case NumberedDestinationPort(port, negated):
                return self._is_dport_number(port, negated)
            case NumberedDestinationPorts(ports, negated):
                return self._is_dport_in(ports, negated)
            case NumberedOriginalPort(port, negated):
                return self._is_odport_number(port, negated)
            case VirtualDestination(address, mask, negated):
                return self._is_vdst(address, mask, negated)
            case VirtualDestinationHost(host, negated):
                return self._is_vdst_host(host, negated)
            case VirtualPort(first, last, negated):
                return self._is_vport(first, last, negated)
            case NumberedVirtualPort(port, negated):
                return self._is_vport_number(port, negated)
            case PortList():
                return self._port_list(condition)
            case SentFromNode(negated):
                return self._is_node(negated)
            case SourceLocal(negated):
                return self._is_srclocal(negated)
            case DestinationLocal(negated):
                return self._is_dstlocal(negated)
            case InInterface(name, negated):
                return self._is_iif(name, negated)
            case OutInterface(name, negated):
                return self._is_oif(name, negated)
            case Mark(value, mask, negated):
                return self._is_mark(value, mask, negated)
            case State(states, negated):
                return self._is_state(states, negated)
            case Connection(states, negated, details):
                return self._is_connection(states, negated, details)
            case SentByIpvs(negated):
                return self._is_ipvs(negated)
            case NumberedEntries(entries, negated):
                return self._is_members(entries, negated)
            case NumberedEndpoints(endpoints, negated):
                return self._is_place(endpoints, negated)
            case Probability(threshold):
                return self._is_random(threshold)
            case Bpf(program):
                return self._is_bpf(program)
            case AnyOf(parts, negated):
                return negate(disjunction([self._one(part) for part in parts]), negated)
            case Never():
                return FALSE
            case Unknown(what, negated):
                return self._is_unknown(what, negated)
            case _:
                assert_never(condition)

    def _port_list(self, condition: PortList) -> Term:
        match condition.which:
            case "sports":
                return self._is_sports(condition.ranges, condition.negated)
            case "dports":
                return self._is_dports(condition.ranges, condition.negated)
            case "ports":
                return self._is_ports(condition.ranges, condition.negated)
            case _:
                assert_never(condition.which)

    def _is_src(self, address: int, mask: int, negated: bool) -> Term:
        return negate(in_network(self._source, address, mask), negated)

    def _is_osrc(self, address: int, mask: int, negated: bool) -> Term:
        return negate(in_network(self.packet.src, address, mask), negated)

    def _is_dst(self, address: int, mask: int, negated: bool) -> Term:
        return negate(in_network(self._destination, address, mask), negated)

    def _is_odst(self, address: int, mask: int, negated: bool) -> Term:
        return negate(in_network(self.packet.dst, address, mask), negated)

    def _is_src_host(self, number: int, negated: bool) -> Term:
        return negate(equal(self._source, self.host(number)), negated)

    def _is_osrc_host(self, number: int, negated: bool) -> Term:
        return negate(equal(self.packet.src, self.host(number)), negated)

    def _is_dst_host(self, number: int, negated: bool) -> Term:
        return negate(equal(self._destination, self.host(number)), negated)

    def _is_dst_in(self, numbers: tuple[int, ...], negated: bool) -> Term:
        either = [equal(self._destination, self.host(number)) for number in numbers]
        return negate(disjunction(either), negated)

    def _is_dport_in(self, numbers: tuple[int, ...], negated: bool) -> Term:
        either = [equal(self._port, self.port(number)) for number in numbers]
        return negate(disjunction(either), negated)

    def _is_odst_host(self, number: int, negated: bool) -> Term:
        return negate(equal(self.packet.dst, self.host(number)), negated)

    def _is_proto(self, number: int, negated: bool) -> Term:
        return negate(has_value(self.packet.proto, number), negated)

    def _is_sport(self, first: int, last: int, negated: bool) -> Term:
        return negate(between(self._source_port, first, last), negated)

    def _is_dport(self, first: int, last: int, negated: bool) -> Term:
        return negate(between(self._port, first, last), negated)

    def _is_odport(self, first: int, last: int, negated: bool) -> Term:
        return negate(between(self.packet.dport, first, last), negated)

    def _is_dport_number(self, number: int, negated: bool) -> Term:
        return negate(equal(self._port, self.port(number)), negated)

    def _is_odport_number(self, number: int, negated: bool) -> Term:
        return negate(equal(self.packet.dport, self.port(number)), negated)

    def _is_sports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> Term:
        return negate(disjunction([between(self._source_port, *r) for r in ranges]), negated)

    def _is_dports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> Term:
        return negate(disjunction([between(self._port, *r) for r in ranges]), negated)

    def _is_ports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> Term:
        either = [between(port, *r) for r in ranges for port in (self._source_port, self._port)]
        return negate(disjunction(either), negated)

    def _is_node(self, negated: bool) -> Term:
        return negate(boolean(self.schema.from_node), negated)

    def _is_srclocal(self, negated: bool) -> Term:
        return negate(self._source_local, negated)

    def _is_dstlocal(self, negated: bool) -> Term:
        return negate(self._local, negated)

    def _is_iif(self, name: str, negated: bool) -> Term:
        return negate(self._interface(self._in_interface, name), negated)

    def _is_oif(self, name: str, negated: bool) -> Term:
        if self._out_interface == "none":
            return negate(self._interface("none", name), negated)
        local = self._local if self._routed_local is None else self._routed_local
        if name == "lo":
            return negate(local, negated)
        leaves = negate(local, True)
        term = conjunction([leaves, self._interface(self._out_interface, name)])
        return negate(term, negated)

    def _is_mark(self, value: int, mask: int, negated: bool) -> Term:
        if value & ~mask:
            return boolean(negated)
        set_so = [negate(self.mark_bit(b), not value >> b & 1) for b in range(32) if mask >> b & 1]
        return negate(conjunction(set_so), negated)

    def mark_bit(self, number: int) -> Term:
        """The term that a bit of the mark is set: bit by bit, since rules name few of them."""
        if number not in self.mark_bits:
            self.mark_bits[number] = self.first_mark_bit(number)
        return self.mark_bits[number]

    def first_mark_bit(self, number: int) -> Term:
        """The term that the packet came with a bit of the mark."""
        symbol = f"mark0_{number}"
        known = self.declared.get(symbol)
        if known is None:
            known = self._declare(symbol, BOOL)
            bit = extract(self.packet.mark0, number, number)
            self._assert(equal(known, has_value(bit, 1)))
        return known

    def _set_mark(self, fires: Term, value: int, mask: int) -> None:
        """``--set-xmark value/mask``: clear the bits of the mask, turn over those of the value."""
        for number in range(32):
            clears, turns = mask >> number & 1, value >> number & 1
            if not (clears or turns) or not self.marks_that_matter >> number & 1:
                continue
            old = self.mark_bit(number)
            if not clears:
                new = exclusive_or(old, fires)
            elif turns:
                new = disjunction([old, fires])
            else:
                new = conjunction([old, negate(fires, True)])
            self.mark_bits[number] = self.define(new)

    def _is_state(self, states: tuple[str, ...], negated: bool) -> Term:
        tracked = boolean(self.schema.state in states)
        if tracked is FALSE:
            parts = []
            if "DNAT" in states:
                parts.append(self._translated)
            if "SNAT" in states:
                parts.append(self._new_source)
            tracked = disjunction(parts)
        if self._untracked is FALSE:
            return negate(tracked, negated)
        return negate(ite(self._untracked, boolean("UNTRACKED" in states), tracked), negated)

    def _is_connection(
        self, states: tuple[str, ...] | None, negated: bool, details: tuple[Detail, ...]
    ) -> Term:
        """A question about the connection where there may be none yet."""
        if not self._looped:
            if states is None:
                return FALSE
            found = boolean("INVALID" in states)
            if self._untracked is not FALSE:
                found = ite(self._untracked, boolean("UNTRACKED" in states), found)
            return negate(found, negated)
        known = conjunction([self._one(detail) for detail in details])
        if states is None:
            return conjunction([negate(self._untracked, True), known])
        return conjunction([self._is_state(states, negated), disjunction([self._untracked, known])])

    def _is_ipvs(self, negated: bool) -> Term:
        return negate(self._sent_on, negated)

    def _is_vdst(self, address: int, mask: int, negated: bool) -> Term:
        return negate(in_network(self._virtual_destination, address, mask), negated)

    def _is_vdst_host(self, number: int, negated: bool) -> Term:
        return negate(equal(self._virtual_destination, self.host(number)), negated)

    def _is_vport(self, first: int, last: int, negated: bool) -> Term:
        return negate(between(self._virtual_port, first, last), negated)

    def _is_vport_number(self, number: int, negated: bool) -> Term:
        return negate(equal(self._virtual_port, self.port(number)), negated)

    def _is_members(
        self, members: tuple[tuple[NumberedEntryPart, ...], ...], negated: bool
    ) -> Term:
        found = [conjunction([self._one(part) for part in member]) for member in members]
        return negate(disjunction(found), negated)

    def _is_place(self, places: tuple[tuple[int | None, int], ...], negated: bool) -> Term:
        found = []
        for host, port in places:
            parts = [equal(self._port, self.port(port))]
            if host is not None:
                parts.append(equal(self._destination, self.host(host)))
            found.append(conjunction(parts))
        return negate(disjunction(found), negated)

    def _is_random(self, threshold: int) -> Term:
        return self._free("random")

    def _is_unknown(self, what: str, negated: bool) -> Term:
        return negate(self._free("unknown"), negated)

    def _is_bpf(self, condition: bpf.Equal | bool) -> Term:
        if isinstance(condition, bool):
            return boolean(condition)
        left, right = (self._word(operand) for operand in (condition.left, condition.right))
        then, otherwise = (self._is_bpf(b) for b in (condition.then, condition.otherwise))
        return ite(equal(left, right), then, otherwise)

    def _word(self, operand: bpf.Word | int) -> Term:
        if isinstance(operand, int):
            return bits(operand, 32)
        variable = self._source if operand.side == "source" else self._destination
        if self.schema.family is Family.IPV4:
            return variable
        high = self.width - 1 - 32 * operand.index
        return extract(variable, high, high - 31)

    def _recent(self, condition: NumberedRecent, reached: Term) -> Term:
        operation, number, seconds = condition.operation, condition.number, condition.seconds
        before = self.recorded.get(number, FALSE)
        if self._moved is not FALSE:
            # Another address's entry in the list: nothing is known of it.
            reached = conjunction([reached, negate(self._moved, True)])
        if operation == "set":
            self.recorded[number] = self.define(disjunction([before, reached]))
            return boolean(not condition.negated)
        key = (number, seconds)
        if key not in self.recent:
            symbol = f"recent{number}_{'any' if seconds is None else seconds}"
            self.recent[key] = self._declare(symbol, BOOL)
        known = disjunction([before, self.recent[key]])
        if self._moved is not FALSE:
            known = ite(self._moved, self._free("other_recent"), known)
        if operation == "update":
            seen = conjunction([reached, known])
            self.recorded[number] = self.define(disjunction([before, seen]))
        return negate(known, condition.negated)

    def _recent_axioms(self) -> None:
        by_list: dict[int, list[tuple[int, Term]]] = {}
        for (number, seconds), flag in self.recent.items():
            limit = 1 << 62 if seconds is None else seconds
            by_list.setdefault(number, []).append((limit, flag))
        for entries in by_list.values():
            entries.sort(key=lambda entry: entry[0])
            for (_, younger), (_, older) in pairwise(entries):
                self._assert(implies(younger, older))

    def _distinct_numbers(self) -> None:
        # Values are numbered by value, so two numbers never stand for the same one.
        for numbered in (self._hosts, self._ports):
            if len(numbered) > 1:
                self.distinct.append(distinct(numbered.values()))
        for address, mask, inside in self.schema.facts:
            for number, hit in enumerate(inside):
                if number in self._hosts:
                    at = in_network(self._hosts[number], address, mask)
                    self._assert(negate(at, not hit))

    def _interface(self, interface: Interface, pattern: str) -> Term:
        """An interface has a name; ``+`` at the end of it stands for any suffix."""
        if interface == "none":
            return boolean(pattern == "+")
        if interface == "lo":
            return boolean(
                "lo".startswith(pattern[:-1]) if pattern[-1:] == "+" else pattern == "lo"
            )
        if not pattern.endswith("+"):
            number = self.interfaces.setdefault(pattern, len(self.interfaces))
            return self._numbered(interface, number)
        if pattern == "+":
            return TRUE
        key = (interface, pattern)
        if key not in self.patterns:
            self.patterns[key] = self._declare(f"pattern{len(self.patterns)}", BOOL)
        return self.patterns[key]

    def _numbered(self, variable: Variable, number: int) -> Term:
        return has_value(self.packet.interface(variable), number)

    def _interface_axioms(self) -> None:
        for (variable, pattern), flag in self.patterns.items():
            for interface, number in self.interfaces.items():
                hit = negate(flag, not interface.startswith(pattern[:-1]))
                self._assert(implies(self._numbered(variable, number), hit))
        for pattern in dict.fromkeys(pattern for _, pattern in self.patterns):
            first, last = self.patterns.get(("oif0", pattern)), self.patterns.get(("oif1", pattern))
            if first is not None and last is not None:
                same = equal(self.packet.oif0, self.packet.oif1)
                self._assert(implies(same, equal(first, last)))

    # -- terms -------------------------------------------------------------------------

    def _free(self, stem: str) -> Term:
        constant = self._declare(f"{stem}{len(self.free)}", BOOL)
        self.free.append(constant)
        return constant

    def _declare(self, symbol: str, sort: Sort) -> Term:
        return self.script.declare(symbol, sort)

    def _assert(self, term: Term) -> None:
        self.script.require(term)


def tested_marks(schema: Schema) -> int:
    """The bits of the mark that some rule looks at, or an outcome."""
    bits = 0
    for case in schema.cases:
        for outcome in case.allowed:
            bits |= outcome.mark if isinstance(outcome, DroppedByMark) else 0
    hooks = (*schema.rewriting, *schema.inward, *schema.onward, *schema.resent)
    pending = [item for hook in hooks for item in hook.items] + list(schema.balanced)
    while pending:
        item = pending.pop()
        pending.extend(item.body)
        for condition in item.conditions:
            if isinstance(condition, Mark):
                bits |= condition.mask
    return bits
