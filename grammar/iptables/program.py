"""The typed rule program: what iptables-save prints and iptables-restore reads.

One class per match and target (iptables-extensions(8)). Values are stored as the kernel
stores them: addresses and masks as integers, probabilities in units of 2**-31, marks as
(value, mask). Instances are values: they are compared, hashed and never changed. They are
not ``frozen`` because a frozen dataclass takes three times as long to build, and a large
rule set holds a million of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from svcc.grammar.address import Family

PROBABILITY_ONE = 1 << 31
"""Probability 1 as ``xt_statistic`` stores it (net/netfilter/xt_statistic.c)."""


@dataclass(slots=True, unsafe_hash=True)
class AddressMatch:
    """``[!] -s|-d ADDRESS/MASK``. The mask may have holes, as iptables allows."""

    address: int
    mask: int
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class InterfaceMatch:
    """``[!] -i|-o NAME``; a trailing ``+`` matches any suffix."""

    name: str
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class ProtocolMatch:
    """``[!] -p PROTOCOL``: IANA number."""

    number: int
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class PortRange:
    """``FIRST[:LAST]``, both included."""

    first: int
    last: int
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class Comment:
    """``-m comment --comment TEXT`` (at most 255 bytes)."""

    text: str


@dataclass(slots=True, unsafe_hash=True)
class TransportMatch:
    """``-m tcp|udp|sctp [--sport …] [--dport …]``."""

    protocol: Literal["tcp", "udp", "sctp"]
    source_ports: PortRange | None = None
    destination_ports: PortRange | None = None
    tcp_flags: TcpFlags | None = None


@dataclass(slots=True, unsafe_hash=True)
class TcpFlags:
    """``[!] --tcp-flags MASK COMP`` (``--syn`` is FIN,SYN,RST,ACK SYN), as bit masks."""

    mask: int
    compare: int
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class MultiportMatch:
    """``-m multiport [!] --sports|--dports|--ports RANGE,…``."""

    which: Literal["sports", "dports", "ports"]
    ranges: tuple[PortRange, ...]
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class MarkMatch:
    """``-m mark [!] --mark VALUE/MASK``: packet mark ``& mask == value``."""

    value: int
    mask: int
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class ConntrackMatch:
    """``-m conntrack``: each part that is given must hold."""

    states: frozenset[str] | None = None
    states_negated: bool = False
    original_source: AddressMatch | None = None
    original_destination: AddressMatch | None = None
    original_destination_ports: PortRange | None = None
    direction: Literal["ORIGINAL", "REPLY"] | None = None


@dataclass(slots=True, unsafe_hash=True)
class StateMatch:
    """``-m state [!] --state STATES``."""

    states: frozenset[str]
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class AddrtypeMatch:
    """``-m addrtype [!] --src-type T [!] --dst-type T``."""

    source_type: str | None = None
    source_negated: bool = False
    destination_type: str | None = None
    destination_negated: bool = False
    limit_interface: Literal["in", "out"] | None = None


@dataclass(slots=True, unsafe_hash=True)
class RandomMatch:
    """``-m statistic --mode random [!] --probability P``.

    ``threshold`` is ``P * 2**31`` rounded, which is what the kernel compares a 31-bit random
    number with.
    """

    threshold: int
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class NthMatch:
    """``-m statistic --mode nth [!] --every EVERY --packet PACKET``."""

    every: int
    packet: int
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class RecentMatch:
    """``-m recent``: a named list of addresses (net/netfilter/xt_recent.c).

    ``seconds`` is the age limit of ``rcheck`` and ``update``, None for any age.
    """

    operation: Literal["set", "rcheck", "update", "remove"]
    name: str
    seconds: int | None = None
    reap: bool = False
    hitcount: int | None = None
    rttl: bool = False
    mask: int | None = None
    """None: all bits."""
    by_destination: bool = False
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class BpfMatch:
    """``-m bpf --bytecode``: classic BPF instructions (code, jt, jf, k)."""

    instructions: tuple[tuple[int, int, int, int], ...]


@dataclass(slots=True, unsafe_hash=True)
class SetMatch:
    """``-m set [!] --match-set NAME FLAGS``."""

    name: str
    flags: tuple[str, ...]
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class IpvsMatch:
    """``-m ipvs [!] --ipvs``: IPVS has sent the packet on."""

    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class VirtualServerMatch:
    """``-m ipvs [!] --vproto P [!] --vaddr A [!] --vport N``: IPVS has sent the packet on, and this
    is where it was addressed to before. Each part that is given must hold.
    """

    protocol: ProtocolMatch | None = None
    address: AddressMatch | None = None
    port: PortRange | None = None


@dataclass(slots=True, unsafe_hash=True)
class Option:
    """One ``[!] --name value…`` of a match or target that has no class of its own."""

    name: str
    values: tuple[str, ...] = ()
    negated: bool = False


@dataclass(slots=True, unsafe_hash=True)
class OtherMatch:
    """A match that iptables knows and the model of :mod:`svcc.verify` does not."""

    name: str
    options: tuple[Option, ...] = ()


Match = (
    Comment
    | TransportMatch
    | MultiportMatch
    | MarkMatch
    | ConntrackMatch
    | StateMatch
    | AddrtypeMatch
    | RandomMatch
    | NthMatch
    | RecentMatch
    | BpfMatch
    | SetMatch
    | IpvsMatch
    | VirtualServerMatch
    | OtherMatch
)


@dataclass(slots=True, unsafe_hash=True)
class Jump:
    """``-j CHAIN``: a user-defined chain, with return to the next rule."""

    chain: str


@dataclass(slots=True, unsafe_hash=True)
class Goto:
    """``-g CHAIN``: a user-defined chain, with return to where the last jump came from."""

    chain: str


@dataclass(slots=True, unsafe_hash=True)
class Verdict:
    """``-j ACCEPT|DROP|RETURN``."""

    name: Literal["ACCEPT", "DROP", "RETURN"]


@dataclass(slots=True, unsafe_hash=True)
class Reject:
    """``-j REJECT --reject-with TYPE``."""

    reject_with: str


@dataclass(slots=True, unsafe_hash=True, kw_only=True)
class NatTarget:
    """``-j DNAT|SNAT --to-… [ADDRESS[-ADDRESS]][:PORT[-PORT]]``, ``-j REDIRECT --to-ports``.

    Absent parts are None: that part of the packet stays as it is.
    """

    name: Literal["DNAT", "SNAT", "REDIRECT"]
    first_address: int | None = None
    last_address: int | None = None
    first_port: int | None = None
    last_port: int | None = None
    random: bool = False
    random_fully: bool = False
    persistent: bool = False
    base_port: int | None = None
    """Where a range of ports is shifted from (``PORT-PORT/BASE``, Linux 4.18)."""


@dataclass(slots=True, unsafe_hash=True)
class Masquerade:
    """``-j MASQUERADE [--to-ports FIRST[-LAST]] [--random] [--random-fully]``."""

    first_port: int | None = None
    last_port: int | None = None
    random: bool = False
    random_fully: bool = False


@dataclass(slots=True, unsafe_hash=True)
class SetMark:
    """``-j MARK --set-xmark VALUE/MASK``: mark = (mark & ~mask) ^ value.

    The other spellings (``--or-mark``, ``--xor-mark``, ``--and-mark``, ``--set-mark``) are
    this one with other numbers, and iptables-save prints them so.
    """

    value: int
    mask: int


@dataclass(slots=True, unsafe_hash=True)
class Notrack:
    """``-j CT --notrack`` or ``-j NOTRACK``."""


@dataclass(slots=True, unsafe_hash=True)
class MapMark:
    """``-j SET --map-set NAME FLAGS --map-mark``: the mark of the set's entry, if there is one."""

    name: str
    flags: tuple[str, ...]


@dataclass(slots=True, unsafe_hash=True)
class OtherTarget:
    """A target that iptables knows and that has no class of its own (LOG, TPROXY, …)."""

    name: str
    options: tuple[Option, ...] = ()


Target = (
    Jump
    | Goto
    | Verdict
    | Reject
    | NatTarget
    | Masquerade
    | SetMark
    | Notrack
    | MapMark
    | OtherTarget
)


@dataclass(slots=True, kw_only=True)
class Rule:
    """One rule line. ``target`` None: the rule only counts packets.

    ``line`` is 1-based, 0 where the rule was not read from text; it does not take part in
    comparison, and neither do the counters (packets, bytes).
    """

    chain: str
    source: AddressMatch | None = None
    destination: AddressMatch | None = None
    in_interface: InterfaceMatch | None = None
    out_interface: InterfaceMatch | None = None
    protocol: ProtocolMatch | None = None
    fragment: bool | None = None
    """IPv4 ``-f``: True a second or later fragment, False (``! -f``) not one."""
    matches: tuple[Match, ...] = ()
    target: Target | None = None
    command: Literal["-A", "-I", "-D", "-C"] = "-A"
    number: int | None = None
    """Position for ``-I``, 1-based."""
    counters: tuple[int, int] | None = field(default=None, compare=False)
    line: int = field(default=0, compare=False)
    written: object | None = field(default=None, compare=False)
    """What stands in the text where that is no line of iptables; its ``str`` is shown."""


@dataclass(slots=True)
class ChainCommand:
    """``-N|-F|-X|-Z CHAIN`` or ``-P CHAIN POLICY`` inside a table."""

    command: Literal["-N", "-F", "-X", "-Z", "-P"]
    chain: str
    policy: str | None = None
    line: int = field(default=0, compare=False)


@dataclass(slots=True)
class ChainDeclaration:
    """``:CHAIN POLICY [packets:bytes]``; policy None is ``-``.

    A user-defined chain has none; a built-in one without keeps what it has.
    """

    name: str
    policy: Literal["ACCEPT", "DROP"] | None = None
    counters: tuple[int, int] = field(default=(0, 0), compare=False)
    line: int = field(default=0, compare=False)


@dataclass(slots=True)
class Table:
    """``*NAME`` … ``COMMIT``: declarations, then commands in their order."""

    name: str
    chains: dict[str, ChainDeclaration] = field(default_factory=dict)
    commands: list[Rule | ChainCommand] = field(default_factory=list)
    line: int = field(default=0, compare=False)


@dataclass(slots=True)
class Program:
    """A whole restore script of one family. ``source`` names the file in messages."""

    family: Family
    tables: dict[str, Table] = field(default_factory=dict)
    source: str = field(default="", compare=False)
