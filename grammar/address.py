"""IP addresses and masks as plain integers, with the kernel's own text forms."""

from __future__ import annotations

import socket
from enum import IntEnum
from typing import NamedTuple


class Family(IntEnum):
    """An IP version. Its value is the version number."""

    IPV4 = 4
    IPV6 = 6

    # enum.Enum's is written in Python, and every address and network in a dictionary asks for it.
    __hash__ = int.__hash__

    @property
    def bits(self) -> int:
        """Width of an address, in bits."""
        return 32 if self is Family.IPV4 else 128

    @property
    def label(self) -> str:
        """``ipv4`` or ``ipv6``, as the command line spells it."""
        return f"ipv{int(self)}"


_SOCKET_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


class Address(NamedTuple):
    """One IP address."""

    family: Family
    value: int

    def __str__(self) -> str:
        return format_address(self.family, self.value)


class Network(NamedTuple):
    """An address block: ``value`` has no bits outside the prefix."""

    family: Family
    value: int
    prefix_length: int

    @property
    def mask(self) -> int:
        """The netmask as an integer."""
        return prefix_mask(self.family, self.prefix_length)

    def holds(self, address: Address) -> bool:
        """Whether an address of the same family lies inside."""
        return address.family == self.family and address.value & self.mask == self.value

    def overlaps(self, other: Network) -> bool:
        """Whether the two share an address."""
        mask = self.mask & other.mask
        return self.family == other.family and self.value & mask == other.value & mask

    def __str__(self) -> str:
        return f"{format_address(self.family, self.value)}/{self.prefix_length}"


LOOPBACK = {
    Family.IPV4: Network(Family.IPV4, 127 << 24, 8),
    Family.IPV6: Network(Family.IPV6, 1, 128),
}
"""What never leaves a host (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3)."""


def prefix_mask(family: Family, prefix_length: int) -> int:
    """The netmask of a prefix length, as an integer."""
    bits = family.bits
    return (1 << bits) - (1 << (bits - prefix_length))


def format_address(family: Family, value: int) -> str:
    """Canonical text of an address (RFC 5952 for IPv6, as the kernel tools print it)."""
    return socket.inet_ntop(_SOCKET_FAMILY[family], value.to_bytes(family.bits // 8, "big"))


def parse_address(text: str) -> Address:
    """Read one address; no leading zeros, no IPv4-mapped IPv6, no scope.

    Raises:
        ValueError: it is not an IP address in that form.
    """
    address = parse_rule_address(text)
    if address.family is Family.IPV6 and address.value >> 32 == 0xFFFF:
        raise ValueError(f"{text!r} is an IPv4-mapped IPv6 address; write the IPv4 address")
    return address


def parse_rule_address(text: str) -> Address:
    """Read one address as rules have it: IPv4-mapped ones too, which host firewalls drop.

    Raises:
        ValueError: it is not an IP address; no leading zeros, no scope.
    """
    family = Family.IPV6 if ":" in text else Family.IPV4
    try:
        packed = socket.inet_pton(_SOCKET_FAMILY[family], text)
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IP address") from None
    return Address(family, int.from_bytes(packed, "big"))


def parse_network(text: str) -> Network:
    """Read ``ADDRESS/LENGTH``; bits outside the prefix are cleared, as Kubernetes does.

    Raises:
        ValueError: it is not a CIDR.
    """
    address_text, slash, length_text = text.partition("/")
    if not slash or not length_text.isascii() or not length_text.isdigit():
        raise ValueError(f"{text!r} is not a CIDR (ADDRESS/PREFIXLENGTH)")
    address = parse_address(address_text)
    length = int(length_text) if len(length_text) <= 3 else 999
    if length > address.family.bits:
        raise ValueError(f"{text!r} has a prefix longer than {address.family.bits} bits")
    mask = prefix_mask(address.family, length)
    return Network(address.family, address.value & mask, length)
