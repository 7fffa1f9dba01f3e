"""Values of iptables options: text to the numbers that the kernel stores.

Every function raises ValueError with a message for the person who wrote the text.
"""

from __future__ import annotations

import re
from functools import lru_cache

from svcc.grammar.address import Address, Family, parse_rule_address, prefix_mask
from svcc.grammar.iptables.names import CONNTRACK_STATES, PROTOCOL_NUMBERS, TCP_FLAGS
from svcc.grammar.iptables.program import PROBABILITY_ONE, AddressMatch, PortRange
from svcc.grammar.numbers import MAX_PORT, c_integer, decimal_port, port


@lru_cache(maxsize=1 << 14)
def port_range(text: str, negated: bool = False, *, is_decimal: bool = False) -> PortRange:
    """``PORT`` or ``FIRST:LAST``, either end open.

    ``is_decimal``: ``010`` is 10, as -m conntrack has it (libxtables, xtables_getportbyname).
    """
    read = decimal_port if is_decimal else port
    first_text, colon, last_text = text.partition(":")
    first = read(first_text) if first_text or not colon else 0
    last = (read(last_text) if last_text else MAX_PORT) if colon else first
    if first > last:
        raise ValueError(f"{text!r}: the first port is above the last")
    return PortRange(first, last, negated)


def port_span(text: str) -> tuple[int, int]:
    """``PORT`` or ``FIRST-LAST``, as NAT targets take them."""
    first_text, dash, last_text = text.partition("-")
    first = port(first_text)
    last = port(last_text) if dash else first
    if first > last:
        raise ValueError(f"{text!r}: the first port is above the last")
    return first, last


def address(text: str, family: Family) -> Address:
    """One address of the file's family."""
    value = parse_rule_address(text)
    if value.family is not family:
        raise ValueError(f"{text!r} is no {_FAMILY_NAME[family]} address, but this file is one")
    return value


_FAMILY_NAME = {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}


@lru_cache(maxsize=1 << 16)
def address_match(text: str, family: Family, negated: bool = False) -> AddressMatch:
    """``ADDRESS[/LENGTH|/MASK]``."""
    if "," in text:
        raise ValueError("a list of addresses stands for several rules; write them out")
    address_text, slash, mask_text = text.partition("/")
    value = address(address_text, family).value
    if not slash:
        mask = prefix_mask(family, family.bits)
    elif re.fullmatch(r"[0-9]{1,3}", mask_text):
        mask = prefix_mask(family, c_integer(mask_text, 0, family.bits))
    else:
        mask = address(mask_text, family).value
    return AddressMatch(value & mask, mask, negated)


def protocol(text: str) -> int:
    """A protocol's IANA number; 0 is any."""
    known = PROTOCOL_NUMBERS.get(text.lower())
    if known is not None:
        return known
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"{text!r} is not a protocol; write its number")
    return c_integer(text, 0, 255)


def interface(text: str) -> str:
    """An interface name, ``+`` at its end for any suffix (IFNAMSIZ is 16)."""
    if not 0 < len(text) <= 15 or "/" in text:
        raise ValueError(f"{text!r} is not an interface name (at most 15 characters)")
    return text


def value_and_mask(text: str) -> tuple[int, int]:
    """``VALUE[/MASK]`` of a mark, 32 bits."""
    value_text, slash, mask_text = text.partition("/")
    top = 0xFFFFFFFF
    return c_integer(value_text, 0, top), c_integer(mask_text, 0, top) if slash else top


def states(text: str) -> frozenset[str]:
    """A comma-separated list of conntrack states."""
    found = frozenset(text.upper().split(","))
    unknown = found - set(CONNTRACK_STATES)
    if unknown:
        raise ValueError(f"{sorted(unknown)[0]!r} is not a conntrack state")
    return found


def tcp_flags(text: str) -> int:
    """A comma-separated list of TCP flags as bits."""
    if text.upper() in ("ALL", "NONE"):
        return 0x3F if text.upper() == "ALL" else 0
    bits = 0
    for name in text.upper().split(","):
        if name not in TCP_FLAGS:
            raise ValueError(f"{name!r} is not a TCP flag")
        bits |= TCP_FLAGS[name]
    return bits


def probability(text: str) -> int:
    """A probability in units of 2**-31 (extensions/libxt_statistic.c: lround)."""
    if not re.fullmatch(r"[0-9]*\.?[0-9]+([eE][-+]?[0-9]{1,3})?", text):
        raise ValueError(f"{text!r} is not a probability (0.0-1.0)")
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(f"{text} is not a probability (0.0-1.0)")
    return int(value * PROBABILITY_ONE + 0.5)


def bytecode(text: str) -> tuple[tuple[int, int, int, int], ...]:
    """``COUNT,CODE JT JF K,…`` (extensions/libxt_bpf.c; at most 64 instructions)."""
    count_text, *parts = text.strip().rstrip(",").split(",")
    count = c_integer(count_text, 1, 64)
    limits = (0xFFFF, 0xFF, 0xFF, 0xFFFFFFFF)
    instructions = []
    for part in parts:
        words = part.split()
        if len(words) != 4:
            raise ValueError(f"{part!r} is not a BPF instruction (CODE JT JF K)")
        code, if_true, if_false, constant = (
            c_integer(word, 0, limit) for word, limit in zip(words, limits, strict=True)
        )
        instructions.append((code, if_true, if_false, constant))
    if len(instructions) != count:
        raise ValueError(f"{count} instructions announced, {len(instructions)} given")
    return tuple(instructions)


def nat_destination(
    text: str, family: Family
) -> tuple[int | None, int | None, int | None, int | None]:
    """``[ADDRESS[-ADDRESS]][:PORT[-PORT]]``: first and last address, first and last port."""
    addresses, ports = text, ""
    if family is Family.IPV6:
        bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", text)
        if bracketed:
            addresses, ports = bracketed[1], bracketed[2] or ""
            if text.endswith(":"):
                raise ValueError(f"{text!r} ends before the port")
    else:
        addresses, colon, ports = text.partition(":")
        if colon and not ports:
            raise ValueError(f"{text!r} ends before the port")
    if not addresses and not ports:
        raise ValueError("an address or a port is needed")
    first = last = None
    if addresses:
        first_text, dash, last_text = addresses.partition("-")
        first = address(first_text, family).value
        last = address(last_text, family).value if dash else first
    if not ports:
        return first, None if last == first else last, None, None
    first_port, last_port = port_span(ports)
    if not first_port:
        raise ValueError(f"{text!r}: port 0 cannot be translated to")
    return (
        first,
        None if last == first else last,
        first_port,
        None if last_port == first_port else last_port,
    )


def unquote(text: str) -> str:
    """A quoted word without its quotes."""
    if text[:1] != '"':
        return text
    inside = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inside, flags=re.DOTALL) if "\\" in inside else inside
