"""Words of a configuration of nginx as values: places, networks, variables."""

from __future__ import annotations

import re
from typing import NamedTuple

from svcc.grammar.address import Address, Family, Network, parse_address, prefix_mask
from svcc.grammar.numbers import MAX_PORT
from svcc.verify.userspace.model import Word

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_PLACE = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|\*|[0-9.]+):)?(?P<port>[0-9]{1,5})")


class Place(NamedTuple):
    """An address and a port; ``address`` None: every address."""

    address: Address | None
    port: int


def place(text: str) -> Place | None:
    """``ADDRESS:PORT``, ``*:PORT`` or ``PORT``; None for anything else, such as names and sockets
    of files (ngx_parse_url).
    """
    found = _PLACE.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= MAX_PORT:
        return None
    number, host = int(found["port"]), found["host"]
    if host in (None, "*"):
        return Place(None, number)
    address = address_of(host.strip("[]"))
    if address is None or (address.family is Family.IPV6) != host.startswith("["):
        return None
    return Place(address if address.value else Address(address.family, 0), number)


def address_of(text: str) -> Address | None:
    """An address; None if it is none."""
    try:
        return parse_address(text)
    except ValueError:
        return None


def network(text: str) -> Network | None:
    """An address with or without the length of a prefix; bits behind it are cut off, as nginx does
    (ngx_ptocidr). None if it is none.
    """
    host, slash, length = text.partition("/")
    address = address_of(host)
    if address is None:
        return None
    bits = address.family.bits
    if not slash:
        return Network(address.family, address.value, bits)
    if not re.fullmatch(r"[0-9]{1,3}", length) or int(length) > bits:
        return None
    mask = prefix_mask(address.family, int(length))
    return Network(address.family, address.value & mask, int(length))


def word(text: str) -> Word:
    """Literal texts and variables, in their order."""
    parts: list[tuple[bool, str]] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        if found.start() > end:
            parts.append((False, text[end : found.start()]))
        parts.append((True, found[1] or found[2]))
        end = found.end()
    if end < len(text):
        parts.append((False, text[end:]))
    return tuple(parts)


def variables(of: Word) -> tuple[str, ...]:
    """The names of the variables in a word."""
    return tuple(name for is_variable, name in of if is_variable)
