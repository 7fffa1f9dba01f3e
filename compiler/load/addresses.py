"""Addresses and networks of API objects, as the API server takes or once took them.

Source: k8s.io/utils/net ParseIPSloppy and ParseCIDRSloppy, with which kube-proxy reads them; KEP
4858, which has the API server refuse leading zeros and IPv4-mapped addresses in new objects from
1.36 on and keep the old ones.
"""

from __future__ import annotations

import socket

from svcc.compiler.load.text import shorten
from svcc.grammar.address import (
    Address,
    Family,
    Network,
    parse_address,
    parse_network,
    prefix_mask,
)


class LegacySpelling(ValueError):  # noqa: N818
    """The text means ``value``, but is spelled as new objects must not spell it."""

    def __init__(self, message: str, value: Address | Network | str) -> None:
        super().__init__(message)
        self.value = value


def address(text: str) -> Address:
    """One IP address.

    Raises:
        LegacySpelling: it has leading zeros, or is an IPv4 address in IPv6 form.
        ValueError: it is none.
    """
    checked(text)
    try:
        return parse_address(text)
    except ValueError:
        found = _sloppy_address(text)
        if found is None:
            raise
        raise LegacySpelling(_legacy(text, found), found) from None


def _legacy(text: str, found: Address | Network) -> str:
    what = "is an IPv4 address in IPv6 form" if ":" in text else "has leading zeros"
    return f"{text!r} {what}; read as {found}, as kube-proxy does; write that"


def _sloppy_address(text: str) -> Address | None:
    """The address whose decimal octets have leading zeros, or that is IPv4 in IPv6 form."""
    front, colon, last = text.rpartition(":")
    octets = last.split(".")
    if "." in last:
        if len(octets) != 4 or not all(o.isascii() and o.isdigit() for o in octets):
            return None
        text = f"{front}{colon}{'.'.join(o.lstrip('0') or '0' for o in octets)}"
    try:
        return parse_address(text)
    except ValueError:
        return _mapped(text) if colon else None


def _mapped(text: str) -> Address | None:
    """The IPv4 address of ``::ffff:a.b.c.d``, however that is spelled."""
    try:
        packed = socket.inet_pton(socket.AF_INET6, text)
    except OSError:
        return None
    value = int.from_bytes(packed, "big")
    return Address(Family.IPV4, value & 0xFFFFFFFF) if value >> 32 == 0xFFFF else None


_SPECIAL = [
    (parse_network(text), what)
    for text, what in (
        ("0.0.0.0/32", "the unspecified address"),
        ("::/128", "the unspecified address"),
        ("127.0.0.0/8", "a loopback address"),
        ("::1/128", "a loopback address"),
        ("169.254.0.0/16", "a link-local address"),
        ("fe80::/10", "a link-local address"),
        ("224.0.0.0/24", "a link-local multicast address"),
        ("ff02::/16", "a link-local multicast address"),
    )
]
_SPECIAL_FIRST_BYTE = {
    Family.IPV4: frozenset((0, 127, 169, 224)),
    Family.IPV6: frozenset((0, 0xFE, 0xFF)),
}


def remote_address(text: str) -> Address:
    """An address that another host can have.

    Source: k8s.io/kubernetes pkg/apis/core/validation ValidateNonSpecialIP, which guards
    endpoints and externalIPs.
    """
    try:
        found = address(text)
    except LegacySpelling as legacy:
        if isinstance(legacy.value, Address):
            _check_remote(text, legacy.value)
        raise
    _check_remote(text, found)
    return found


def _check_remote(text: str, found: Address) -> None:
    # Millions of addresses come this way, and few of them need the closer look.
    if found.value >> found.family.bits - 8 in _SPECIAL_FIRST_BYTE[found.family]:
        for special, what in _SPECIAL:
            if special.holds(found):
                raise ValueError(f"{text!r} is {what}; no other host can be reached there")


def network(text: str) -> Network:
    """A CIDR; blanks around it are passed over, as the API server does.

    Raises:
        LegacySpelling: it has leading zeros.
        ValueError: it is none.
    """
    text = checked(text.strip())
    try:
        return parse_network(text)
    except ValueError:
        front, slash, length = text.partition("/")
        found = _sloppy_address(front)
        if found is None or not slash or (":" in front and found.family is Family.IPV4):
            raise
        if not (length.isascii() and length.isdigit() and int(length) <= found.family.bits):
            raise
        mask = prefix_mask(found.family, int(length))
        network = Network(found.family, found.value & mask, int(length))
        raise LegacySpelling(_legacy(text, network), network) from None


def checked(text: str) -> str:
    """The text, unless it is too long or not printable to be repeated in a message."""
    if len(text) > 60 or not text.isprintable():
        raise ValueError(f"{shorten(text)} is neither an IP address nor a CIDR")
    return text
