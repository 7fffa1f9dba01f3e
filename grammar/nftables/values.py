"""Single values of nftables text: numbers, addresses, networks, ranges, names, durations."""

from __future__ import annotations

import re
from functools import lru_cache

from svcc.grammar.address import Address, Network, parse_address, prefix_mask
from svcc.grammar.nftables.program import Expression, Number, Range, String, Symbol, Value

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19}")
_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?=[^:]*:[^:]*:)[0-9a-fA-F:.]+")
_NAME = re.compile(r"[A-Za-z_][\w./\\+*-]*")
_TIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")
_UNITS = (86_400_000, 3_600_000, 60_000, 1000, 1)


@lru_cache(maxsize=1 << 17)
def value(text: str) -> Expression:
    """A value, network or range as nft writes it.

    Raises:
        ValueError: it is none of them.
    """
    found = _single(text)
    if found is not None:
        return found
    if "/" in text and (network := _network(text)) is not None:
        return network
    first, dash, last = text.partition("-")
    if dash and (low := _single(first)) is not None and (high := _single(last)) is not None:
        return Range(low, high)
    if _NAME.fullmatch(text):
        return Symbol(text)
    raise ValueError(f"{text!r} is no value")


def _single(text: str) -> Value | None:
    if text.startswith('"'):
        return String(text[1:-1])
    if _NUMBER.fullmatch(text):
        is_hexadecimal = text[:2] in ("0x", "0X")
        return Number(int(text, 16 if is_hexadecimal else 10), is_hexadecimal)
    return _address(text)


@lru_cache(maxsize=1 << 17)
def _address(text: str) -> Address | None:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if not _ADDRESS.fullmatch(bare):
        return None
    try:
        return parse_address(bare)
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    address_text, _, length_text = text.partition("/")
    address = _address(address_text)
    if address is None or not length_text.isdigit() or len(length_text) > 3:
        return None
    length = int(length_text)
    if length > address.family.bits:
        return None
    mask = prefix_mask(address.family, length)
    return Network(address.family, address.value & mask, length)


@lru_cache(maxsize=1 << 12)
def milliseconds(text: str) -> int:
    """A duration such as ``3h`` or ``1m30s``; a bare number is seconds.

    Raises:
        ValueError: it is none.
    """
    if text.isdigit():
        return int(text) * 1000
    found = _TIME.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration such as 3h or 1m30s")
    return sum(int(count or 0) * unit for count, unit in zip(found.groups(), _UNITS, strict=True))
