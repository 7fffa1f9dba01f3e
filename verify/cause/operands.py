"""What a rule asks of a packet, one operand after the other, each as it might have been meant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from svcc.grammar.address import Address, Family, Network
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
    OtherMatch,
    PortRange,
    ProtocolMatch,
    RandomMatch,
    RecentMatch,
    Rule,
    SetMatch,
    StateMatch,
    TransportMatch,
    Verdict,
)
from svcc.verify.simulator.packet import PROTOCOL_NAME, Packet

_TRANSPORTS: dict[int, Literal["tcp", "udp", "sctp"]] = {6: "tcp", 17: "udp", 132: "sctp"}


@dataclass(frozen=True, slots=True)
class Variant:
    """A rule with another operand; ``remedy`` says which, ``operand`` of what."""

    rule: Rule
    operand: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Hints:
    """What operands may have been meant to be: the pod network and the masquerade mark."""

    pods: Network | None
    mark: int


def bare(rule: Rule) -> Rule:
    """The rule for every packet, with its random choices and lists."""
    kept = tuple(m for m in rule.matches if isinstance(m, RandomMatch | RecentMatch))
    return Rule(chain=rule.chain, matches=kept, target=rule.target)


def operands(rule: Rule) -> int:
    """How many things a rule asks of a packet, comments and choices aside."""
    fields = (rule.source, rule.destination, rule.in_interface, rule.out_interface, rule.protocol)
    found = sum(field is not None for field in fields)
    for match in rule.matches:
        if isinstance(match, TransportMatch):
            found += match.source_ports is not None
            found += match.destination_ports is not None
        elif not isinstance(match, Comment | RandomMatch | RecentMatch | OtherMatch):
            found += 1
    return found


def corrected(rule: Rule, packet: Packet, hints: Hints) -> Iterator[Variant]:
    """The rule with one operand so that the packet may fulfil it, the likeliest first."""
    family = packet.family
    for option in ("-s", "-d"):
        asked = rule.source if option == "-s" else rule.destination
        if asked is None:
            continue
        address = packet.source if option == "-s" else packet.destination
        others = [replace(asked, negated=not asked.negated)]
        if hints.pods is not None and option == "-s":
            others.append(AddressMatch(hints.pods.value, hints.pods.mask, asked.negated))
        if not asked.negated:
            others.insert(0, _exactly(address, family))
        for other in others:
            if other != asked:
                remedy = f"right with {_address_words(option, other, family)}"
                yield Variant(_at(rule, option, other), option, remedy)
    if rule.protocol is not None or _transport(rule) is not None:
        yield _of_protocol(rule, packet)
    for position, match in enumerate(rule.matches):
        if isinstance(match, BpfMatch):
            yield _for_a_hairpin(rule, position, packet)
        for other_match, operand, remedy in _matches(match, packet, hints):
            yield Variant(_with(rule, position, other_match), operand, remedy)
    if rule.in_interface is not None:
        name = packet.in_interface or "lo"
        other_rule = replace(rule, in_interface=InterfaceMatch(name))
        yield Variant(other_rule, "-i", f"right with -i {name}")


def loosened(rule: Rule, packet: Packet, hints: Hints) -> Iterator[Variant]:
    """The rule without one operand."""
    if rule.source is not None:
        yield Variant(replace(rule, source=None), "-s", "right without its -s")
    if rule.destination is not None:
        yield Variant(replace(rule, destination=None), "-d", "right without its -d")
    if rule.in_interface is not None:
        yield Variant(replace(rule, in_interface=None), "-i", "right without its -i")
    if rule.out_interface is not None:
        yield Variant(replace(rule, out_interface=None), "-o", "right without its -o")
    for position, match in enumerate(rule.matches):
        if not isinstance(match, Comment | RandomMatch | RecentMatch | TransportMatch):
            name = getattr(match, "name", type(match).__name__.removesuffix("Match").lower())
            remedy = f"right without its -m {name}"
            yield Variant(_with(rule, position, None), f"-m {name}", remedy)


def _at(rule: Rule, option: str, match: AddressMatch) -> Rule:
    return replace(rule, source=match) if option == "-s" else replace(rule, destination=match)


def for_a_hairpin(rule: Rule, packet: Packet) -> Rule | None:
    """The rule with its first program true of what is sent back to its own sender; None where it
    has no program.
    """
    for position, match in enumerate(rule.matches):
        if isinstance(match, BpfMatch):
            return _for_a_hairpin(rule, position, packet).rule
    return None


def for_some(rule: Rule, packet: Packet, hints: Hints, is_own: bool) -> Iterator[Variant]:
    """The rule for fewer packets, and not for this one, by a test that rules have often."""
    if not _asks(rule, AddrtypeMatch):
        local = AddrtypeMatch(destination_type="LOCAL")
        remedy = "right with -m addrtype --dst-type LOCAL"
        yield Variant(replace(rule, matches=(*rule.matches, local)), "addrtype", remedy)
        own = AddrtypeMatch(source_type="LOCAL", source_negated=is_own)
        remedy = f"right with -m addrtype {'! ' * is_own}--src-type LOCAL"
        yield Variant(replace(rule, matches=(*rule.matches, own)), "addrtype", remedy)
    if isinstance(rule.target, Verdict) and not _asks(rule, MarkMatch):
        for negated in (True, False):
            mark = MarkMatch(hints.mark, hints.mark, negated)
            remedy = f"right with {'! ' * negated}--mark {hints.mark:#x}/{hints.mark:#x}"
            yield Variant(replace(rule, matches=(*rule.matches, mark)), "--mark", remedy)
    if hints.pods is not None and rule.source is None:
        inside = packet.source & hints.pods.mask == hints.pods.value
        pods = AddressMatch(hints.pods.value, hints.pods.mask, inside)
        remedy = f"right with {_address_words('-s', pods, packet.family)}"
        yield Variant(replace(rule, source=pods), "-s", remedy)


def _asks(rule: Rule, kind: type[Match]) -> bool:
    return any(isinstance(match, kind) for match in rule.matches)


def _for_a_hairpin(rule: Rule, position: int, packet: Packet) -> Variant:
    """The rule with a program that is true of what is sent back to its own sender."""
    pinned = _with(
        rule, position, ConntrackMatch(original_source=_exactly(packet.source, packet.family))
    )
    other = replace(pinned, destination=_exactly(packet.source, packet.family))
    return Variant(other, "--bytecode", "right if its program were true of the packet")


def _address_words(option: str, match: AddressMatch, family: Family) -> str:
    length = match.mask.bit_count()
    network = f"{Address(family, match.address)}/{length}"
    return f"{'! ' * match.negated}{option} {network}"


def _transport(rule: Rule) -> TransportMatch | None:
    return next((m for m in rule.matches if isinstance(m, TransportMatch)), None)


def _of_protocol(rule: Rule, packet: Packet) -> Variant:
    name = _TRANSPORTS.get(packet.protocol)
    matches = tuple(
        replace(m, protocol=name, tcp_flags=None)
        if isinstance(m, TransportMatch) and name is not None
        else m
        for m in rule.matches
    )
    shown = PROTOCOL_NAME.get(packet.protocol, str(packet.protocol))
    other = replace(rule, protocol=ProtocolMatch(packet.protocol), matches=matches)
    return Variant(other, "-p", f"right with -p {shown}")


def _matches(match: Match, packet: Packet, hints: Hints) -> Iterator[tuple[Match | None, str, str]]:
    """Others for one match; None: left out."""
    port = PortRange(packet.destination_port, packet.destination_port)
    if isinstance(match, TransportMatch):
        if match.destination_ports is not None:
            remedy = f"right with --dport {port.first}"
            yield replace(match, destination_ports=port), "--dport", remedy
        if match.source_ports is not None:
            yield replace(match, source_ports=None), "--sport", "right without its --sport"
    elif isinstance(match, MultiportMatch):
        ports = (*match.ranges, port)
        yield replace(match, ranges=ports), "--dports", f"right with port {port.first} too"
    elif isinstance(match, MarkMatch):
        yield replace(match, negated=not match.negated), "--mark", _turned("--mark", match.negated)
        marked = f"right with --mark {hints.mark:#x}/{hints.mark:#x}"
        yield MarkMatch(hints.mark, hints.mark, match.negated), "--mark", marked
    elif isinstance(match, AddrtypeMatch):
        turned = replace(
            match,
            source_negated=match.source_type is not None and not match.source_negated,
            destination_negated=match.destination_type is not None
            and not match.destination_negated,
        )
        was = match.source_negated or match.destination_negated
        yield turned, "addrtype", _turned("-m addrtype", was)
    elif isinstance(match, SetMatch):
        turned_set = replace(match, negated=not match.negated)
        yield turned_set, "--match-set", _turned("--match-set", match.negated)
    elif isinstance(match, StateMatch):
        turned_state = replace(match, negated=not match.negated)
        yield turned_state, "--state", _turned("--state", match.negated)
    elif isinstance(match, ConntrackMatch):
        yield from _conntrack(match, packet)


def _turned(option: str, negated: bool) -> str:
    return f"right with {option} {'without' if negated else 'behind'} !"


def _conntrack(match: ConntrackMatch, packet: Packet) -> Iterator[tuple[Match, str, str]]:
    if match.states is not None:
        turned = replace(match, states_negated=not match.states_negated)
        yield turned, "--ctstate", _turned("--ctstate", match.states_negated)
    if match.original_destination is not None:
        address = Address(packet.family, packet.destination)
        other = replace(match, original_destination=_exactly(packet.destination, packet.family))
        yield other, "--ctorigdst", f"right with --ctorigdst {address}"
    if match.original_source is not None:
        source = Address(packet.family, packet.source)
        other = replace(match, original_source=_exactly(packet.source, packet.family))
        yield other, "--ctorigsrc", f"right with --ctorigsrc {source}"
    if match.original_destination_ports is not None:
        port = packet.destination_port
        other = replace(match, original_destination_ports=PortRange(port, port))
        yield other, "--ctorigdstport", f"right with --ctorigdstport {port}"


def _exactly(address: int, family: Family, negated: bool = False) -> AddressMatch:
    return AddressMatch(address, (1 << family.bits) - 1, negated)


def _with(rule: Rule, position: int, match: Match | None) -> Rule:
    kept = () if match is None else (match,)
    return replace(rule, matches=(*rule.matches[:position], *kept, *rule.matches[position + 1 :]))


# -- exceptions ----------------------------------------------------------------------------


def narrowed(rule: Rule, packet: Packet, *, own: bool) -> Iterator[Variant]:
    """The rule with the packet excepted by one operand, one that it has (``own``) or another."""
    family, port = packet.family, packet.destination_port
    asked = {
        "-d": rule.destination is not None,
        "--dport": _asks_port(rule),
        "-s": rule.source is not None,
    }
    pins: dict[str, ConntrackMatch] = {
        "-d": ConntrackMatch(original_destination=_exactly(packet.destination, family, True)),
        "--dport": ConntrackMatch(original_destination_ports=PortRange(port, port, True)),
        "-s": ConntrackMatch(original_source=_exactly(packet.source, family, True)),
    }
    values = {
        "-d": str(Address(family, packet.destination)),
        "--dport": str(port),
        "-s": str(Address(family, packet.source)),
    }
    for option, pin in pins.items():
        if asked[option] is own:
            other = replace(rule, matches=(*rule.matches, pin))
            what = "its" if own else "a"
            remedy = f"right with {what} {option} that leaves out {values[option]}"
            yield Variant(other, option, remedy)
    if own:
        yield from _excepted_by_match(rule, packet)
    elif rule.protocol is None:
        other = replace(rule, protocol=ProtocolMatch(packet.protocol, True))
        name = PROTOCOL_NAME.get(packet.protocol, str(packet.protocol))
        yield Variant(other, "-p", f"right with a -p that leaves out {name}")


def _excepted_by_match(rule: Rule, packet: Packet) -> Iterator[Variant]:
    if rule.protocol is not None and not rule.protocol.negated and _transport(rule) is None:
        other = replace(rule, protocol=ProtocolMatch(packet.protocol, True))
        yield Variant(other, "-p", "right with another -p")
    if rule.in_interface is not None:
        turned = replace(rule.in_interface, negated=not rule.in_interface.negated)
        yield Variant(replace(rule, in_interface=turned), "-i", "right with another -i")
    if rule.out_interface is not None:
        turned = replace(rule.out_interface, negated=not rule.out_interface.negated)
        yield Variant(replace(rule, out_interface=turned), "-o", "right with another -o")
    for position, match in enumerate(rule.matches):
        match match:
            case MarkMatch() | StateMatch() | SetMatch():
                flipped: Match = replace(match, negated=not match.negated)
                option = {MarkMatch: "--mark", StateMatch: "--state", SetMatch: "--match-set"}[
                    type(match)
                ]
                was = match.negated
            case ConntrackMatch() if match.states is not None:
                flipped = replace(match, states_negated=not match.states_negated)
                option, was = "--ctstate", match.states_negated
            case AddrtypeMatch():
                flipped = replace(
                    match,
                    source_negated=match.source_type is not None and not match.source_negated,
                    destination_negated=match.destination_type is not None
                    and not match.destination_negated,
                )
                option, was = "-m addrtype", match.source_negated or match.destination_negated
            case _:
                continue
        yield Variant(_with(rule, position, flipped), option, _turned(option, was))


def _asks_port(rule: Rule) -> bool:
    return any(
        (isinstance(m, TransportMatch) and m.destination_ports is not None)
        or (isinstance(m, MultiportMatch) and m.which != "sports")
        for m in rule.matches
    )


# -- one packet's --------------------------------------------------------------------------


def pins(packet: Packet, state: str, hints: Hints, is_own: bool) -> Iterator[tuple[Rule, int]]:
    """Rules without target that a packet fulfils, those for fewest packets first, each with how
    much it says of this one. ``is_own``: its source is an address of the node.
    """
    if state != "NEW" or packet.mark:
        only = Rule(chain="", matches=_like(packet, state))
        yield only, 1
        yield Rule(chain=""), 0
        return
    family, port = packet.family, packet.destination_port
    frontend = Rule(
        chain="",
        protocol=ProtocolMatch(packet.protocol),
        matches=(
            ConntrackMatch(
                original_destination=_exactly(packet.destination, family),
                original_destination_ports=PortRange(port, port),
            ),
        ),
    )
    source = ConntrackMatch(original_source=_exactly(packet.source, family))
    yield replace(frontend, matches=(*frontend.matches, source)), 3
    yield Rule(chain="", destination=_exactly(packet.source, family), matches=(source,)), 3
    destination = replace(
        frontend,
        destination=_exactly(packet.destination, family),
        matches=_to_port(packet),
    )
    yield destination, 2
    yield frontend, 2
    own = AddrtypeMatch(source_type="LOCAL", source_negated=not is_own)
    yield Rule(chain="", matches=(own,)), 1
    yield Rule(chain="", matches=(IpvsMatch(), own)), 1
    if hints.pods is not None:
        outside = packet.source & hints.pods.mask != hints.pods.value
        pods = AddressMatch(hints.pods.value, hints.pods.mask, outside)
        yield Rule(chain="", matches=(ConntrackMatch(original_source=pods),)), 1
    yield Rule(chain=""), 0


def _to_port(packet: Packet) -> tuple[Match, ...]:
    name = _TRANSPORTS.get(packet.protocol)
    port = PortRange(packet.destination_port, packet.destination_port)
    return () if name is None else (TransportMatch(name, destination_ports=port),)


def _like(packet: Packet, state: str) -> tuple[Match, ...]:
    found: list[Match] = []
    if packet.mark:
        found.append(MarkMatch(packet.mark, packet.mark))
    if state != "NEW":
        found.append(ConntrackMatch(states=frozenset({state})))
    return tuple(found)
