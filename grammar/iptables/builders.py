"""Matches and targets of the typed program from their options (iptables-extensions(8)).

Those that iptables knows and the program has no class for are kept as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from svcc.grammar.address import Family
from svcc.grammar.iptables import values
from svcc.grammar.iptables.program import (
    AddrtypeMatch,
    BpfMatch,
    Comment,
    ConntrackMatch,
    IpvsMatch,
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
    ProtocolMatch,
    RandomMatch,
    RecentMatch,
    Reject,
    SetMark,
    SetMatch,
    StateMatch,
    Target,
    TcpFlags,
    TransportMatch,
    VirtualServerMatch,
)
from svcc.grammar.numbers import c_integer, port


class Given(NamedTuple):
    """An option as it was given: its values without quotes."""

    values: tuple[str, ...]
    negated: bool


Options = Mapping[str, Given]

REPEATED = "\0"
"""Stands behind the name of an option that is given once more."""


_REJECT_TYPES = {
    Family.IPV4: frozenset(
        {
            "icmp-net-unreachable",
            "icmp-host-unreachable",
            "icmp-port-unreachable",
            "icmp-proto-unreachable",
            "icmp-net-prohibited",
            "icmp-host-prohibited",
            "icmp-admin-prohibited",
            "tcp-reset",
        }
    ),
    Family.IPV6: frozenset(
        {
            "icmp6-no-route",
            "icmp6-adm-prohibited",
            "icmp6-addr-unreachable",
            "icmp6-port-unreachable",
            "icmp6-policy-fail",
            "icmp6-reject-route",
            "tcp-reset",
        }
    ),
}
_REJECT_SHORT = {
    "port-unreach": "icmp6-port-unreachable",
    "no-route": "icmp6-no-route",
    "addr-unreach": "icmp6-addr-unreachable",
    "adm-prohibited": "icmp6-adm-prohibited",
    "tcp-rst": "tcp-reset",
}
_REJECT_DEFAULT = {
    Family.IPV4: "icmp-port-unreachable",
    Family.IPV6: "icmp6-port-unreachable",
}


def make_match(name: str, options: Options, family: Family) -> Match:
    """A match from its options.

    Raises:
        ValueError: a value is wrong, or an option that must be there is not.
    """
    maker = _MATCH_MAKERS.get(name)
    made = maker(options, family) if maker is not None else None
    return made if made is not None else OtherMatch(name, _raw(options))


def make_target(name: str, options: Options, family: Family) -> Target:
    """A target (other than a chain or a plain verdict) from its options.

    Raises:
        ValueError: as :func:`make_match`.
    """
    maker = _TARGET_MAKERS.get(name)
    made = maker(options, family) if maker is not None else None
    return made if made is not None else OtherTarget(name, _raw(options))


def _raw(options: Options) -> tuple[Option, ...]:
    return tuple(
        Option(name.rstrip(REPEATED), given.values, given.negated)
        for name, given in options.items()
    )


def _one(options: Options, name: str) -> str:
    given = options.get(name)
    if given is None:
        raise ValueError(f"{name} is missing")
    return given.values[0]


def _comment(options: Options, family: Family) -> Match:
    text = _one(options, "--comment")
    if len(text.encode()) > 255:
        raise ValueError("a comment holds at most 255 bytes")
    return Comment(text)


def _transport(protocol: str) -> Callable[[Options, Family], Match | None]:
    def make(options: Options, family: Family) -> Match | None:
        if options.keys() - {"--sport", "--dport", "--tcp-flags", "--syn"}:
            return None
        sport, dport = options.get("--sport"), options.get("--dport")
        flags = None
        if "--syn" in options:
            flags = TcpFlags(0x17, 0x02, options["--syn"].negated)
        if "--tcp-flags" in options:
            mask, compare = options["--tcp-flags"].values
            flags = TcpFlags(
                values.tcp_flags(mask), values.tcp_flags(compare), options["--tcp-flags"].negated
            )
        return TransportMatch(
            "tcp" if protocol == "tcp" else "udp" if protocol == "udp" else "sctp",
            None if sport is None else values.port_range(sport.values[0], sport.negated),
            None if dport is None else values.port_range(dport.values[0], dport.negated),
            flags,
        )

    return make


def _multiport(options: Options, family: Family) -> Match:
    if len(options) != 1:
        raise ValueError("exactly one of --sports, --dports and --ports is needed")
    (name, given), *_ = options.items()
    ranges = tuple(values.port_range(part) for part in given.values[0].split(","))
    if sum(1 if r.first == r.last else 2 for r in ranges) > 15:
        raise ValueError("multiport takes at most 15 ports (a range counts as two)")
    which = "sports" if name == "--sports" else "dports" if name == "--dports" else "ports"
    return MultiportMatch(
        "sports" if which == "sports" else "dports" if which == "dports" else "ports",
        ranges,
        given.negated,
    )


def _mark(options: Options, family: Family) -> Match:
    value, mask = values.value_and_mask(_one(options, "--mark"))
    return MarkMatch(value, mask, options["--mark"].negated)


def _conntrack(options: Options, family: Family) -> Match | None:
    modelled = {"--ctstate", "--ctorigsrc", "--ctorigdst", "--ctorigdstport", "--ctdir"}
    if not options:
        raise ValueError("at least one option is needed")
    if options.keys() - modelled:
        return None
    match = ConntrackMatch()
    if "--ctstate" in options:
        match.states = values.states(_one(options, "--ctstate"))
        match.states_negated = options["--ctstate"].negated
    if "--ctorigsrc" in options:
        given = options["--ctorigsrc"]
        match.original_source = values.address_match(given.values[0], family, given.negated)
    if "--ctorigdst" in options:
        given = options["--ctorigdst"]
        match.original_destination = values.address_match(given.values[0], family, given.negated)
    if "--ctorigdstport" in options:
        given = options["--ctorigdstport"]
        match.original_destination_ports = values.port_range(
            given.values[0], given.negated, is_decimal=True
        )
    if "--ctdir" in options:
        direction = _one(options, "--ctdir").upper()
        if direction not in ("ORIGINAL", "REPLY"):
            raise ValueError("--ctdir takes ORIGINAL or REPLY")
        match.direction = "ORIGINAL" if direction == "ORIGINAL" else "REPLY"
    return match


def _state(options: Options, family: Family) -> Match:
    return StateMatch(values.states(_one(options, "--state")), options["--state"].negated)


_ADDRESS_TYPES = {
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE",
    "UNREACHABLE", "PROHIBIT", "THROW", "NAT", "XRESOLVE",
}  # fmt: skip


def _addrtype(options: Options, family: Family) -> Match:
    match = AddrtypeMatch()
    for name, given in options.items():
        if given.values and set(given.values[0].split(",")) - _ADDRESS_TYPES:
            raise ValueError(f"{given.values[0]!r} is not an address type")
        if name == "--src-type":
            match.source_type, match.source_negated = given.values[0], given.negated
        elif name == "--dst-type":
            match.destination_type, match.destination_negated = given.values[0], given.negated
        else:
            match.limit_interface = "in" if name.endswith("in") else "out"
    if match.source_type is None and match.destination_type is None:
        raise ValueError("--src-type or --dst-type is needed")
    return match


def _statistic(options: Options, family: Family) -> Match:
    mode = _one(options, "--mode")
    if mode == "random":
        if options.keys() - {"--mode", "--probability"}:
            raise ValueError("mode random takes --probability only")
        probability = values.probability(_one(options, "--probability"))
        return RandomMatch(probability, options["--probability"].negated)
    if mode != "nth":
        raise ValueError(f"{mode!r} is not a mode; write random or nth")
    if options.keys() - {"--mode", "--every", "--packet"}:
        raise ValueError("mode nth takes --every and --packet only")
    every = c_integer(_one(options, "--every"), 1, 0xFFFFFFFF)
    packet = options.get("--packet")
    number = 0 if packet is None else c_integer(packet.values[0], 0, every - 1)
    return NthMatch(every, number, options["--every"].negated)


def _recent(options: Options, family: Family) -> Match:
    operations = [n for n in ("--set", "--rcheck", "--update", "--remove") if n in options]
    if len(operations) != 1:
        raise ValueError("exactly one of --set, --rcheck, --update and --remove is needed")
    operation = operations[0]
    checks = operation in ("--rcheck", "--update")
    if not checks and options.keys() & {"--seconds", "--hitcount", "--rttl", "--reap"}:
        raise ValueError("--seconds, --hitcount, --rttl and --reap go with --rcheck or --update")
    if "--reap" in options and "--seconds" not in options:
        raise ValueError("--reap needs --seconds")
    name = options["--name"].values[0] if "--name" in options else "DEFAULT"
    if not 0 < len(name) < 200 or "/" in name:
        raise ValueError("a list's name has 1 to 199 characters and no slash")
    match = RecentMatch(operation="set", name=name, negated=options[operation].negated)
    if operation != "--set":
        match.operation = (
            "rcheck" if operation == "--rcheck"
            else "update" if operation == "--update" else "remove"
        )  # fmt: skip
    if "--seconds" in options:
        match.seconds = c_integer(options["--seconds"].values[0], 1, 0xFFFFFFFF)
    if "--hitcount" in options:
        match.hitcount = c_integer(options["--hitcount"].values[0], 1, 255)
    if "--mask" in options:
        mask = values.address(options["--mask"].values[0], family).value
        match.mask = None if mask == (1 << family.bits) - 1 else mask
    match.reap = "--reap" in options
    match.rttl = "--rttl" in options
    match.by_destination = "--rdest" in options
    return match


def _bpf(options: Options, family: Family) -> Match | None:
    if "--object-pinned" in options:
        return None
    return BpfMatch(values.bytecode(_one(options, "--bytecode")))


def _set(options: Options, family: Family) -> Match | None:
    if options.keys() != {"--match-set"}:
        return None
    given = options["--match-set"]
    return SetMatch(*_set_and_flags(given), given.negated)


def _set_and_flags(given: Given) -> tuple[str, tuple[str, ...]]:
    name, flags = given.values
    if len(name) > 31:
        raise ValueError("a set's name has at most 31 characters")
    if set(flags.split(",")) - {"src", "dst"}:
        raise ValueError(f"{flags!r}: the flags of a set are src and dst")
    return name, tuple(flags.split(","))


def _ipvs(options: Options, family: Family) -> Match | None:
    if options.keys() == {"--ipvs"}:
        return IpvsMatch(options["--ipvs"].negated)
    if not options or options.keys() - {"--vproto", "--vaddr", "--vport"}:
        return None
    match = VirtualServerMatch()
    if given := options.get("--vproto"):
        match.protocol = ProtocolMatch(values.protocol(given.values[0]), given.negated)
    if given := options.get("--vaddr"):
        match.address = values.address_match(given.values[0], family, given.negated)
    if given := options.get("--vport"):
        match.port = values.port_range(given.values[0], given.negated)
        if match.port.first != match.port.last:
            raise ValueError("--vport takes one port")
    return match


def _map_set(options: Options, family: Family) -> Target | None:
    if options.keys() != {"--map-set", "--map-mark"}:
        return None
    return MapMark(*_set_and_flags(options["--map-set"]))


def _reject(options: Options, family: Family) -> Target:
    kind = _REJECT_DEFAULT[family]
    if "--reject-with" in options:
        kind = options["--reject-with"].values[0]
        kind = _REJECT_SHORT.get(kind, kind)
        known = _REJECT_TYPES[family]
        if kind not in known:
            raise ValueError(f"{kind!r} is not one of {', '.join(sorted(known))}")
    return Reject(kind)


def _nat(name: str, option: str) -> Callable[[Options, Family], Target]:
    def make(options: Options, family: Family) -> Target:
        target = NatTarget(name="DNAT" if name == "DNAT" else "SNAT")
        text = _one(options, option)
        shifted = re.fullmatch(r"(.*:\d+-\d+)/(\d+)", text)
        if shifted and name == "DNAT":
            text, target.base_port = shifted[1], port(shifted[2])
        (
            target.first_address,
            target.last_address,
            target.first_port,
            target.last_port,
        ) = values.nat_destination(text, family)
        target.random = "--random" in options
        target.random_fully = "--random-fully" in options
        target.persistent = "--persistent" in options
        return target

    return make


def _to_ports(options: Options) -> tuple[int | None, int | None]:
    if "--to-ports" not in options:
        return None, None
    first, last = values.port_span(options["--to-ports"].values[0])
    return first, None if last == first else last


def _redirect(options: Options, family: Family) -> Target:
    first, last = _to_ports(options)
    return NatTarget(
        name="REDIRECT", first_port=first, last_port=last, random="--random" in options
    )


def _masquerade(options: Options, family: Family) -> Target:
    first, last = _to_ports(options)
    return Masquerade(first, last, "--random" in options, "--random-fully" in options)


def _set_mark(options: Options, family: Family) -> Target:
    if len(options) != 1:
        raise ValueError("exactly one of --set-xmark, --set-mark, --or-mark … is needed")
    (name, given), *_ = options.items()
    text = given.values[0]
    if name == "--set-xmark":
        return SetMark(*values.value_and_mask(text))
    if name == "--set-mark":
        value, mask = values.value_and_mask(text)
        return SetMark(value, value | mask)
    bits = c_integer(text, 0, 0xFFFFFFFF)
    if name == "--or-mark":
        return SetMark(bits, bits)
    if name == "--and-mark":
        return SetMark(0, bits ^ 0xFFFFFFFF)
    return SetMark(bits, 0)


def _ct(options: Options, family: Family) -> Target | None:
    return Notrack() if options.keys() == {"--notrack"} else None


_MATCH_MAKERS: dict[str, Callable[[Options, Family], Match | None]] = {
    "comment": _comment,
    "tcp": _transport("tcp"),
    "udp": _transport("udp"),
    "sctp": _transport("sctp"),
    "multiport": _multiport,
    "mark": _mark,
    "conntrack": _conntrack,
    "state": _state,
    "addrtype": _addrtype,
    "statistic": _statistic,
    "recent": _recent,
    "bpf": _bpf,
    "set": _set,
    "ipvs": _ipvs,
}

_TARGET_MAKERS: dict[str, Callable[[Options, Family], Target | None]] = {
    "REJECT": _reject,
    "DNAT": _nat("DNAT", "--to-destination"),
    "SNAT": _nat("SNAT", "--to-source"),
    "REDIRECT": _redirect,
    "MASQUERADE": _masquerade,
    "MARK": _set_mark,
    "CT": _ct,
    "SET": _map_set,
    "NOTRACK": lambda options, family: Notrack(),
}
