"""The text of a typed rule program, spelled as iptables-save(8) spells it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import assert_never

from svcc.grammar.address import Family, format_address
from svcc.grammar.iptables.names import CONNTRACK_STATES, PROTOCOL_NAMES, TCP_FLAGS
from svcc.grammar.iptables.program import (
    PROBABILITY_ONE,
    AddressMatch,
    AddrtypeMatch,
    BpfMatch,
    ChainCommand,
    Comment,
    ConntrackMatch,
    Goto,
    InterfaceMatch,
    IpvsMatch,
    Jump,
    MapMark,
    MarkMatch,
    Masquerade,
    Match,
    MultiportMatch,
    NatTarget,
    Notrack,
    NthMatch,
    Option,
    OtherMatch,
    OtherTarget,
    PortRange,
    Program,
    RandomMatch,
    RecentMatch,
    Reject,
    Rule,
    SetMark,
    SetMatch,
    StateMatch,
    Table,
    Target,
    TcpFlags,
    TransportMatch,
    Verdict,
    VirtualServerMatch,
)


def write(program: Program, *, counters: bool = False) -> str:
    """The whole program as input for iptables-restore."""
    return "".join(
        write_table(table, program.family, counters=counters) for table in program.tables.values()
    )


def write_table(table: Table, family: Family, *, counters: bool = False) -> str:
    """One table, from ``*NAME`` to ``COMMIT``."""
    lines = [f"*{table.name}"]
    for chain in table.chains.values():
        packets, size = chain.counters if counters else (0, 0)
        lines.append(f":{chain.name} {chain.policy or '-'} [{packets}:{size}]")
    for command in table.commands:
        if isinstance(command, ChainCommand):
            policy = f" {command.policy}" if command.policy else ""
            lines.append(f"{command.command} {command.chain}{policy}")
        elif counters and command.counters is not None:
            packets, size = command.counters
            lines.append(f"[{packets}:{size}] {write_rule(command, family)}")
        else:
            lines.append(write_rule(command, family))
    lines.append("COMMIT\n")
    return "\n".join(lines)


def write_rule(rule: Rule, family: Family) -> str:
    """One rule line."""
    words = [rule.command, rule.chain]
    if rule.number is not None:
        words.append(str(rule.number))
    if rule.source is not None:
        words.append(_address("-s", rule.source, family))
    if rule.destination is not None:
        words.append(_address("-d", rule.destination, family))
    if rule.in_interface is not None:
        words.append(_interface("-i", rule.in_interface))
    if rule.out_interface is not None:
        words.append(_interface("-o", rule.out_interface))
    if rule.protocol is not None:
        name = PROTOCOL_NAMES.get(rule.protocol.number, str(rule.protocol.number))
        words.append(f"{_not(rule.protocol.negated)}-p {name if rule.protocol.number else 'all'}")
    if rule.fragment is not None:
        words.append("-f" if rule.fragment else "! -f")
    for match in rule.matches:
        words.append(_match(match, family))
    if rule.target is not None:
        words.append(_target(rule.target, family))
    return " ".join(words)


def _not(negated: bool) -> str:
    return "! " if negated else ""


@lru_cache(maxsize=1 << 16)
def _address(option: str, match: AddressMatch, family: Family) -> str:
    return f"{_not(match.negated)}{option} {_masked(match.address, match.mask, family)}"


def _masked(address: int, mask: int, family: Family) -> str:
    inverted = mask ^ ((1 << family.bits) - 1)
    text = format_address(family, address)
    if inverted & (inverted + 1) == 0:
        return f"{text}/{family.bits - inverted.bit_length()}"
    return f"{text}/{format_address(family, mask)}"


def _interface(option: str, match: InterfaceMatch) -> str:
    return f"{_not(match.negated)}{option} {match.name}"


_UNQUOTED = re.compile(r"[_0-9a-zA-Z][-_0-9a-zA-Z]*\Z")
_ESCAPED = re.compile(r"""["\\']""")


def quote(text: str) -> str:
    """A string as xtables_save_string prints it (libxtables/xtables.c).

    One that begins with a hyphen is quoted too, so that nobody takes it for an option.
    """
    if _UNQUOTED.match(text):
        return text
    return '"' + _ESCAPED.sub(r"\\\g<0>", text) + '"'


def _word(text: str) -> str:
    return quote(text) if _NEEDS_QUOTES.search(text) or not text else text


_NEEDS_QUOTES = re.compile(r"""[\s"'\\]|^[-!]""")


def _ports(ports: PortRange) -> str:
    return str(ports.first) if ports.first == ports.last else f"{ports.first}:{ports.last}"


@lru_cache(maxsize=1 << 16)
def _match(match: Match, family: Family) -> str:
    return " ".join(_match_words(match, family))


def _match_words(match: Match, family: Family) -> Iterator[str]:
    match match:
        case Comment():
            yield f"-m comment --comment {quote(match.text)}"
        case TransportMatch():
            yield f"-m {match.protocol}"
            if match.source_ports is not None:
                yield f"{_not(match.source_ports.negated)}--sport {_ports(match.source_ports)}"
            if match.destination_ports is not None:
                negated = _not(match.destination_ports.negated)
                yield f"{negated}--dport {_ports(match.destination_ports)}"
            if match.tcp_flags is not None:
                yield _tcp_flags(match.tcp_flags)
        case MultiportMatch():
            ranges = ",".join(_ports(r) for r in match.ranges)
            yield f"-m multiport {_not(match.negated)}--{match.which} {ranges}"
        case MarkMatch():
            yield f"-m mark {_not(match.negated)}--mark {_mark(match.value, match.mask)}"
        case ConntrackMatch():
            yield from _conntrack(match, family)
        case StateMatch():
            states = ",".join(s for s in CONNTRACK_STATES if s in match.states)
            yield f"-m state {_not(match.negated)}--state {states}"
        case AddrtypeMatch():
            yield "-m addrtype"
            if match.source_type is not None:
                yield f"{_not(match.source_negated)}--src-type {match.source_type}"
            if match.destination_type is not None:
                yield f"{_not(match.destination_negated)}--dst-type {match.destination_type}"
            if match.limit_interface is not None:
                yield f"--limit-iface-{match.limit_interface}"
        case RandomMatch():
            probability = f"{match.threshold / PROBABILITY_ONE:.11f}"
            yield f"-m statistic --mode random {_not(match.negated)}--probability {probability}"
        case NthMatch():
            packet = f" --packet {match.packet}"
            yield f"-m statistic --mode nth {_not(match.negated)}--every {match.every}{packet}"
        case RecentMatch():
            yield from _recent(match, family)
        case BpfMatch():
            code = ",".join(" ".join(map(str, instruction)) for instruction in match.instructions)
            yield f'-m bpf --bytecode "{len(match.instructions)},{code}"'
        case SetMatch():
            flags = ",".join(match.flags)
            yield f"-m set {_not(match.negated)}--match-set {match.name} {flags}"
        case IpvsMatch():
            yield f"-m ipvs {_not(match.negated)}--ipvs"
        case VirtualServerMatch():
            yield from _virtual_server(match, family)
        case OtherMatch():
            yield f"-m {match.name}"
            yield from _options(match.options)
        case _:
            assert_never(match)


def _virtual_server(match: VirtualServerMatch, family: Family) -> Iterator[str]:
    yield "-m ipvs"
    if match.protocol is not None:
        yield f"{_not(match.protocol.negated)}--vproto {match.protocol.number}"
    if match.address is not None:
        yield f"{_not(match.address.negated)}--vaddr {_host_or_masked(match.address, family)}"
    if match.port is not None:
        yield f"{_not(match.port.negated)}--vport {match.port.first}"


def _host_or_masked(match: AddressMatch, family: Family) -> str:
    if match.mask == (1 << family.bits) - 1:
        return format_address(family, match.address)
    return _masked(match.address, match.mask, family)


def _tcp_flags(flags: TcpFlags) -> str:
    def names(bits: int) -> str:
        if bits == 0x3F and flags.mask != 0x17:
            return "FIN,SYN,RST,PSH,ACK,URG"
        return ",".join(name for name, bit in TCP_FLAGS.items() if bits & bit) or "NONE"

    return f"{_not(flags.negated)}--tcp-flags {names(flags.mask)} {names(flags.compare)}"


def _mark(value: int, mask: int) -> str:
    return f"{value:#x}" if mask == 0xFFFFFFFF else f"{value:#x}/{mask:#x}"


def _conntrack(match: ConntrackMatch, family: Family) -> Iterator[str]:
    yield "-m conntrack"
    if match.states is not None:
        states = ",".join(s for s in CONNTRACK_STATES if s in match.states)
        yield f"{_not(match.states_negated)}--ctstate {states}"
    for option, address in (
        ("--ctorigsrc", match.original_source),
        ("--ctorigdst", match.original_destination),
    ):
        if address is not None:
            yield f"{_not(address.negated)}{option} {_host_or_masked(address, family)}"
    ports = match.original_destination_ports
    if ports is not None:
        yield f"{_not(ports.negated)}--ctorigdstport {_ports(ports)}"
    if match.direction is not None:
        yield f"--ctdir {match.direction}"


def _recent(match: RecentMatch, family: Family) -> Iterator[str]:
    yield f"-m recent {_not(match.negated)}--{match.operation}"
    if match.seconds is not None:
        yield f"--seconds {match.seconds}"
    if match.reap:
        yield "--reap"
    if match.hitcount is not None:
        yield f"--hitcount {match.hitcount}"
    if match.rttl:
        yield "--rttl"
    full = (1 << family.bits) - 1
    mask = format_address(family, full if match.mask is None else match.mask)
    yield f"--name {_word(match.name)} --mask {mask}"
    yield "--rdest" if match.by_destination else "--rsource"


def _options(options: tuple[Option, ...]) -> Iterator[str]:
    for option in options:
        yield " ".join((f"{_not(option.negated)}{option.name}", *map(_word, option.values)))


@lru_cache(maxsize=1 << 16)
def _target(target: Target, family: Family) -> str:
    return " ".join(_target_words(target, family))


def _target_words(target: Target, family: Family) -> Iterator[str]:
    match target:
        case Jump():
            yield f"-j {target.chain}"
        case Goto():
            yield f"-g {target.chain}"
        case Verdict():
            yield f"-j {target.name}"
        case Reject():
            yield f"-j REJECT --reject-with {target.reject_with}"
        case NatTarget():
            yield from _nat(target, family)
        case Masquerade():
            yield "-j MASQUERADE"
            if target.first_port is not None:
                yield f"--to-ports {_port_span(target.first_port, target.last_port)}"
            if target.random:
                yield "--random"
            if target.random_fully:
                yield "--random-fully"
        case SetMark():
            yield f"-j MARK --set-xmark {target.value:#x}/{target.mask:#x}"
        case Notrack():
            yield "-j CT --notrack"
        case MapMark():
            yield f"-j SET --map-set {target.name} {','.join(target.flags)} --map-mark"
        case OtherTarget():
            yield f"-j {target.name}"
            yield from _options(target.options)
        case _:
            assert_never(target)


def _port_span(first: int, last: int | None) -> str:
    return str(first) if last in (None, first) else f"{first}-{last}"


def _nat(target: NatTarget, family: Family) -> Iterator[str]:
    yield f"-j {target.name}"
    ports = "" if target.first_port is None else _port_span(target.first_port, target.last_port)
    if target.base_port is not None:
        ports += f"/{target.base_port}"
    if target.name == "REDIRECT":
        if ports:
            yield f"--to-ports {ports}"
    else:
        addresses = ""
        if target.first_address is not None:
            addresses = format_address(family, target.first_address)
            last = target.last_address
            if last not in (None, target.first_address):
                addresses += f"-{format_address(family, last)}"
            if ports and family is Family.IPV6:
                addresses = f"[{addresses}]"
        option = "--to-destination" if target.name == "DNAT" else "--to-source"
        yield f"{option} {addresses}{f':{ports}' if ports else ''}"
    for flag, given in (
        ("--random", target.random),
        ("--random-fully", target.random_fully),
        ("--persistent", target.persistent),
    ):
        if given:
            yield flag
