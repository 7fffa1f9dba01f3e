"""How Services are named."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.grammar.address import Family, Network
from svcc.grammar.dns.zone import is_domain_name

CLUSTER_DOMAIN = "cluster.local"
TTL = 5
"""Seconds, as CoreDNS has it (plugin/kubernetes)."""
MAX_TTL = 3600
"""CoreDNS takes no more."""
MAX_DOMAIN = 180
"""Letters of a cluster domain that leave room for hostname, Service and namespace of a usual
length.
"""
REVERSE = {Family.IPV4: "in-addr.arpa", Family.IPV6: "ip6.arpa"}
"""Where addresses are names (RFC 1035, section 3.5; RFC 3596, section 2.5)."""


@dataclass(frozen=True, slots=True)
class NameSettings:
    """``ttl`` is in seconds. ``reverse_networks`` are those that have a reverse zone each, and
    end where a part of a reverse name does; none: each family has one zone for all addresses.
    """

    cluster_domain: str = CLUSTER_DOMAIN
    ttl: int = TTL
    reverse_networks: tuple[Network, ...] = ()


def cluster_domain(text: str) -> str:
    """A cluster domain as names are compared: in lower case, without the final dot.

    Raises:
        ValueError: it is none.
    """
    found = text.removesuffix(".").lower()
    if not is_domain_name(found):
        raise ValueError(f"{text!r:.60} is no domain name")
    if len(found) > MAX_DOMAIN:
        raise ValueError(f"it has {len(found)} letters; more than {MAX_DOMAIN} leave no room")
    if any(found == top or found.endswith(f".{top}") for top in REVERSE.values()):
        raise ValueError(f"{found} is where addresses have their names")
    return found


def reverse_zone(network: Network) -> str:
    """The reverse zone of a network.

    Raises:
        ValueError: it does not end where a part of a reverse name does.
    """
    part = _part(network.family)
    if network.prefix_length % part:
        what = "bytes" if network.family is Family.IPV4 else "hexadecimal digits"
        raise ValueError(f"{network} does not end at whole {what}, and reverse names do")
    name = reverse_name(network.family, network.value)
    missing = (network.family.bits - network.prefix_length) // part
    return ".".join(name.split(".")[missing:])


def reverse_name(family: Family, address: int) -> str:
    """The name of an address, under which its PTR record stands."""
    part = _part(family)
    parts = [address >> shift & (1 << part) - 1 for shift in range(0, family.bits, part)]
    digits = (f"{value:d}" if family is Family.IPV4 else f"{value:x}" for value in parts)
    return ".".join([*digits, REVERSE[family]])


def _part(family: Family) -> int:
    """Bits of a part of a reverse name."""
    return 8 if family is Family.IPV4 else 4
