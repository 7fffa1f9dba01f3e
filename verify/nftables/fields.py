"""Fields of packets and their values, as conditions.

Source: nft(8), "EXPRESSIONS"; net/netfilter/nft_meta.c, nft_ct.c, nft_fib.c, nft_payload.c. Fields
of one IP version end the rule for packets of the other in a table of family inet, as nft puts a
check of the version before them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from svcc.grammar.address import Address, Family, Network
from svcc.grammar.iptables.program import (
    AddressMatch,
    AddrtypeMatch,
    ConntrackMatch,
    InterfaceMatch,
    MarkMatch,
    Option,
    OtherMatch,
    PortRange,
)
from svcc.grammar.nftables.program import Expression, Number, Range, String, Symbol
from svcc.verify.nftables.atoms import Atom, Atoms, network_atom, prefixes, protocol, unknown

Alternatives = list[Atoms]
"""Any of them; no packet fulfils two."""

FULL_MARK = 0xFFFFFFFF
_MAX_PORT = 65535

PROTOCOLS = {
    "icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
    "icmpv6": 58, "ipv6-icmp": 58, "comp": 108, "sctp": 132, "udplite": 136,
}  # fmt: skip
STATES = frozenset({"new", "established", "related", "invalid", "untracked"})


class OutsideError(Exception):
    """A field, or a value of it, that is not in the model."""


def of_other_version(name: str, family: Family) -> bool:
    """Whether a field is one of the other IP version's header."""
    words = name.split()
    start = words[0]
    if start == "ct" and "ip" in words:
        start = "ip"
    if start == "ct" and "ip6" in words:
        start = "ip6"
    return start in {"ip6" if family is Family.IPV4 else "ip"}


def single(name: str, value: Expression, family: Family, *, negated: bool) -> Alternatives:
    """That a field has a value, or lies in a block or range; ``negated``: that it does not.

    Raises:
        OutsideError: the model has neither.
    """
    reader = _READERS.get(name)
    if reader is None:
        raise OutsideError
    return reader(value, family, negated)


# -- addresses ---------------------------------------------------------------------------


def blocks(value: Expression, family: Family) -> list[Network]:
    """The blocks of addresses that a value stands for.

    Raises:
        OutsideError: it stands for none of this family.
    """
    match value:
        case Address(of, address) if of is family:
            return [Network(family, address, family.bits)]
        case Network(of) if of is family:
            return [value]
        case Range(Address(of, first), Address(to, last)) if of is to is family:
            return prefixes(family, first, last)
        case _:
            raise OutsideError


def _address(slot: Literal["source", "destination"]) -> _Reader:
    def read(value: Expression, family: Family, negated: bool) -> Alternatives:
        found = blocks(value, family)
        if len(found) == 1:
            return [(network_atom(slot, found[0], negated),)]
        if negated:
            raise OutsideError
        return [(network_atom(slot, block, False),) for block in found]

    return read


def _original(side: Literal["source", "destination"]) -> _Reader:
    def read(value: Expression, family: Family, negated: bool) -> Alternatives:
        found = blocks(value, family)
        if len(found) > 1 and negated:
            raise OutsideError
        asked = [AddressMatch(block.value, block.mask, negated) for block in found]
        if side == "source":
            return [(Atom("match", ConntrackMatch(original_source=each)),) for each in asked]
        return [(Atom("match", ConntrackMatch(original_destination=each)),) for each in asked]

    return read


# -- numbers -----------------------------------------------------------------------------


def number_range(value: Expression, low: int = 0, high: int = _MAX_PORT) -> tuple[int, int]:
    """First and last of a number or range of them.

    Raises:
        OutsideError: it is none.
    """
    match value:
        case Number(number):
            first = last = number
        case Range(Number(first), Number(last)):
            pass
        case _:
            raise OutsideError
    if not low <= first <= last <= high:
        raise OutsideError
    return first, last


@lru_cache(maxsize=1 << 16)
def port_atom(slot: Literal["sport", "dport"], first: int, last: int, negated: bool) -> Atom:
    """A port lies in a range."""
    return Atom(slot, PortRange(first, last, negated))


def _port(slot: Literal["sport", "dport"], number: int | None) -> _Reader:
    def read(value: Expression, family: Family, negated: bool) -> Alternatives:
        atom = port_atom(slot, *number_range(value), negated)
        return [(atom,) if number is None else (protocol(number), atom)]

    return read


def protocol_number(value: Expression) -> int:
    """The number of a protocol.

    Raises:
        OutsideError: it is none that is known here.
    """
    if isinstance(value, Number):
        return value.value
    if isinstance(value, Symbol) and value.name in PROTOCOLS:
        return PROTOCOLS[value.name]
    raise OutsideError


def _protocol(value: Expression, family: Family, negated: bool) -> Alternatives:
    number = protocol_number(value)
    if number == 0:
        # iptables takes 0 for any protocol.
        raise OutsideError
    return [(protocol(number, negated),)]


def _original_port(value: Expression, family: Family, negated: bool) -> Alternatives:
    asked = PortRange(*number_range(value), negated)
    return [(Atom("match", ConntrackMatch(original_destination_ports=asked)),)]


def _mark(value: Expression, family: Family, negated: bool) -> Alternatives:
    first, last = number_range(value, 0, FULL_MARK)
    if first != last:
        raise OutsideError
    return [(Atom("match", MarkMatch(first, FULL_MARK, negated)),)]


def connection_mark(value: int, mask: int, *, negated: bool) -> Atom:
    """The mark of the connection under a mask."""
    asked = Option("--mark", (f"{value:#x}/{mask:#x}",), negated)
    return Atom("match", OtherMatch("connmark", (asked,)))


def _connection_mark(value: Expression, family: Family, negated: bool) -> Alternatives:
    first, last = number_range(value, 0, FULL_MARK)
    if first != last:
        raise OutsideError
    return [(connection_mark(first, FULL_MARK, negated=negated),)]


# -- names -------------------------------------------------------------------------------


def _interface(slot: Literal["in", "out"]) -> _Reader:
    def read(value: Expression, family: Family, negated: bool) -> Alternatives:
        match value:
            case String(name) | Symbol(name):
                pass
            case _:
                raise OutsideError
        if not name or "+" in name or "*" in name[:-1]:
            raise OutsideError
        if name.endswith("*"):
            name = f"{name[:-1]}+"
        return [(Atom(slot, InterfaceMatch(name, negated)),)]

    return read


def _state(value: Expression, family: Family, negated: bool) -> Alternatives:
    return [states((value,), negated=negated)]


def states(values: tuple[Expression, ...], *, negated: bool) -> Atoms:
    """The connection is in one of some states: it is in one alone (nft_ct.c).

    Raises:
        OutsideError: one of them is unknown.
    """
    names = {value.name for value in values if isinstance(value, Symbol)}
    if len(names) < len(values) or not names <= STATES:
        raise OutsideError
    upper = frozenset(name.upper() for name in names)
    return (Atom("match", ConntrackMatch(states=upper, states_negated=negated)),)


def status(values: tuple[Expression, ...]) -> Atoms:
    """One of some bits of a connection's status is set; the rule ends where there is none.

    Raises:
        OutsideError: one of them is not of translation.
    """
    names = {value.name for value in values if isinstance(value, Symbol)}
    if len(names) < len(values) or not names <= {"dnat", "snat"}:
        raise OutsideError
    upper = frozenset(name.upper() for name in names)
    return (Atom("match", ConntrackMatch(states=upper)),)


def _status(value: Expression, family: Family, negated: bool) -> Alternatives:
    if negated:
        # It compares all bits at once.
        raise OutsideError
    return [status((value,))]


def _direction(value: Expression, family: Family, negated: bool) -> Alternatives:
    match value:
        case Symbol("original") | Number(0):
            original = not negated
        case Symbol("reply") | Number(1):
            original = negated
        case _:
            raise OutsideError
    return [(Atom("match", ConntrackMatch(direction="ORIGINAL" if original else "REPLY")),)]


def _address_type(side: Literal["source", "destination"]) -> _Reader:
    def read(value: Expression, family: Family, negated: bool) -> Alternatives:
        if not isinstance(value, Symbol):
            raise OutsideError
        kind = value.name.upper()
        asked = (
            AddrtypeMatch(source_type=kind, source_negated=negated)
            if side == "source"
            else AddrtypeMatch(destination_type=kind, destination_negated=negated)
        )
        return [(Atom("match", asked),)]

    return read


def _version(value: Expression, family: Family, negated: bool) -> Alternatives:
    match value:
        case Symbol("ipv4" | "ip") | Number(2 | 0x0800):
            is_it = family is Family.IPV4
        case Symbol("ipv6" | "ip6") | Number(10 | 0x86DD):
            is_it = family is Family.IPV6
        case _:
            raise OutsideError
    return [()] if is_it != negated else []


_Reader = Callable[[Expression, Family, bool], Alternatives]

_READERS: dict[str, _Reader] = {
    "meta nfproto": _version,
    "meta protocol": _version,
    "meta l4proto": _protocol,
    "ip protocol": _protocol,
    "ip6 nexthdr": _protocol,
    "meta mark": _mark,
    "mark": _mark,
    "ct mark": _connection_mark,
    "ct state": _state,
    "ct status": _status,
    "ct direction": _direction,
    "fib daddr type": _address_type("destination"),
    "fib saddr type": _address_type("source"),
    "th dport": _port("dport", None),
    "th sport": _port("sport", None),
    "ct original proto-dst": _original_port,
}
for _version_name in ("ip", "ip6"):
    _READERS[f"{_version_name} daddr"] = _address("destination")
    _READERS[f"{_version_name} saddr"] = _address("source")
    _READERS[f"ct original {_version_name} daddr"] = _original("destination")
    _READERS[f"ct original {_version_name} saddr"] = _original("source")
for _name, _number in (("tcp", 6), ("udp", 17), ("sctp", 132), ("dccp", 33), ("udplite", 136)):
    _READERS[f"{_name} dport"] = _port("dport", _number)
    _READERS[f"{_name} sport"] = _port("sport", _number)
for _word in ("iifname", "iif"):
    _READERS[_word] = _READERS[f"meta {_word}"] = _interface("in")
for _word in ("oifname", "oif"):
    _READERS[_word] = _READERS[f"meta {_word}"] = _interface("out")

_FALSE_OF_SOME = {
    "meta skuid": "owner", "meta skgid": "owner", "skuid": "owner", "skgid": "owner",
    "ether saddr": "mac",
}  # fmt: skip
"""Fields by the match of iptables that asks the same."""


def outside(name: str, text: str, *, negated: bool) -> Atoms:
    """A condition on a field that is not in the model; ``text`` is the whole of it."""
    if (
        name.startswith("fib saddr")
        and name.endswith(" oif")
        and text.endswith((" missing", ' "0"'))
    ):
        # Reverse path filtering, as -m rpfilter --invert asks it.
        asked = OtherMatch("rpfilter", (Option("--invert"), Option(text)))
        return (Atom("match", asked),)
    implied: Atoms = ()
    start = name.split()[0]
    if start in ("tcp", "udp", "sctp", "dccp", "udplite", "icmp", "icmpv6", "esp", "ah", "comp"):
        implied = (protocol(PROTOCOLS[start]),)
    match_name = "nft" if negated else _FALSE_OF_SOME.get(name, "nft")
    return (*implied, unknown(text, match_name))
