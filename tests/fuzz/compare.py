"""What the model says that may become of packets, and whether the kernel agrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from svcc.grammar.address import Address, Family, parse_address
from svcc.grammar.parse import parse
from svcc.grammar.ruleset import RuleSet, load
from svcc.verify.packet import Packet, Result, World
from svcc.verify.simulate import distribution
from tests.fuzz.wires import Shot
from tests.support.outcomes import is_local, is_loopback, show, wire_to
from tests.support.testbed import LOCAL, Delivered, Lost, Outcome, Refused, Sent


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
    rules: RuleSet, shots: Sequence[Shot], observed: Sequence[frozenset[Outcome]]
) -> Iterator[Disagreement]:
    """The packets of a burst that the kernel treated in a way that the model excludes.

    Which recent lists a sender stands in follows from its earlier packets; where chance leaves
    that open, every way that agrees with what was seen is kept.
    """
    standing: dict[str, set[frozenset[str]]] = {}
    for number, ((sender, flow), seen) in enumerate(zip(shots, observed, strict=True)):
        packet = packet_of(rules.family, sender == "node", sender, flow)
        before = standing.get(flow.source, {frozenset()})
        after: set[frozenset[str]] = set()
        model: dict[str, None] = {}
        for lists in before:
            world = World(local, dict.fromkeys(lists, 0), ways=way)
            for _, result in distribution(rules, packet, world):
                model[_words(result, packet)] = None
                if agrees(result, packet, seen):
                    after.add(lists | result.recorded)
        if not after:
            shown = ", ".join(sorted(map(show, seen))) or "dropped"
            yield Disagreement(number, (sender, flow), shown, tuple(model))
            after = {lists | result.recorded for lists in before}
        standing[flow.source] = after


def agrees(result: Result, packet: Packet, seen: frozenset[Outcome]) -> bool:
    """Whether what was seen of a packet is this result."""
    # A closed port's own "port unreachable" is no refusal by rules.
    seen = frozenset(o for o in seen if not isinstance(o, Refused)) or seen
    if len(seen) > 1:
        return False
    outcome = next(iter(seen), Lost())
    if result.verdict == "rejected":
        return isinstance(outcome, Refused)
    if result.verdict == "dropped":
        return isinstance(outcome, Lost)
    destination = text_of(packet.family, result.destination)
    source = text_of(packet.family, packet.source)
    if isinstance(outcome, Lost):
        # Routing, which the model does not have, keeps loopback sources off the wire.
        return is_loopback(source) and not is_local(destination)
    if isinstance(outcome, Refused):
        return False
    flow = outcome.flow
    if (flow.destination, flow.destination_port) != (destination, result.destination_port):
        return False
    if is_local(destination) != isinstance(outcome, Delivered):
        return False
    if isinstance(outcome, Sent) and outcome.wire != wire_to(destination):
        return False
    same = (flow.source, flow.source_port) == (source, packet.source_port)
    if not result.masqueraded:
        return same
    # An address that the packet had anyway says nothing.
    return flow.source in LOCAL and (not same or source in LOCAL)


def _words(result: Result, packet: Packet) -> str:
    if result.verdict != "passed":
        return "refused" if result.verdict == "rejected" else "dropped"
    place = f"{text_of(packet.family, result.destination)} port {result.destination_port}"
    return f"to {place}" + (", source rewritten" if result.masqueraded else "")


def packet_of(family: Family, from_node: bool, sender: str, flow: object) -> Packet:
    """The packet as the verifier describes it."""
    from tests.support.packets import Flow

    assert isinstance(flow, Flow)
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


def _family(address: int) -> Family:
    # ::1 aside, the testbed has no IPv6 address below 2**32.
    return Family.IPV6 if address >> 32 or address == 1 else Family.IPV4


Standing = Mapping[str, set[frozenset[str]]]
