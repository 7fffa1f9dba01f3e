"""The conditions that rules of both modes are made of."""

from __future__ import annotations

from functools import lru_cache

from svcc.grammar.address import LOOPBACK, Family
from svcc.grammar.iptables.program import (
    AddressMatch,
    AddrtypeMatch,
    ConntrackMatch,
    PortRange,
    ProtocolMatch,
    TransportMatch,
)
from svcc.grammar.numbers import TRANSPORTS

TRANSPORT_NAMES = {number: name for name, number in TRANSPORTS.items()}

NEW = ConntrackMatch(states=frozenset({"NEW"}))
TRANSLATED = ConntrackMatch(states=frozenset({"DNAT"}))
TO_LOCAL = AddrtypeMatch(destination_type="LOCAL")
FROM_NODE = AddrtypeMatch(source_type="LOCAL")


@lru_cache(maxsize=256)
def protocol_match(number: int) -> ProtocolMatch:
    """``-p`` of one protocol."""
    return ProtocolMatch(number)


@lru_cache(maxsize=1 << 14)
def to_port(protocol: int, first: int, last: int | None = None) -> TransportMatch:
    """``-m tcp --dport FIRST[:LAST]``."""
    ports = PortRange(first, first if last is None else last)
    if protocol == TRANSPORTS["tcp"]:
        return TransportMatch("tcp", None, ports)
    return TransportMatch("udp" if protocol == TRANSPORTS["udp"] else "sctp", None, ports)


def loopback_match(family: Family, *, negated: bool = False) -> AddressMatch:
    """``[!] -d 127.0.0.0/8`` or ``[!] -d ::1/128``."""
    network = LOOPBACK[family]
    return AddressMatch(network.value, network.mask, negated)
