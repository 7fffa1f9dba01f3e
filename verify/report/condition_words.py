"""Conditions and actions of slices in the words of iptables, where it has them.

What it has no words for stands in brackets.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from svcc.grammar.address import Family, format_address
from svcc.grammar.iptables.names import CONNTRACK_STATES, PROTOCOL_NAMES
from svcc.grammar.iptables.program import PROBABILITY_ONE, Goto, Jump
from svcc.grammar.ipvs.ipvsadm import endpoint
from svcc.verify.model.actions import (
    Accept,
    Continue,
    Dnat,
    Drop,
    Excused,
    Masquerade,
    Notrack,
    Reject,
    Return,
    SetMark,
    UnknownTarget,
)
from svcc.verify.model.conditions import (
    AnyOf,
    Bpf,
    Connection,
    Destination,
    DestinationLocal,
    DestinationPort,
    EntryPart,
    InEntries,
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
    Recent,
    SentByIpvs,
    Source,
    SourceLocal,
    SourcePort,
    State,
    Unknown,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.netfilter.bpf import Equal, Word
from svcc.verify.slicing.items import Balance, InlinedRun, Item, ItemCondition, ToEndpoints
from svcc.verify.slicing.schema_conditions import InlinedGoto, InlinedJump


def condition_words(condition: ItemCondition | EntryPart, family: Family) -> str:
    """What is left to ask of a packet, in words."""
    if isinstance(condition, Never):
        return "[never]"
    if isinstance(condition, Probability):
        share = condition.threshold / PROBABILITY_ONE
        return f"-m statistic --mode random --probability {share:.11f}"
    if isinstance(condition, Bpf):
        return f"-m bpf [{_compared(condition.program, family)}]"
    return _negatable(condition, family, "! " if condition.negated else "")


def _negatable(condition: ItemCondition | EntryPart, family: Family, negation: str) -> str:
    match condition:
        case Source() | Destination():
            option = "-s" if isinstance(condition, Source) else "-d"
            return f"{negation}{option} {_network(condition.address, condition.mask, family)}"
        case OriginalSource() | OriginalDestination():
            option = "src" if isinstance(condition, OriginalSource) else "dst"
            network = _network(condition.address, condition.mask, family)
            return f"-m conntrack {negation}--ctorig{option} {network}"
        case Protocol():
            return f"{negation}-p {PROTOCOL_NAMES.get(condition.number, condition.number)}"
        case SourcePort():
            return f"{negation}--sport {_ports(condition.first, condition.last)}"
        case DestinationPort():
            return f"{negation}--dport {_ports(condition.first, condition.last)}"
        case OriginalPort():
            ports = _ports(condition.first, condition.last)
            return f"-m conntrack {negation}--ctorigdstport {ports}"
        case PortList():
            ports = ",".join(_ports(*each) for each in condition.ranges)
            return f"-m multiport {negation}--{condition.which} {ports}"
        case InInterface():
            return f"{negation}-i {condition.name}"
        case OutInterface():
            return f"{negation}-o {condition.name}"
        case Mark():
            return f"-m mark {negation}--mark {condition.value:#x}/{condition.mask:#x}"
        case SourceLocal():
            return f"-m addrtype {negation}--src-type LOCAL"
        case DestinationLocal():
            return f"-m addrtype {negation}--dst-type LOCAL"
        case State():
            return f"-m conntrack {negation}--ctstate {_states(condition.states)}"
        case Connection():
            return _connection(condition, family, negation)
        case Recent():
            seconds = "" if condition.seconds is None else f" --seconds {condition.seconds}"
            asked = f"{negation}--{condition.operation}{seconds}"
            return f"-m recent {asked} --name {condition.name}"
        case SentByIpvs():
            return f"-m ipvs {negation}--ipvs"
        case VirtualDestination():
            network = _network(condition.address, condition.mask, family)
            return f"-m ipvs {negation}--vaddr {network}"
        case VirtualPort():
            return f"-m ipvs {negation}--vport {_ports(condition.first, condition.last)}"
        case AnyOf():
            parts = " or ".join(condition_words(part, family) for part in condition.parts)
            return f"{negation}[{parts}]"
        case InEntries():
            return f"{negation}[{_entries(condition.entries, family)}]"
        case ToEndpoints():
            places = ", ".join(
                f"any address:{port}" if address is None else endpoint(family, address, port)
                for address, port in condition.endpoints
            )
            return f"{negation}[to {places}]"
        case Unknown():
            return f"{negation}[outside the model: {condition.what}]"
        case Never() | Probability() | Bpf():
            raise AssertionError(condition)
        case _:
            assert_never(condition)


def action_words(item: Item, family: Family) -> str:
    """What a rule of a slice does; empty if nothing but what its conditions record."""
    action = item.action
    match action:
        case InlinedJump() | InlinedGoto():
            target = item.record.rule.target
            assert isinstance(target, Jump | Goto)
            return f"{'-j' if isinstance(action, InlinedJump) else '-g'} {target.chain}"
        case InlinedRun():
            return "[these rules]"
        case Accept():
            return f"-j ACCEPT{' [of another tool]' if action.of_other_tool else ''}"
        case Drop():
            return "-j DROP"
        case Reject():
            return "-j REJECT"
        case Return():
            return "-j RETURN"
        case Continue():
            return ""
        case Notrack():
            return "-j CT --notrack"
        case SetMark():
            return f"-j MARK --set-xmark {action.value:#x}/{action.mask:#x}"
        case Masquerade():
            return _masquerade(action, family)
        case Dnat():
            return f"-j DNAT --to-destination {_place(action.address, action.port, family)}"
        case Balance():
            choices = ", ".join(
                f"{_place(address, port, family)} -w {weight}"
                for address, port, weight in action.choices
            )
            kept = "" if action.timeout is None else f", -p {action.timeout}"
            return f"[IPVS: {choices}{kept}]"
        case UnknownTarget():
            return f"-j {action.name} [outside the model]"
        case Excused():
            return "[not judged any more]"
        case _:
            assert_never(action)


def _masquerade(action: Masquerade, family: Family) -> str:
    text = "-j MASQUERADE"
    if action.address != "own":
        address = "any" if action.address == "any" else format_address(family, action.address)
        text = f"-j SNAT --to-source {address}"
    if action.port != "same":
        text += f" [source port: {action.port}]"
    return text + (" [of another tool]" if action.of_other_tool else "")


def _connection(condition: Connection, family: Family, negation: str) -> str:
    asked = []
    if condition.states is not None:
        asked.append(f"{negation}--ctstate {_states(condition.states)}")
    asked += [condition_words(detail, family) for detail in condition.details]
    return f"-m conntrack {' '.join(asked)} [before connection tracking]"


def _compared(program: Equal, family: Family) -> str:
    """What a BPF program compares; a word is 32 bits of an IPv6 address, 0 the first."""
    test = f"{_operand(program.left, family)} = {_operand(program.right, family)}"
    then, otherwise = (
        str(branch).lower() if isinstance(branch, bool) else _compared(branch, family)
        for branch in (program.then, program.otherwise)
    )
    if program.otherwise is False:
        return test if program.then is True else f"{test} and {then}"
    return f"({test} ? {then} : {otherwise})"


def _operand(operand: Word | int, family: Family) -> str:
    if isinstance(operand, int):
        return f"{operand:#x}"
    return operand.side if family is Family.IPV4 else f"{operand.side} word {operand.index}"


def _entries(entries: Iterable[tuple[EntryPart, ...]], family: Family) -> str:
    return " or ".join(
        " ".join(condition_words(part, family) for part in entry) or "any packet"
        for entry in entries
    )


def _network(address: int, mask: int, family: Family) -> str:
    text = format_address(family, address)
    inverse = mask ^ ((1 << family.bits) - 1)
    if inverse & (inverse + 1):
        return f"{text}/{format_address(family, mask)}"
    length = family.bits - inverse.bit_length()
    return text if length == family.bits else f"{text}/{length}"


def _ports(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}:{last}"


def _states(states: tuple[str, ...]) -> str:
    return ",".join(sorted(states, key=CONNTRACK_STATES.index))


def _place(address: int, port: int | None, family: Family) -> str:
    return format_address(family, address) if port is None else endpoint(family, address, port)
