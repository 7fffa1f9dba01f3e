"""Conditions on a packet as SMT-LIB terms."""

from __future__ import annotations

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
from svcc.verify.smt.packet_state import PacketState
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    Term,
    between,
    bits,
    boolean,
    conjunction,
    disjunction,
    equal,
    extract,
    has_value,
    in_network,
    ite,
    negate,
)


class Terms(PacketState):
    """The terms that conditions become, of the packet as it is by now."""

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
