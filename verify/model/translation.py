"""One rule's conditions and action, translated."""

from __future__ import annotations

from typing import Literal, assert_never

from svcc.grammar.address import Family, prefix_mask
from svcc.grammar.iptables import program
from svcc.grammar.iptables.ruleset import place_of
from svcc.verify.model.actions import (
    Accept,
    Action,
    Continue,
    Dnat,
    Drop,
    Goto,
    Jump,
    MapMark,
    Masquerade,
    Notrack,
    Reject,
    Return,
    SetMark,
    UnknownTarget,
)
from svcc.verify.model.conditions import (
    AnyOf,
    Bpf,
    Condition,
    Connection,
    Destination,
    DestinationLocal,
    DestinationPort,
    Detail,
    InInterface,
    InSet,
    Mark,
    Never,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    OutInterface,
    PortList,
    Probability,
    Protocol,
    Recent,
    SentByIpvs,
    Source,
    SourceLocal,
    SourcePort,
    State,
    Unknown,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.model.values import interned
from svcc.verify.netfilter import bpf
from svcc.verify.netfilter.extensions import TCP_SYN, TRANSPORT_NUMBER, is_inert, only_counts

_NEVER = Never()
_UNTRACKED = State(("UNTRACKED",))
_CONTINUE, _NOTRACK, _REJECT = Continue(), Notrack(), Reject()


def translate_conditions(rule: program.Rule, table: str, family: Family) -> tuple[Condition, ...]:
    """All that a rule asks of a packet."""
    found: list[Condition] = []
    if rule.source is not None:
        found.append(Source(*_network(rule.source)))
    if rule.destination is not None:
        found.append(Destination(*_network(rule.destination)))
    if rule.in_interface is not None:
        found.append(InInterface(rule.in_interface.name, rule.in_interface.negated))
    if rule.out_interface is not None:
        found.append(OutInterface(rule.out_interface.name, rule.out_interface.negated))
    if rule.protocol is not None and rule.protocol.number:
        found.append(_protocol(rule.protocol.number, rule.protocol.negated))
    if rule.fragment:
        found.append(_NEVER)
    before_tracking = place_of(table) == "raw"
    for asked in rule.matches:
        if before_tracking and isinstance(asked, program.ConntrackMatch | program.StateMatch):
            found.append(_before_tracking(asked))
        elif type(asked) is not program.Comment:
            _translate_match(asked, family, found)
    return tuple(found)


# Where there are few different ones: rules come in tens of thousands.
_protocol = interned(Protocol)
_destination_port = interned(DestinationPort)
_probability = interned(Probability)
_set_mark = interned(SetMark)


def _network(asked: program.AddressMatch) -> tuple[int, int, bool]:
    return asked.address & asked.mask, asked.mask, asked.negated


def _range(asked: program.PortRange) -> tuple[int, int, bool]:
    return asked.first, asked.last, asked.negated


def _states(states: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(states))


def _translate_match(asked: program.Match, family: Family, into: list[Condition]) -> None:
    match asked:
        case program.TransportMatch():
            _translate_transport(asked, into)
        case program.RandomMatch():
            _translate_random(asked, into)
        case program.Comment():
            pass
        case program.MarkMatch():
            into.append(Mark(asked.value, asked.mask, asked.negated))
        case program.MultiportMatch():
            into.append(_port_list(asked))
        case program.StateMatch():
            into.append(State(_states(asked.states), asked.negated))
        case program.ConntrackMatch():
            _translate_conntrack(asked, into)
        case program.AddrtypeMatch():
            _translate_addrtype(asked, into)
        case program.RecentMatch():
            into.append(_recent(asked, family))
        case program.BpfMatch():
            _translate_bpf(asked, family, into)
        case program.SetMatch():
            into.append(InSet(asked.name, asked.flags, asked.negated))
        case program.IpvsMatch():
            into.append(SentByIpvs(asked.negated))
        case program.VirtualServerMatch():
            _translate_virtual_server(asked, into)
        case program.NthMatch():
            into.append(Unknown(repr(asked)))
        case program.OtherMatch():
            if not only_counts(asked):
                into.append(Unknown(repr(asked)))
        case _:
            assert_never(asked)


def _translate_transport(asked: program.TransportMatch, into: list[Condition]) -> None:
    protocol = _protocol(TRANSPORT_NUMBER[asked.protocol], False)
    for known in into:
        if known is protocol:
            break
    else:
        into.append(protocol)
    if asked.source_ports is not None:
        into.append(SourcePort(*_range(asked.source_ports)))
    if asked.destination_ports is not None:
        into.append(_destination_port(*_range(asked.destination_ports)))
    flags = asked.tcp_flags
    if flags is not None and (TCP_SYN & flags.mask == flags.compare) == flags.negated:
        into.append(_NEVER)


def _translate_random(asked: program.RandomMatch, into: list[Condition]) -> None:
    threshold = asked.threshold
    if threshold not in (0, program.PROBABILITY_ONE):
        into.append(
            _probability(program.PROBABILITY_ONE - threshold if asked.negated else threshold)
        )
    elif (threshold == 0) != asked.negated:
        into.append(_NEVER)


def _port_list(asked: program.MultiportMatch) -> DestinationPort | PortList:
    ranges = tuple((r.first, r.last) for r in asked.ranges)
    if asked.which == "dports" and len(ranges) == 1:
        return DestinationPort(*ranges[0], asked.negated)
    return PortList(asked.which, ranges, asked.negated)


def _recent(asked: program.RecentMatch, family: Family) -> Recent | Unknown:
    if (
        asked.operation == "remove"
        or asked.hitcount is not None
        or asked.rttl
        or asked.by_destination
        or asked.mask not in (None, prefix_mask(family, family.bits))
    ):
        return Unknown(repr(asked))
    return Recent(asked.operation, asked.name, asked.seconds, asked.negated)


def _translate_bpf(asked: program.BpfMatch, family: Family, into: list[Condition]) -> None:
    condition = bpf.condition(asked.instructions, family)
    if condition is None:
        into.append(Unknown("bpf"))
    elif isinstance(condition, bpf.Equal):
        into.append(Bpf(condition))
    elif not condition:
        into.append(_NEVER)


def _translate_virtual_server(asked: program.VirtualServerMatch, into: list[Condition]) -> None:
    """IPVS has sent the packet on; what it had been addressed to is as it came to IPVS.

    xt_ipvs.c, ipvs_mt, finds the connection by the client: not behind a rewritten source.
    """
    into += [SentByIpvs(), State(("SNAT",), negated=True)]
    if asked.protocol is not None:
        into.append(_protocol(asked.protocol.number, asked.protocol.negated))
    if asked.address is not None:
        into.append(VirtualDestination(*_network(asked.address)))
    if asked.port is not None:
        into.append(VirtualPort(*_range(asked.port)))


def _translate_conntrack(asked: program.ConntrackMatch, into: list[Condition]) -> None:
    details = _details(asked)
    if asked.states is None:
        into += [*details, State(("UNTRACKED",), negated=True)]
        return
    into.append(State(_states(asked.states), asked.states_negated))
    if ("UNTRACKED" in asked.states) != asked.states_negated:
        # xt_conntrack.c, conntrack_mt: without a connection the state part alone decides.
        into += [AnyOf((detail, _UNTRACKED)) for detail in details]
    else:
        into += details


def _details(asked: program.ConntrackMatch) -> list[Detail]:
    found: list[Detail] = []
    if asked.original_source is not None:
        found.append(OriginalSource(*_network(asked.original_source)))
    if asked.original_destination is not None:
        found.append(OriginalDestination(*_network(asked.original_destination)))
    if asked.original_destination_ports is not None:
        found.append(OriginalPort(*_range(asked.original_destination_ports)))
    if asked.direction == "REPLY":
        found.append(_NEVER)
    return found


def _before_tracking(asked: program.ConntrackMatch | program.StateMatch) -> Connection:
    """A question about the connection in ``raw``, where only what comes in on loopback after
    the node has sent it has one (NF_IP_PRI_RAW is before NF_IP_PRI_CONNTRACK)."""
    if isinstance(asked, program.StateMatch):
        return Connection(_states(asked.states), asked.negated, ())
    states = None if asked.states is None else _states(asked.states)
    return Connection(states, asked.states_negated, tuple(_details(asked)))


def _translate_addrtype(asked: program.AddrtypeMatch, into: list[Condition]) -> None:
    if asked.limit_interface is not None:
        into.append(Unknown(repr(asked)))
        return
    if asked.source_type == "LOCAL":
        into.append(SourceLocal(asked.source_negated))
    elif asked.source_type is not None:
        into.append(Unknown(f"addrtype src {asked.source_type}", asked.source_negated))
    if asked.destination_type == "LOCAL":
        into.append(DestinationLocal(asked.destination_negated))
    elif asked.destination_type is not None:
        into.append(Unknown(f"addrtype dst {asked.destination_type}", asked.destination_negated))


_VERDICTS: dict[Literal["ACCEPT", "DROP", "RETURN"], Action] = {
    "ACCEPT": Accept(),
    "DROP": Drop(),
    "RETURN": Return(),
}


def translate_action(target: program.Target | None) -> Action:
    """What a rule's target does."""
    match target:
        case None:
            return _CONTINUE
        case program.Jump():
            return Jump(target.chain)
        case program.Goto():
            return Goto(target.chain)
        case program.NatTarget():
            return _nat(target)
        case program.SetMark():
            return _set_mark(target.value, target.mask)
        case program.Verdict():
            return _VERDICTS[target.name]
        case program.Reject():
            return _REJECT
        case program.Notrack():
            return _NOTRACK
        case program.MapMark():
            return MapMark(target.name, target.flags)
        case program.Masquerade():
            return Masquerade("own", _new_port(target))
        case program.OtherTarget():
            return _CONTINUE if is_inert(target) else UnknownTarget(target.name)
        case _:
            assert_never(target)


def _nat(target: program.NatTarget) -> Masquerade | Dnat | UnknownTarget:
    one_address = target.last_address in (None, target.first_address)
    address = target.first_address if one_address else None
    if target.name == "SNAT":
        return Masquerade("any" if address is None else address, _new_port(target))
    if address is None or target.last_port not in (None, target.first_port):
        return UnknownTarget(target.name)
    return Dnat(address, target.first_port)


def _new_port(target: program.Masquerade | program.NatTarget) -> int | Literal["same", "any"]:
    """What a target writes as the source port."""
    if target.first_port is not None:
        one = target.last_port in (None, target.first_port)
        return target.first_port if one else "any"
    return "any" if target.random or target.random_fully else "same"
