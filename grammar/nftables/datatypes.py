"""Data types of nftables: which values there are of each, and how they are spelled.

A value is read into the form in which nft lists it, so that texts that load the same rules are
read as the same program: ``iifname lo`` is the string ``"lo"``, ``meta l4proto 6`` is ``tcp``,
``tcp dport http`` is 80. Source: nft(8), "Data types", and ``nft describe``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

from svcc.grammar.address import Address, Network, parse_rule_address, prefix_mask
from svcc.grammar.nftables import symbols
from svcc.grammar.nftables.program import Number, Range, String, Symbol, Value
from svcc.grammar.numbers import c_integer

_Kind = Literal["number", "address", "string", "mac", "text"]

_MAX_KEPT = 1 << 17
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


class _Values(dict[str, Value]):
    """Values of a type by their spelling: most are met more than once."""

    def __init__(self, datatype: Datatype) -> None:
        super().__init__()
        self._datatype = datatype

    def __missing__(self, text: str) -> Value:
        if len(self) >= _MAX_KEPT:
            self.clear()
        value = self[text] = _read(self._datatype, text)
        return value


@dataclass(frozen=True, eq=False)
class Datatype:
    """A type: its name in ``type NAME``, its width in bits, its named values.

    ``is_bitmask``: values are sets of bits, and ``a,b`` are any of two. ``is_hexadecimal``: nft
    prints its numbers so. ``by_number``: nft prints numbers, though it reads names.
    """

    name: str
    bits: int
    symbols: Mapping[str, int] = field(default_factory=dict, compare=False)
    kind: _Kind = "number"
    is_bitmask: bool = False
    is_hexadecimal: bool = False
    by_number: bool = False

    @cached_property
    def _names(self) -> dict[int, str]:
        return {} if self.by_number else {n: name for name, n in reversed([*self.symbols.items()])}

    @cached_property
    def read(self) -> Callable[[str], Value]:
        """Reads one value, as it is spelled in a rule or an element.

        It raises ValueError where there is no such value of the type.
        """
        return _Values(self).__getitem__

    def named(self, number: int, *, hexadecimal: bool = False) -> Number | Symbol:
        """A number as nft lists it."""
        name = self._names.get(number)
        return Number(number, hexadecimal or self.is_hexadecimal) if name is None else Symbol(name)

    def read_block(self, text: str) -> Value | Network:
        """``ADDRESS/LENGTH``; bits outside the prefix are cleared, as nft does.

        Raises:
            ValueError: it is none of the type.
        """
        address_text, _, length_text = text.partition("/")
        address = self.read(address_text)
        if not isinstance(address, Address):
            raise ValueError(f"{text!r}: {self.name} has no prefixes; write a mask with &")
        bits = address.family.bits
        if len(length_text) > 3 or int(length_text) > bits:
            raise ValueError(f"{text!r}: a prefix length is 0 to {bits}")
        length = int(length_text)
        if length == bits:
            return address
        return Network(address.family, address.value & prefix_mask(address.family, length), length)

    def read_range(self, first_text: str, last_text: str) -> Range:
        """``FIRST-LAST``.

        Raises:
            ValueError: one of them is no value of the type, or the second is the smaller.
        """
        first, last = self.read(first_text), self.read(last_text)
        low, high = self.number(first), self.number(last)
        if low is None or high is None:
            raise ValueError(f"{self.name} has no ranges; list the values")
        if low >= high:
            raise ValueError(f"{first_text}-{last_text}: the end must be above the start")
        return Range(first, last)

    def number(self, value: object) -> int | None:
        """What the kernel compares; None where it is no number."""
        if isinstance(value, Number | Address):
            return value.value
        return self.symbols.get(value.name) if isinstance(value, Symbol) else None


def _read(datatype: Datatype, text: str) -> Value:
    match datatype.kind:
        case "address":
            address = parse_rule_address(text)
            if address.family.bits != datatype.bits:
                raise ValueError(f"{text} is no {datatype.name}; it is of the other family")
            return address
        case "string":
            return _string(datatype, text)
        case "text":
            return String(text[1:-1]) if text[:1] == '"' else Symbol(text)
        case "mac":
            if not _MAC.fullmatch(text):
                raise ValueError(f"{text!r} is no {datatype.name}; write it like 00:11:22:33:44:55")
            return Symbol(text.lower())
        case _:
            return _number(datatype, text)


def _string(datatype: Datatype, text: str) -> String | Symbol:
    if datatype.name == "iface_index" and text in symbols.BOOLEAN:
        # Whether fib finds a way: quoted, it would be an interface's name.
        return Symbol(text)
    if text in symbols.KEYWORDS:
        raise ValueError(f'{text!r} is a word of nft; write "{text}"')
    plain = text[1:-1] if text[:1] == '"' else text
    if not plain or len(plain.encode()) * 8 >= (datatype.bits or 1 << 20):
        raise ValueError(
            f"{text!r} is no {datatype.name}: 1 to {datatype.bits // 8 - 1} characters"
        )
    return String(plain)


def _number(datatype: Datatype, text: str) -> Value:
    named = datatype.symbols.get(text[1:-1] if text[:1] == '"' else text)
    if named is not None:
        return datatype.named(named)
    if not text[:1].isdigit():
        what = f"{text!r} is no {datatype.name}"
        known = ", ".join(list(datatype.symbols)[:12])
        raise ValueError(f"{what}; there are {known}" if known else f"{what}; write a number")
    value = c_integer(text, 0, (1 << min(datatype.bits, 63)) - 1)
    return datatype.named(value, hexadecimal=text[:2] in ("0x", "0X"))


@lru_cache
def integer(bits: int) -> Datatype:
    """A number without a type of its own."""
    return Datatype("integer", bits)


IPV4_ADDR = Datatype("ipv4_addr", 32, kind="address")
IPV6_ADDR = Datatype("ipv6_addr", 128, kind="address")
INET_SERVICE = Datatype("inet_service", 16, symbols.SERVICES, by_number=True)
INET_PROTO = Datatype("inet_proto", 8, symbols.PROTOCOLS)
MARK = Datatype("mark", 32, is_hexadecimal=True)
IFNAME = Datatype("ifname", 128, kind="string")
IFACE_INDEX = Datatype("iface_index", 128, kind="string")
VERDICT = Datatype("verdict", 0, kind="text")
_ALL = (
    IPV4_ADDR, IPV6_ADDR, INET_SERVICE, INET_PROTO, MARK, IFNAME, IFACE_INDEX, VERDICT,
    Datatype("ct_state", 32, symbols.CT_STATE, is_bitmask=True, is_hexadecimal=True),
    Datatype("ct_status", 32, symbols.CT_STATUS, is_bitmask=True, is_hexadecimal=True),
    Datatype("ct_dir", 8, symbols.CT_DIRECTION),
    Datatype("ct_event", 32, symbols.CT_EVENT, is_bitmask=True, is_hexadecimal=True),
    Datatype("ct_label", 128, is_bitmask=True),
    Datatype("tcp_flag", 8, symbols.TCP_FLAG, is_bitmask=True, is_hexadecimal=True),
    Datatype("icmp_type", 8, symbols.ICMP_TYPE),
    Datatype("icmpv6_type", 8, symbols.ICMPV6_TYPE),
    Datatype("icmp_code", 8, symbols.ICMP_CODE),
    Datatype("icmpv6_code", 8, symbols.ICMPV6_CODE),
    Datatype("icmpx_code", 8, symbols.ICMPX_CODE),
    Datatype("fib_addrtype", 32, symbols.FIB_ADDRTYPE),
    Datatype("nf_proto", 8, symbols.NF_PROTO),
    Datatype("ether_type", 16, symbols.ETHER_TYPE, is_hexadecimal=True),
    Datatype("ether_addr", 48, kind="mac"),
    Datatype("pkt_type", 8, symbols.PKT_TYPE),
    Datatype("dscp", 6, symbols.DSCP, is_hexadecimal=True),
    Datatype("ecn", 2, symbols.ECN, is_hexadecimal=True),
    Datatype("iface_type", 16, symbols.IFACE_TYPE),
    Datatype("arp_op", 16, symbols.ARP_OP),
    Datatype("boolean", 8, symbols.BOOLEAN),
    Datatype("dccp_pkttype", 4, symbols.DCCP_TYPE),
    Datatype("igmp_type", 8, symbols.IGMP_TYPE),
    Datatype("day", 8, symbols.DAY),
    Datatype("uid", 32, {"root": 0}, by_number=True),
    Datatype("gid", 32, {"root": 0}, by_number=True),
    Datatype("realm", 32), Datatype("devgroup", 32),
    Datatype("classid", 32, kind="text"), Datatype("time", 64, kind="text"),
    Datatype("hour", 32, kind="text"), Datatype("cgroupsv2", 64, kind="text"),
    Datatype("string", 1024, kind="string"),
)  # fmt: skip
GUESSED = Datatype("value", 0, kind="text")
"""The type of what is in a set that is declared further down: values are read as they look."""
BY_NAME = {datatype.name: datatype for datatype in _ALL}
