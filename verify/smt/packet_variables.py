"""The free constants that are the packet and its way."""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple

from svcc.verify.smt.term import BOOL, Term, bit_vector, constant

PORT = bit_vector(16)
INTERFACE = bit_vector(16)
PROTOCOL = bit_vector(8)
MARK = bit_vector(32)

Variable = Literal["iif", "oif0", "oif1"]
Interface = Variable | Literal["none", "lo"]
"""An interface by the name of its constant; none at all, or loopback."""


class PacketVariables(NamedTuple):
    """The packet as it came."""

    src: Term
    dst: Term
    sport: Term
    dport: Term
    proto: Term
    mark0: Term
    iif: Term
    """The interface it came in on."""
    oif0: Term
    """The interface that leads to its first destination."""
    oif1: Term
    """The interface that leads to its last destination."""
    local: Term
    """The destination is an address of the node."""

    def interface(self, variable: Variable) -> Term:
        """One of its interfaces."""
        return {"iif": self.iif, "oif0": self.oif0, "oif1": self.oif1}[variable]


@cache
def packet_variables(width: int) -> PacketVariables:
    """The packet's constants; addresses have so many bits."""
    return PacketVariables(
        src=constant("src", bit_vector(width)),
        dst=constant("dst", bit_vector(width)),
        sport=constant("sport", PORT),
        dport=constant("dport", PORT),
        proto=constant("proto", PROTOCOL),
        mark0=constant("mark0", MARK),
        iif=constant("iif", INTERFACE),
        oif0=constant("oif0", INTERFACE),
        oif1=constant("oif1", INTERFACE),
        local=constant("local", BOOL),
    )
