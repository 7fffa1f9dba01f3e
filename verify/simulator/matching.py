"""What rules ask of a packet on its way, read plainly: the interpreter's conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from svcc.grammar.address import Address, Family, Network, prefix_mask
from svcc.grammar.iptables.program import (
    AddressMatch,
    AddrtypeMatch,
    BpfMatch,
    Comment,
    ConntrackMatch,
    InterfaceMatch,
    IpvsMatch,
    MarkMatch,
    Match,
    MultiportMatch,
    PortRange,
    RandomMatch,
    RecentMatch,
    Rule,
    SetMatch,
    StateMatch,
    TransportMatch,
    VirtualServerMatch,
)
from svcc.grammar.iptables.ruleset import place_of
from svcc.grammar.ipvs.ipset import Entry, Sets
from svcc.verify.netfilter import bpf
from svcc.verify.netfilter.extensions import TCP_SYN, TRANSPORT_NUMBER, only_counts
from svcc.verify.simulator.packet import Packet, Step, World
from svcc.verify.simulator.set_membership import find_entry


class UndecidableError(Exception):
    """The packet met a match or target that the model does not know."""

    def __init__(self, table: str, rule: Rule, what: str) -> None:
        super().__init__(what)
        self.table = table
        self.rule = rule
        self.what = what


Decide = Callable[[RandomMatch], bool]


@dataclass(slots=True)
class Passage:
    """The packet on its way."""

    packet: Packet
    world: World
    decide: Decide
    destination: int
    destination_port: int
    mark: int
    in_interface: str
    source: int | None
    """None: what a rule has rewritten it to is not known."""
    source_port: int | None
    out_interface: str = ""
    translated: bool = False
    balanced: bool = False
    sent_on_from: tuple[int, int] | None = None
    """Address and port of the virtual server that IPVS took the packet for."""
    masqueraded: bool = False
    sent_out: bool = False
    untracked: bool = False
    looped: bool = False
    """It comes in again on loopback, with the connection that it left with."""
    placed: bool = False
    """No rule can send it elsewhere any more."""
    bound: bool = False
    """A chain of this hook's nat has translated it."""
    let_past: bool = False
    rewritten_by_others: bool = False
    recorded: set[str] = field(default_factory=set)
    sets: Sets | None = None
    trace: list[Step] = field(default_factory=list)
    steps: int = 0


def matches(state: Passage, table: str, rule: Rule) -> bool:
    """Whether the packet, as it is by now, fulfils every condition of a rule.

    Raises:
        UndecidableError: one of them is outside the model.
    """
    packet = state.packet
    if rule.destination is not None and not _address(rule.destination, state.destination):
        return False
    if rule.in_interface is not None and not _interface(rule.in_interface, state.in_interface):
        return False
    if rule.out_interface is not None and not _interface(rule.out_interface, state.out_interface):
        return False
    if rule.source is not None and not _address(rule.source, _source(state, table, rule)):
        return False
    protocol = rule.protocol
    if protocol is not None and protocol.number:
        same = protocol.number == packet.protocol
        if same == protocol.negated:
            return False
    if rule.fragment:
        return False
    outside: UndecidableError | None = None
    for match in rule.matches:
        try:
            if not _match(state, table, rule, match):
                return False
        except UndecidableError as undecidable:
            outside = undecidable
    if outside is not None:
        # What a list remembers is no matter of guessing.
        if state.world.guess is None or any(isinstance(m, RecentMatch) for m in rule.matches):
            raise outside
        return state.world.guess(rule)
    return True


def _source(state: Passage, table: str, rule: Rule) -> int:
    if state.source is None:
        raise UndecidableError(table, rule, "the source that another rule rewrote")
    return state.source


def _source_port(state: Passage, table: str, rule: Rule) -> int:
    if state.source_port is None:
        raise UndecidableError(table, rule, "the source port that another rule rewrote")
    return state.source_port


def _address(match: AddressMatch | None, address: int) -> bool:
    if match is None:
        return True
    return (address & match.mask == match.address & match.mask) != match.negated


def _interface(match: InterfaceMatch | None, name: str) -> bool:
    if match is None:
        return True
    pattern = match.name
    same = name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern
    return same != match.negated


def _ports(match: PortRange | None, port: int) -> bool:
    return match is None or (match.first <= port <= match.last) != match.negated


def _has_connection(state: Passage, table: str) -> bool:
    """Raw comes before connection tracking (include/uapi/linux/netfilter_ipv4.h)."""
    return not state.untracked and (place_of(table) != "raw" or state.looped)


def _conntrack_states(state: Passage, table: str) -> set[str]:
    if not _has_connection(state, table):
        return {"UNTRACKED" if state.untracked else "INVALID"}
    states = {state.world.state}
    if state.translated:
        states.add("DNAT")
    packet = state.packet
    if (state.source, state.source_port) != (packet.source, packet.source_port):
        # nf_nat_core.c, nf_nat_setup_info: only where the reply's addresses change.
        states.add("SNAT")
    return states


def _match(state: Passage, table: str, rule: Rule, match: Match) -> bool:
    packet = state.packet
    if isinstance(match, Comment):
        return True
    if isinstance(match, TransportMatch):
        if packet.protocol != TRANSPORT_NUMBER[match.protocol]:
            return False
        if match.tcp_flags is not None:
            flags = match.tcp_flags
            if (TCP_SYN & flags.mask == flags.compare) == flags.negated:
                return False
        if not _ports(match.destination_ports, state.destination_port):
            return False
        ports = match.source_ports
        return ports is None or _ports(ports, _source_port(state, table, rule))
    if isinstance(match, MultiportMatch):
        candidates: list[int] = []
        if match.which != "dports":
            candidates.append(_source_port(state, table, rule))
        if match.which != "sports":
            candidates.append(state.destination_port)
        hit = any(r.first <= port <= r.last for r in match.ranges for port in candidates)
        return hit != match.negated
    if isinstance(match, MarkMatch):
        return (state.mark & match.mask == match.value) != match.negated
    if isinstance(match, StateMatch):
        return bool(match.states & _conntrack_states(state, table)) != match.negated
    if isinstance(match, ConntrackMatch):
        return _conntrack(state, table, match)
    if isinstance(match, AddrtypeMatch):
        return _addrtype(state, table, rule, match)
    if isinstance(match, SetMatch):
        entry = entry_of(state, table, rule, match.name, match.flags)
        return (entry is not None) != match.negated
    if isinstance(match, IpvsMatch):
        return state.balanced != match.negated
    if isinstance(match, VirtualServerMatch):
        return _virtual_server(state, match)
    if isinstance(match, RandomMatch):
        return state.decide(match)
    if isinstance(match, RecentMatch):
        return _recent(state, table, rule, match)
    if isinstance(match, BpfMatch):
        condition = bpf.condition(match.instructions, packet.family)
        if condition is None:
            raise UndecidableError(table, rule, "a BPF program")
        if isinstance(condition, bool):
            return condition
        return condition.holds(packet.family, _source(state, table, rule), state.destination)
    if only_counts(match):
        return True
    raise UndecidableError(table, rule, f"match {getattr(match, 'name', type(match).__name__)}")


def _virtual_server(state: Passage, match: VirtualServerMatch) -> bool:
    """Whether IPVS keeps the packet as one of a virtual server's connection (xt_ipvs.c, ipvs_mt).

    It looks for the connection by client and real server: not behind a rewritten source.
    """
    packet = state.packet
    if state.sent_on_from is None or (state.source, state.source_port) != (
        packet.source,
        packet.source_port,
    ):
        return False
    address, port = state.sent_on_from
    of = match.protocol
    return (
        (of is None or (packet.protocol == of.number) != of.negated)
        and _address(match.address, address)
        and _ports(match.port, port)
    )


def entry_of(
    state: Passage, table: str, rule: Rule, name: str, flags: tuple[str, ...]
) -> Entry | None:
    """The entry of a set that the packet falls under.

    Raises:
        UndecidableError: the set was not given, or is of a kind that is not modelled.
    """
    known = None if state.sets is None else state.sets.get(name)
    if known is None:
        raise UndecidableError(table, rule, f"set {name}, which was not given")
    asked = set(zip(known.kind.partition(":")[2].split(","), flags, strict=False))
    port = _source_port(state, table, rule) if ("port", "src") in asked else 0
    try:
        return find_entry(
            known,
            flags,
            state.packet.protocol,
            (_source(state, table, rule) if "src" in flags else 0, port),
            (state.destination, state.destination_port),
        )
    except ValueError as error:
        raise UndecidableError(table, rule, str(error)) from None


def _conntrack(state: Passage, table: str, match: ConntrackMatch) -> bool:
    packet = state.packet
    if match.states is not None:
        hit = bool(match.states & _conntrack_states(state, table))
        if hit == match.states_negated:
            return False
    if not _has_connection(state, table):
        # xt_conntrack.c, conntrack_mt: without a connection the state part alone decides.
        return match.states is not None
    return (
        _address(match.original_source, packet.source)
        and _address(match.original_destination, packet.destination)
        and _ports(match.original_destination_ports, packet.destination_port)
        and match.direction != "REPLY"
    )


def _addrtype(state: Passage, table: str, rule: Rule, match: AddrtypeMatch) -> bool:
    if match.limit_interface is not None:
        raise UndecidableError(table, rule, "addrtype --limit-iface")
    for kind, negated, given in (
        (match.source_type, match.source_negated, None),
        (match.destination_type, match.destination_negated, state.destination),
    ):
        if kind is None:
            continue
        address = _source(state, table, rule) if given is None else given
        types = set(kind.split(","))
        if address_is_multicast(state.packet.family, address):
            hit = "MULTICAST" in types
        elif types - {"LOCAL", "MULTICAST"}:
            raise UndecidableError(table, rule, f"addrtype {kind}")
        else:
            hit = "LOCAL" in types and state.world.is_local(address)
        if hit == negated:
            return False
    return True


def address_is_multicast(family: Family, address: int) -> bool:
    """Whether the address is a multicast group (RFC 5771, RFC 4291)."""
    block = (
        Network(family, 0xE0 << 24, 4) if family is Family.IPV4 else Network(family, 0xFF << 120, 8)
    )
    return block.holds(Address(family, address))


def _recent(state: Passage, table: str, rule: Rule, match: RecentMatch) -> bool:
    if (
        match.hitcount is not None
        or match.rttl
        or match.by_destination
        or match.mask not in (None, prefix_mask(state.packet.family, state.packet.family.bits))
    ):
        raise UndecidableError(table, rule, "recent with --hitcount, --rttl, --rdest or --mask")
    if state.source != state.packet.source:
        raise UndecidableError(table, rule, "recent behind a rewritten source")
    if match.operation == "set":
        state.recorded.add(match.name)
        return not match.negated
    age = 0 if match.name in state.recorded else state.world.recent.get(match.name)
    known = age is not None and (match.seconds is None or age < match.seconds)
    if known and match.operation == "update":
        state.recorded.add(match.name)
    return known != match.negated
