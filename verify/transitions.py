"""The property that every step of an apply is safe.

IPVS has no atomic load, so apply changes it command by command. At every moment between, each
packet must see what it saw before or what it will see afterwards; one that was served and will
be is served. One that is only coming or going may be refused in between, or go where the
frontend sends anybody before or afterwards.

Old and new are what the rules do, not what objects say: the state that apply finds has no
objects. For one frontend, what becomes of a packet depends on its sender only through the
networks, addresses and interfaces that rules and sets name. They cut the source addresses into
intervals, and one packet of each interval stands for all of it. A backend that sends to itself is
no kind of its own: where its packets go is judged, not what becomes of their source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from svcc.grammar.address import Address, Family, Network
from svcc.grammar.iptables.program import (
    Goto,
    Jump,
    Masquerade,
    NatTarget,
    SetMark,
    SetMatch,
    Verdict,
)
from svcc.grammar.iptables.ruleset import Chain, RuleSet, place_of
from svcc.grammar.ipvs.ipvsadm import VirtualKey
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.packet import Packet, Result, World

SOURCE_PORT = 40000
WIRE = "eth0"

What = tuple[Literal["served", "rejected", "dropped", "left alone"], int, int]
"""What becomes of a packet, and where it goes if it is served."""


_NOT_SERVED: frozenset[What] = frozenset(
    {("rejected", 0, 0), ("dropped", 0, 0), ("left alone", 0, 0)}
)


class Destination(NamedTuple):
    """A destination: address, protocol (IANA number), port."""

    address: int
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Networks, sets and interfaces by which rules tell senders apart."""

    networks: frozenset[Network]
    sets: frozenset[str]
    interfaces: frozenset[str]


@dataclass(frozen=True, slots=True)
class State:
    """One family's part of one moment: ``local`` are the node's addresses besides virtual IPs.

    ``asked`` is what :func:`asked_of` tells of the rules.
    """

    rules: RuleSet
    local: frozenset[int]
    asked: Asked

    def is_local(self, address: int) -> bool:
        """Whether the node takes packets for the address."""
        family = self.rules.family
        if address in self.local:
            return True
        if self.rules.ipvs is not None and address in self.rules.ipvs.addresses.get(family, ()):
            return True
        return address >> 24 == 127 if family is Family.IPV4 else address == 1


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A packet that sees what it must not in a state between."""

    packet: Packet
    now: frozenset[What]
    before: frozenset[What]
    after: frozenset[What]

    def __str__(self) -> str:
        family = self.packet.family
        return (
            f"{self.packet}: {_text(self.now, family)}; before: {_text(self.before, family)}; "
            f"afterwards: {_text(self.after, family)}"
        )


class Judge:
    """Knows what packets to one destination saw and will see.

    ``consulted``: the virtual servers that had a packet in the state that was judged last; None
    before any was. A change of another one's real servers changes nothing for any packet.

    Args:
        old: the state before the first step.
        new: the state behind the last one.
        destination: the destination.
    """

    def __init__(self, old: State, new: State, destination: Destination) -> None:
        self._old = old
        self._new = new
        self._destination = destination
        self._known: dict[Packet, tuple[frozenset[What], frozenset[What]]] = {}
        self.consulted: frozenset[VirtualKey] | None = None

    def unsafe(self, now: State) -> Iterator[Unsafe]:
        """Packets that see neither old nor new, or are not served in between.

        Raises:
            UndecidableError: a packet meets a rule outside the model.
        """
        self.consulted = None
        consulted: set[VirtualKey] = set()
        packets = list(senders((self._old, now, self._new), self._destination))
        outcomes = [self._of(packet) for packet in packets]
        anybody = {what for was, will_be in outcomes for what in was | will_be}
        # A node port that is not served yet, or no more, ends at another address of the node.
        elsewhere: set[What] = {("served", a, self._destination.port) for a in now.local}
        for packet, (was, will_be) in zip(packets, outcomes, strict=True):
            results = _results(now, packet)
            present = frozenset(map(_what, results))
            consulted.update(step.virtual for r in results for step in r.trace if step.virtual)
            allowed = was | will_be
            if not _served(was) and not _served(will_be):
                allowed |= _NOT_SERVED
            elif not (_served(was) and _served(will_be)):
                allowed |= _NOT_SERVED | anybody | elsewhere
            elif not _served(present):
                allowed = frozenset()
            if not present <= allowed:
                yield Unsafe(packet, present, was, will_be)
        self.consulted = frozenset(consulted)

    def _of(self, packet: Packet) -> tuple[frozenset[What], frozenset[What]]:
        if packet not in self._known:
            self._known[packet] = seen(self._old, packet), seen(self._new, packet)
        return self._known[packet]


def seen(state: State, packet: Packet) -> frozenset[What]:
    """Everything that can become of a packet."""
    return frozenset(map(_what, _results(state, packet)))


def _results(state: State, packet: Packet) -> list[Result]:
    world = World(state.is_local)
    return [result for _, result in distribution(state.rules, packet, world)]


def _what(result: Result) -> What:
    if result.verdict == "rejected" or result.verdict == "dropped":
        return result.verdict, 0, 0
    if not result.translated:
        return "left alone", 0, 0
    return "served", result.destination, result.destination_port


def _served(outcomes: frozenset[What]) -> bool:
    return all(what == "served" for what, _, _ in outcomes)


def _text(outcomes: frozenset[What], family: Family) -> str:
    return " or ".join(
        f"sent to {Address(family, address)} port {port}" if what == "served" else what
        for what, address, port in sorted(outcomes)
    )


def senders(states: Iterable[State], destination: Destination) -> Iterator[Packet]:
    """A packet of every kind of sender that the states tell apart."""
    states = tuple(states)
    family = states[0].rules.family
    sources = sorted(_interval_starts(states, family))
    interfaces = sorted({WIRE, *(name for state in states for name in _interfaces(state.asked))})
    local = frozenset().union(*(state.local for state in states))
    for source in sources:
        packet = Packet(
            family,
            True,
            source,
            SOURCE_PORT,
            destination.address,
            destination.port,
            destination.protocol,
        )
        yield packet
        if source in local or any(state.is_local(source) for state in states):
            continue
        for interface in interfaces:
            yield Packet(
                family,
                False,
                source,
                SOURCE_PORT,
                destination.address,
                destination.port,
                destination.protocol,
                interface,
            )


def _interval_starts(states: Iterable[State], family: Family) -> set[int]:
    top = (1 << family.bits) - 1
    found = {1 << (family.bits - 3)}
    for state in states:
        for network in _source_networks(state):
            found.add(network.value)
            after = network.value + (1 << (family.bits - network.prefix_length))
            if after <= top:
                found.add(after)
    return found


def _source_networks(state: State) -> Iterator[Network]:
    """Everything that something compares source addresses with."""
    family, asked = state.rules.family, state.asked
    for address in state.local:
        yield Network(family, address, family.bits)
    yield from asked.networks
    sets = state.rules.sets or {}
    for name in asked.sets & sets.keys():
        for entry in sets[name].entries.values():
            yield from (part for part in entry.parts if isinstance(part, Network))


def _interfaces(asked: Asked) -> Iterator[str]:
    for name in asked.interfaces:
        yield f"{name[:-1]}0" if name.endswith("+") else name


def asked_of(rules: RuleSet) -> Asked:
    """What rules ask of who sends a packet, as far as it can decide where the packet goes."""
    networks, sets, interfaces = set(), set(), set()
    for chain in _deciding(rules):
        for rule in chain.rules:
            if rule.source is not None:
                length = rule.source.mask.bit_count()
                value = rule.source.address & rule.source.mask
                networks.add(Network(rules.family, value, length))
            sets |= {
                match.name
                for match in rule.matches
                if isinstance(match, SetMatch) and "src" in match.flags
            }
            if rule.in_interface is not None and rule.in_interface.name != "lo":
                interfaces.add(rule.in_interface.name)
    return Asked(frozenset(networks), frozenset(sets), frozenset(interfaces))


def _deciding(rules: RuleSet) -> Iterator[Chain]:
    """All chains but those that only rewrite sources: of nat, reached from POSTROUTING alone."""
    for table, chains in rules.tables.items():
        rewriting = frozenset[str]()
        if place_of(table) == "nat":
            others = _reached(chains, {name for name in chains if name in _BEFORE_POSTROUTING})
            behind = _reached(chains, {"POSTROUTING"} & chains.keys())
            if all(_rewrites_sources(chains[name]) for name in behind):
                rewriting = behind - others
        yield from (chain for name, chain in chains.items() if name not in rewriting)


_BEFORE_POSTROUTING = frozenset({"PREROUTING", "INPUT", "OUTPUT"})


def _reached(chains: Mapping[str, Chain], found: set[str]) -> frozenset[str]:
    pending = list(found)
    while pending:
        for rule in chains[pending.pop()].rules:
            target = rule.target
            if isinstance(target, Jump | Goto) and target.chain in chains.keys() - found:
                found.add(target.chain)
                pending.append(target.chain)
    return frozenset(found)


def _rewrites_sources(chain: Chain) -> bool:
    """Whether no packet ends in a chain."""
    return chain.policy != "DROP" and all(
        rule.target is None
        or isinstance(rule.target, Jump | Goto | Masquerade | SetMark)
        or (isinstance(rule.target, NatTarget) and rule.target.name == "SNAT")
        or (isinstance(rule.target, Verdict) and rule.target.name != "DROP")
        for rule in chain.rules
    )
