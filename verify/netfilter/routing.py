"""Who can have sent what comes in on a wire.

IPv4 takes nothing from a wire whose source is an address of the node itself, be it on a dummy
device: a martian source, dropped behind PREROUTING (net/ipv4/fib_frontend.c,
__fib_validate_source; only ``accept_local`` lets it in). IPv6 has no such check. There it is an
assumption that nobody else sends with the node's addresses (docs/verification.md).
"""

from __future__ import annotations

from svcc.grammar.address import Family


def drops_own_sources(family: Family) -> bool:
    """Whether the kernel drops what comes from a wire with one of the node's own sources."""
    return family is Family.IPV4
