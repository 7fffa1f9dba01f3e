"""One packet's way through the rules, and whether it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, parse_address
from svcc.verify.confirm.findings import VerdictName
from svcc.verify.confirm.judge import Failure, allowed_outcomes, describe_outcome, describe_result
from svcc.verify.confirm.replay import failures
from svcc.verify.model.rules import index_rules
from svcc.verify.prepare.connmark import with_plain_marks
from svcc.verify.prepare.excluded_servers import without_others
from svcc.verify.prepare.kubelet import with_kubelet
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.redirects import with_redirects
from svcc.verify.simulator.packet import DOCUMENTATION_SOURCE, EPHEMERAL_PORT, Packet, Result, World
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec.expectation import PROTOCOL_NUMBER, Frontend, expect
from svcc.verify.spec.kube_proxy_before_1_26 import loosened
from svcc.verify.spec.kube_proxy_ipvs import accepting, settings_for


@dataclass(frozen=True, slots=True)
class Way:
    """One thing that can become of the packet, with its exact probability."""

    share: Fraction
    result: Result

    def text(self, packet: Packet) -> str:
        """The share, and what becomes of the packet."""
        return f"{share_text(self.share):>18}  {describe_result(packet, self.result)}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of a packet, what must, and what is wrong (empty: nothing)."""

    packet: Packet
    frontend: Frontend | None
    expected: str
    ways: tuple[Way, ...]
    wrong: tuple[Failure, ...]
    source: str
    """The name of the text that the rules were read from."""
    sender: str = ""
    """``outside``, ``pod`` or ``node`` where a Service was asked for."""

    @property
    def verdict(self) -> VerdictName:
        """``proved`` or ``violated``, for this packet."""
        return "violated" if self.wrong else "proved"

    def outcomes(self) -> list[tuple[Fraction, str]]:
        """All that can become of the packet: exact share, and what in words."""
        return [(way.share, describe_result(self.packet, way.result)) for way in self.ways]


class Explainer:
    """Explains packets of one family on one node.

    Raises (each method): UndecidableError, if the packet meets a rule outside the model.
    """

    def __init__(
        self, objects: Objects, settings: NodeSettings, family: Family, loaded: LoadedRules
    ) -> None:
        self._rules = loaded.rules
        if self._rules.ipvs is not None:
            self._rules.ipvs = without_others(self._rules.ipvs, settings.ipvs.exclude_networks)
        self._source = loaded.source
        self._settings = settings
        self._family = family
        with_kubelet(self._rules)
        with_plain_marks(self._rules)
        with_redirects(self._rules, settings.addresses)
        node = settings_for(settings, self._rules)
        expectation = loosened(expect(objects, node, family), self._rules)
        expectation = accepting(expectation, self._rules, objects)
        self._regions = Regions(index_rules(self._rules), expectation)
        self._every = list(self._regions)

    def packet(self, packet: Packet) -> Explanation:
        """One packet, as it is given; one from an address of the node is the node's own."""
        full = self._regions.full_mask
        if self._regions.always_local(packet.source, full):
            packet = replace(packet, from_node=True, in_interface="")
        region = self._region_of(packet)

        def is_local(address: int) -> bool:
            return self._regions.always_local(address, full)

        world = World(is_local)
        wrong, outcomes = failures(
            self._rules, self._regions, region, packet, world, self._settings.masquerade_mark
        )
        allowed = allowed_outcomes(region.cases, packet)
        expected = ", or ".join(describe_outcome(packet, outcome) for outcome in allowed)
        ways = tuple(Way(share, result) for share, result in outcomes)
        return Explanation(packet, region.frontend, expected, ways, tuple(wrong), self._source)

    def service(self, name: str) -> Iterator[Explanation]:
        """Every frontend of a Service (``NAMESPACE/NAME`` or ``NAMESPACE/NAME:PORT``), for each
        kind of sender."""
        for region in self._every:
            frontend = region.frontend
            if frontend is None or region.from_node:
                continue
            if name not in (frontend.service, frontend.service.partition(":")[0]):
                continue
            for sender, packet in self._senders(frontend, region):
                yield replace(self.packet(packet), sender=sender)

    def _senders(self, frontend: Frontend, region: Region) -> Iterator[tuple[str, Packet]]:
        primary = self._settings.primary_address(self._family)
        own = primary.value if primary is not None else self._regions.node_networks[0][0] | 1
        outside = Packet(
            self._family,
            False,
            DOCUMENTATION_SOURCE[self._family],
            EPHEMERAL_PORT,
            own if frontend.address is None else frontend.address,
            frontend.port,
            frontend.protocol,
            "eth0",
        )
        yield "outside", outside
        pods = self._settings.pods
        if self._family in pods.networks:
            yield "pod", replace(outside, source=pods.networks[self._family].value + 9)
        elif pods.in_interface is not None:
            name = pods.in_interface
            if name.endswith("+"):
                name = name[:-1] + "0"
            yield "pod", replace(outside, in_interface=name)
        yield "node", replace(outside, source=own, from_node=True, in_interface="")

    def _region_of(self, packet: Packet) -> Region:
        place = (packet.destination, packet.protocol, packet.destination_port)
        local = self._regions.always_local(packet.destination, self._regions.full_mask)
        node_port = rest = None
        for region in self._every:
            if region.from_node != packet.from_node:
                continue
            front, virtual = region.frontend, region.virtual_ip
            if front is None:
                if virtual is None or virtual.value == packet.destination:
                    rest = rest or region
            elif (front.address, front.protocol, front.port) == place:
                return region
            elif local and (front.address, front.protocol, front.port) == (None, *place[1:]):
                node_port = region
        rest = node_port or rest
        assert rest is not None
        return rest


def share_text(share: Fraction) -> str:
    """``1/3 (33.3333%)``: the nearest simple fraction, as the kernel rounds to 2**-31."""
    if share == 1:
        return "always"
    simple = share.limit_denominator(10_000)
    near = abs(simple - share) < Fraction(1, 1 << 28)
    fraction = f"{simple}" if near else f"{float(share):.6f}"
    return f"{fraction} ({float(share):.4%})"


class QuestionError(ValueError):
    """Words that do not ask for a packet."""


def read_packet(words: list[str], node: Address | None) -> Packet:
    """``from SOURCE to ADDRESS:PORT[/PROTOCOL] [port N] [in INTERFACE] [mark N]``.

    Args:
        words: SOURCE is an address or ``node``; without ``from`` a client from outside.
        node: the node's own address of the family, for ``from node``.

    Raises:
        QuestionError: they do not say that.
    """
    given: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word not in ("from", "to", "port", "in", "iif", "mark"):
            raise QuestionError(f"{word!r} is not understood")
        value = next(rest, None)
        if value is None:
            raise QuestionError(f"{word!r} needs a value")
        given["in" if word == "iif" else word] = value
    if "to" not in given:
        raise QuestionError("there is no destination; say to ADDRESS:PORT")
    address, port, protocol = _destination(given["to"])
    family = address.family
    source = DOCUMENTATION_SOURCE[family]
    if given.get("from") == "node":
        if node is None or node.family is not family:
            raise QuestionError(f"the node has no {family.label} address; give --node-ip")
        source = node.value
    elif "from" in given:
        parsed = _address(given["from"])
        if parsed.family is not family:
            raise QuestionError("source and destination are of different families")
        source = parsed.value
    return Packet(
        family,
        False,
        source,
        _number(given.get("port", str(EPHEMERAL_PORT)), 0xFFFF),
        address.value,
        port,
        protocol,
        given.get("in", "eth0"),
        _number(given.get("mark", "0"), 0xFFFFFFFF),
    )


def _destination(text: str) -> tuple[Address, int, int]:
    place, _, protocol = text.partition("/")
    address, colon, port = place.rpartition(":")
    if not colon or not port:
        raise QuestionError(f"{text!r} has no port; say ADDRESS:PORT/tcp, IPv6 as [ADDRESS]:PORT")
    name = (protocol or "tcp").upper()
    if name not in PROTOCOL_NUMBER:
        raise QuestionError(f"{protocol!r} is not tcp, udp or sctp")
    return _address(address.strip("[]")), _number(port, 0xFFFF), PROTOCOL_NUMBER[name]


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError:
        raise QuestionError(f"{text!r} is no IP address") from None


def _number(text: str, highest: int) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        raise QuestionError(f"{text!r} is no number") from None
    if not 0 <= number <= highest:
        raise QuestionError(f"{text} is not between 0 and {highest}")
    return number
