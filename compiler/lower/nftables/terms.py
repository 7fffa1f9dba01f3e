"""The expressions that nftables rules are made of, in one family."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from svcc.grammar.address import LOOPBACK, Address, Family, Network
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Concatenation,
    Element,
    Field,
    Match,
    Number,
    Numgen,
    Operation,
    SetField,
    String,
    Symbol,
)
from svcc.grammar.numbers import TRANSPORTS

PROTOCOL = Field("meta l4proto")
PORT = Field("th dport")
MARK = Field("meta mark")
_ALL_BITS = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Terms:
    """What differs between IPv4 and IPv6: ``ip`` or ``ip6``, and the type of an address."""

    family: Family
    word: Literal["ip", "ip6"]
    address_type: str

    @property
    def source(self) -> Field:
        """The source address."""
        return Field(f"{self.word} saddr")

    @property
    def destination(self) -> Field:
        """The destination address."""
        return Field(f"{self.word} daddr")

    @property
    def frontend(self) -> Concatenation:
        """What a frontend with an address is found by."""
        return Concatenation((self.destination, PROTOCOL, PORT))

    @property
    def original_destination(self) -> Field:
        """The address that the connection came with."""
        return Field(f"ct original {self.word} daddr")

    @property
    def to_loopback(self) -> Match:
        """Packets to loopback addresses."""
        return Match(self.destination, "==", self.network(LOOPBACK[self.family]))

    @property
    def not_to_loopback(self) -> Match:
        """Packets to other addresses."""
        return Match(self.destination, "!=", self.network(LOOPBACK[self.family]))

    def address(self, value: int) -> Address:
        """An address as a value."""
        return Address(self.family, value)

    def network(self, network: Network) -> Address | Network:
        """A network as a value, as nft prints it: one address without its length."""
        if network.prefix_length == network.family.bits:
            return Address(network.family, network.value)
        return network


TERMS = {
    Family.IPV4: Terms(Family.IPV4, "ip", "ipv4_addr"),
    Family.IPV6: Terms(Family.IPV6, "ip6", "ipv6_addr"),
}

NODE_PORT = Concatenation((PROTOCOL, PORT))
"""What a node port is found by."""
TO_NODE = Match(Field("fib daddr type"), "==", Symbol("local"))
FROM_NODE = Match(Field("fib saddr type"), "==", Symbol("local"))
TRANSLATED = Match(Field("ct status"), "==", Symbol("dnat"))
NEW = Match(Field("ct state"), "==", Symbol("new"))
INVALID = Match(Field("ct state"), "==", Symbol("invalid"))
UNKNOWN = Match(
    Field("ct state"),
    "!=",
    AnonymousSet((Element(Symbol("established")), Element(Symbol("related")))),
)
"""Packets of no connection that anybody has let in."""

_NAMES = {number: Symbol(name) for name, number in TRANSPORTS.items()}


def protocol(number: int) -> Symbol:
    """TCP, UDP or SCTP by its IANA number."""
    return _NAMES[number]


@lru_cache(maxsize=1 << 16)
def port(number: int) -> Number:
    """A port as a value."""
    return Number(number)


@lru_cache(maxsize=1 << 12)
def one_of(count: int) -> Numgen:
    """A random number below ``count``, each as likely."""
    return Numgen("random", count)


def interface(name: str, *, negated: bool = False) -> Match:
    """``[!] -i NAME`` of iptables: a trailing ``+`` matches any suffix."""
    shown = f"{name[:-1]}*" if name.endswith("+") else name
    return Match(Field("iifname"), "!=" if negated else "==", String(shown))


def marked(mark: int) -> Match:
    """Packets with all bits of a mark."""
    bits = Number(mark, hexadecimal=True)
    return Match(Operation("&", MARK, bits), "==", bits)


def set_mark(mark: int) -> SetField:
    """Set the bits of a mark, and no other."""
    return SetField(MARK, Operation("|", MARK, Number(mark, hexadecimal=True)))


def clear_mark(mark: int) -> SetField:
    """Clear the bits of a mark, and no other."""
    return SetField(MARK, Operation("&", MARK, Number(_ALL_BITS ^ mark, hexadecimal=True)))
