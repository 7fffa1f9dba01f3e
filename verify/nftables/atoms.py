"""What a rule of nftables asks, in parts of which rules of iptables are made.

An atom is one condition: its slot says where in a :class:`svcc.grammar.iptables.program.Rule` it
has its place. A rule has one place for each of source, destination, protocol and so on; a second
condition of that kind is merged with the first, or asked as a match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

from svcc.grammar.address import Family, Network, prefix_mask
from svcc.grammar.iptables.program import (
    AddressMatch,
    InterfaceMatch,
    Match,
    MultiportMatch,
    Option,
    OtherMatch,
    PortRange,
    ProtocolMatch,
    Rule,
    Target,
    TransportMatch,
)

Slot = Literal["source", "destination", "in", "out", "protocol", "sport", "dport", "match"]
Transport = Literal["tcp", "udp", "sctp"]

TRANSPORT_NAMES: dict[int, Transport] = {6: "tcp", 17: "udp", 132: "sctp"}


class Atom(NamedTuple):
    """One condition of a rule."""

    slot: Slot
    asked: AddressMatch | InterfaceMatch | ProtocolMatch | PortRange | Match


Atoms = tuple[Atom, ...]
"""All of them have to hold."""


class NeverError(Exception):
    """No packet fulfils all conditions of a rule."""


@lru_cache(maxsize=4096)
def unknown(text: str, name: str = "nft") -> Atom:
    """What is not in the model, by its text; ``name`` as a match of iptables is called."""
    return Atom("match", OtherMatch(name, (Option(text),)))


@lru_cache(maxsize=1 << 12)
def protocol(number: int, negated: bool = False) -> Atom:
    """The protocol has a number."""
    return Atom("protocol", ProtocolMatch(number, negated))


@lru_cache(maxsize=1 << 12)
def _transport(name: Transport, first: int, last: int, negated: bool) -> TransportMatch:
    return TransportMatch(name, None, PortRange(first, last, negated))


def prefixes(family: Family, first: int, last: int) -> list[Network]:
    """The blocks that a range of addresses consists of."""
    found = []
    while first <= last:
        size = (first & -first).bit_length() - 1 if first else family.bits
        while first + (1 << size) - 1 > last:
            size -= 1
        found.append(Network(family, first, family.bits - size))
        first += 1 << size
    return found


Addresses = Callable[[AddressMatch, Literal["src", "dst"]], Match]
"""A match that asks the same of the source or destination."""


def rule_of(
    chain: str,
    atoms: Iterable[Atom],
    target: Target | None,
    *,
    line: int,
    written: object,
    as_match: Addresses,
    family: Family,
) -> Rule:
    """A rule with these conditions, in their order as far as it matters.

    Raises:
        NeverError: no packet fulfils them all.
    """
    rule = Rule(chain=chain, target=target, line=line, written=written)
    matches: list[Match] = []
    ports: list[tuple[str, PortRange]] = []
    for slot, asked in atoms:
        match asked:
            case AddressMatch():
                _add_address(rule, slot, asked, matches, as_match, family)
            case ProtocolMatch():
                _add_protocol(rule, asked, matches)
            case PortRange():
                ports.append((slot, asked))
            case InterfaceMatch():
                _add_interface(rule, slot, asked, matches)
            case _:
                matches.append(asked)
    if ports:
        # Behind the protocol, before what is asked in an order of its own.
        matches[:0] = _port_matches(rule, ports)
    rule.matches = tuple(matches)
    return rule


def _add_address(
    rule: Rule,
    slot: Slot,
    asked: AddressMatch,
    matches: list[Match],
    as_match: Addresses,
    family: Family,
) -> None:
    known = rule.source if slot == "source" else rule.destination
    if known is not None:
        shared = known.mask & asked.mask
        apart = (known.address ^ asked.address) & shared
        if not known.negated and not asked.negated:
            if apart:
                raise NeverError
            if shared == asked.mask:
                return
        elif known.negated != asked.negated and apart:
            if not asked.negated:
                known = None
            else:
                return
        elif known.negated and not asked.negated and shared == known.mask:
            raise NeverError
        if known is not None and not (not asked.negated and shared == known.mask and not apart):
            matches.append(as_match(asked, "src" if slot == "source" else "dst"))
            return
    if asked.mask == 0:
        if asked.negated:
            raise NeverError
        return
    if slot == "source":
        rule.source = asked
    else:
        rule.destination = asked


def _add_protocol(rule: Rule, asked: ProtocolMatch, matches: list[Match]) -> None:
    known = rule.protocol
    if known is None or known == asked:
        rule.protocol = asked
        return
    if not known.negated and not asked.negated:
        raise NeverError
    if known.negated and asked.negated:
        matches.append(OtherMatch("nft", (Option(f"meta l4proto != {asked.number}"),)))
        return
    if known.number == asked.number:
        raise NeverError
    rule.protocol = known if asked.negated else asked


def _add_interface(rule: Rule, slot: Slot, asked: InterfaceMatch, matches: list[Match]) -> None:
    known = rule.in_interface if slot == "in" else rule.out_interface
    if known is None:
        if slot == "in":
            rule.in_interface = asked
        else:
            rule.out_interface = asked
        return
    if known == asked:
        return
    plain = not known.name.endswith("+") and not asked.name.endswith("+")
    if plain and not known.negated and not asked.negated:
        raise NeverError
    if plain and asked.negated and not known.negated:
        if known.name == asked.name:
            raise NeverError
        return
    word = f"{'i' if slot == 'in' else 'o'}ifname {'!= ' if asked.negated else ''}{asked.name}"
    matches.append(OtherMatch("nft", (Option(word),)))


def _port_matches(rule: Rule, ports: list[tuple[str, PortRange]]) -> list[Match]:
    number = rule.protocol.number if rule.protocol and not rule.protocol.negated else None
    name = TRANSPORT_NAMES.get(number) if number is not None else None
    found: list[Match] = []
    for slot, asked in ports:
        if slot == "dport" and name is not None:
            found.append(_transport(name, asked.first, asked.last, asked.negated))
        else:
            plain = PortRange(asked.first, asked.last)
            which: Literal["sports", "dports"] = "sports" if slot == "sport" else "dports"
            found.append(MultiportMatch(which, (plain,), asked.negated))
    return found


def network_atom(slot: Literal["source", "destination"], block: Network, negated: bool) -> Atom:
    """The address lies in a block."""
    mask = prefix_mask(block.family, block.prefix_length)
    return Atom(slot, AddressMatch(block.value, mask, negated))
