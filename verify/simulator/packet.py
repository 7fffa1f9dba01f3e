"""Concrete packets, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.program import Rule
from svcc.grammar.ipvs.ipvsadm import VirtualKey

PROTOCOL_NAME = {6: "tcp", 17: "udp", 132: "sctp", 1: "icmp", 58: "ipv6-icmp"}
DOCUMENTATION_SOURCE = {Family.IPV4: 0xC6336401, Family.IPV6: 0x20010DB8 << 96 | 1}
"""198.51.100.1 and 2001:db8::1 (RFC 5737, RFC 3849)."""
EPHEMERAL_PORT, HTTP_ALTERNATE, TCP = 40000, 8080, 6


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection. Addresses are integers, the mark is as it arrives.

    ``in_interface`` is empty for a packet that a process of the node sends.
    """

    family: Family
    from_node: bool
    source: int
    source_port: int
    destination: int
    destination_port: int
    protocol: int
    in_interface: str = ""
    mark: int = 0

    def __str__(self) -> str:
        origin = "the node itself" if self.from_node else self.in_interface or "outside"
        protocol = PROTOCOL_NAME.get(self.protocol, f"protocol {self.protocol}")
        source = endpoint_text(self.family, self.source, self.source_port)
        destination = endpoint_text(self.family, self.destination, self.destination_port)
        mark = f" mark {self.mark:#x}" if self.mark else ""
        return f"{protocol} {source} -> {destination} from {origin}{mark}"


def endpoint_text(family: Family, address: int, port: int) -> str:
    """``ADDRESS:PORT``, IPv6 in brackets."""
    text = str(Address(family, address))
    return f"[{text}]:{port}" if family is Family.IPV6 else f"{text}:{port}"


@dataclass(frozen=True, slots=True)
class Allowances:
    """What rules may do that is not held against those that are judged.

    Rules are named by their identity (``id``); by default every rule counts.
    """

    excused: frozenset[int] = frozenset()
    """What such a rule fires for is its owner's: the walk ends there, and is not judged."""
    theirs: frozenset[int] = frozenset()
    """What such a rule accepts need not be refused; that it rewrites a source says nothing."""
    leaving: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """That such a rule rewrites a source says nothing where the packet leaves this network
    (address and mask), or where nothing has translated it."""
    passed_over: frozenset[int] = frozenset()
    """Whatever its target is, such a rule accepts, and does nothing else."""
    policies_drop: bool = True
    """Whether the policies of base chains count."""


@dataclass(frozen=True, slots=True)
class World:
    """What the rules ask about besides the packet.

    ``is_local`` tells whether an address is the node's. ``recent`` has the lists in which
    the client's address stands, and how many seconds ago it was last seen there.
    """

    is_local: Callable[[int], bool]
    recent: Mapping[str, int] = field(default_factory=dict)
    out_interface: str = "eth0"
    ways: Callable[[int], str] | None = None
    """The interface towards an address that is not the node's; None: ``out_interface``."""
    own_address: Callable[[str, int], int] | None = None
    """What MASQUERADE writes on an interface towards an address; None: nobody looks at it, and
    the packet keeps its source."""
    state: str = "NEW"
    """The packet's conntrack state; nat looks only at NEW ones."""
    guess: Callable[[Rule], bool] | None = None
    """Whether a match outside the model is true; None: that is not decided."""
    allowances: Allowances = field(default_factory=Allowances)

    def way_out(self, address: int) -> str:
        """The interface on which a packet to ``address`` is sent."""
        if self.is_local(address):
            return "lo"
        return self.out_interface if self.ways is None else self.ways(address)


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that matched, and what it did."""

    table: str
    chain: str
    rule: Rule | None
    """None: the chain's policy."""
    effect: str
    virtual: VirtualKey | None = None
    """The virtual server that did it, in place of a rule."""
    file: str = ""
    """What the virtual server was read from."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a packet; ``excused``: an excused rule fired, which ended its way.

    ``destination`` and ``destination_port`` are after DNAT. ``recorded`` names the recent
    lists that the client was put in. ``sent_out``: the packet passed POSTROUTING, the only
    place where its source can be rewritten; one from a wire to the node itself does not.
    """

    verdict: Literal["passed", "rejected", "dropped", "excused"]
    destination: int
    destination_port: int
    translated: bool
    masqueraded: bool
    sent_out: bool
    mark: int
    recorded: frozenset[str]
    trace: tuple[Step, ...]
    source: int | None = None
    """After SNAT or MASQUERADE; None: not known."""
    source_port: int | None = None
    """As ``source``."""
    placed: bool = True
    """Whether it got through the rewriting hooks, and no rule can send it elsewhere any more."""
    let_past: bool = False
    """A rule that is ``theirs`` accepted it on its way."""
    rewritten_by_others: bool = False
    """A rule that is ``theirs`` rewrote its source."""
