"""What the model says that may become of packets, and whether the kernel agrees."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from svcc.grammar.address import Address, Family, parse_address
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.program import RecentMatch
from svcc.grammar.iptables.ruleset import RuleSet, load
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Packet, Result, World
from tests.fuzz.wires import Shot
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import ADDRESSES, LOCAL, Delivered, Lost, Outcome, Refused, Sent
from tests.support.readings.outcomes import is_local, is_loopback, show, wire_to


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The packet ``number`` of a burst: what the kernel did, and what the model allows."""

    number: int
    shot: Shot
    kernel: str
    model: tuple[str, ...]

    def __str__(self) -> str:
        sender, flow = self.shot
        allowed = " or ".join(self.model)
        return f"{flow} from {sender}: the kernel: {self.kernel}; the model: {allowed}"


def read_rules(text: str, family: Family) -> RuleSet:
    """Rules as the verifier reads them."""
    return load(parse(text, family=family, source="random"))


def disagreements(
    rules: RuleSet,
    shots: Sequence[Shot],
    observed: Sequence[frozenset[Outcome]],
    undecidable: Sequence[int] = (),
) -> Iterator[Disagreement]:
    """The packets of a burst that the kernel treated in a way that the model excludes.

    Which recent lists a sender stands in follows from its earlier packets; where chance leaves
    that open, every way that agrees with what was seen is kept. ``undecidable`` are packets
    that the model gives no answer for; see :func:`outside_the_model`.
    """
    standing: dict[str, set[frozenset[str]]] = {}
    outside = set(undecidable)
    any_lists = _subsets(rules)
    for number, ((sender, flow), seen) in enumerate(zip(shots, observed, strict=True)):
        packet = packet_of(rules.family, sender == "node", sender, flow)
        if number in outside:
            # It may have put any of the node's own addresses, and its own, in any list.
            standing.update(dict.fromkeys((*LOCAL, flow.source), any_lists))
            continue
        before = standing.get(flow.source, {frozenset()})
        after: set[frozenset[str]] = set()
        model: dict[str, None] = {}
        for lists in before:
            world = World(local, dict.fromkeys(lists, 0), ways=way, own_address=own)
            for _, result in distribution(rules, packet, world):
                model[_words(result, packet)] = None
                if agrees(result, packet, seen):
                    after.add(lists | result.recorded)
        if not after:
            shown = ", ".join(sorted(map(show, seen))) or "dropped"
            yield Disagreement(number, (sender, flow), shown, tuple(model))
            after = {lists | result.recorded for lists in before}
        standing[flow.source] = after


def outside_the_model(rules: RuleSet, shots: Sequence[Shot]) -> list[int]:
    """The packets of a burst that the model gives no answer for, on some way through the rules."""
    found = []
    for number, (sender, flow) in enumerate(shots):
        packet = packet_of(rules.family, sender == "node", sender, flow)
        try:
            for lists in _subsets(rules):
                distribution(
                    rules,
                    packet,
                    World(local, dict.fromkeys(lists, 0), ways=way, own_address=own),
                )
        except UndecidableError:
            found.append(number)
    return found


def _subsets(rules: RuleSet) -> set[frozenset[str]]:
    """Every combination of the recent lists that the rules name."""
    names = {
        match.name
        for chains in rules.tables.values()
        for chain in chains.values()
        for rule in chain.rules
        for match in rule.matches
        if isinstance(match, RecentMatch)
    }
    return {
        frozenset(chosen)
        for size in range(len(names) + 1)
        for chosen in itertools.combinations(sorted(names), size)
    }


def agrees(result: Result, packet: Packet, seen: frozenset[Outcome]) -> bool:
    """Whether what was seen of a packet is this result."""
    # A closed port's own "port unreachable" is no refusal by rules.
    seen = frozenset(o for o in seen if not isinstance(o, Refused)) or seen
    if len(seen) > 1:
        return False
    outcome = next(iter(seen), Lost())
    destination = text_of(packet.family, result.destination)
    source = text_of(packet.family, packet.source)
    if isinstance(outcome, Lost) and is_loopback(source) and not is_local(destination):
        # Routing, which the model does not have, keeps loopback sources off the wire.
        return True
    if result.verdict == "rejected":
        return isinstance(outcome, Refused)
    if result.verdict == "dropped":
        return isinstance(outcome, Lost)
    if isinstance(outcome, Lost):
        return False
    if isinstance(outcome, Refused):
        return False
    flow = outcome.flow
    if (flow.destination, flow.destination_port) != (destination, result.destination_port):
        return False
    if is_local(destination) != isinstance(outcome, Delivered):
        return False
    if isinstance(outcome, Sent) and outcome.wire != wire_to(destination):
        return False
    assert result.source is not None
    return flow.source == text_of(packet.family, result.source) and (
        flow.source_port == result.source_port or result.source_port is None
    )


def _words(result: Result, packet: Packet) -> str:
    if result.verdict != "passed":
        return "refused" if result.verdict == "rejected" else "dropped"
    source = "?" if result.source is None else text_of(packet.family, result.source)
    place = f"{text_of(packet.family, result.destination)} port {result.destination_port}"
    return f"to {place}" + (
        f" from {source} port {result.source_port}" if result.masqueraded else ""
    )


def packet_of(family: Family, from_node: bool, sender: str, flow: Flow) -> Packet:
    """The packet as the verifier describes it."""
    return Packet(
        family,
        from_node,
        parse_address(flow.source).value,
        flow.source_port,
        parse_address(flow.destination).value,
        flow.destination_port,
        flow.protocol,
        "" if from_node else sender,
    )


@cache
def text_of(family: Family, address: int) -> str:
    """An address in words."""
    return str(Address(family, address))


def local(address: int) -> bool:
    """Whether an address of either family is the testbed node's."""
    return is_local(text_of(_family(address), address))


def way(address: int) -> str:
    """The wire that leads there."""
    return wire_to(text_of(_family(address), address))


def own(interface: str, destination: int) -> int:
    """What MASQUERADE writes on the testbed's node (nf_nat_masquerade.c).

    IPv4 takes the interface's first address, on loopback that of the first other interface
    (inet_select_addr); IPv6 chooses by the destination (RFC 6724).
    """
    family = _family(destination)
    if family is Family.IPV4:
        return parse_address("192.168.7.10" if interface == "ext0" else "10.244.1.1").value
    return parse_address(_chosen_by_ipv6(interface, text_of(family, destination))).value


def _chosen_by_ipv6(interface: str, destination: str) -> str:
    if is_local(destination):
        return destination
    if interface == "pod0":
        return "fd00:244:1::1"
    # The latest address stands first (addrconf.c, ipv6_link_dev_addr).
    candidates = [a for a in reversed(ADDRESSES["ext0"]) if ":" in a]
    to = parse_address(destination).value

    def shared(candidate: str) -> int:
        return 128 - (parse_address(candidate).value ^ to).bit_length()

    return max(candidates, key=shared)


def _family(address: int) -> Family:
    # ::1 aside, the testbed has no IPv6 address below 2**32.
    return Family.IPV6 if address >> 32 or address == 1 else Family.IPV4
