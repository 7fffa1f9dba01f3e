"""Kernel, model, expectation and plain reading, asked about the same packets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family, parse_address
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import RuleSet, load
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.confirm import judge
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.packet import Packet, Result, World
from svcc.verify.spec import outcomes
from svcc.verify.spec.expectation import Expectation, FrontendExpectation, expect
from tests.support.kernel.probes import probes
from tests.support.kernel.probing import check, send_judged
from tests.support.kernel.testbed import Lost, Outcome, Testbed
from tests.support.readings.outcomes import (
    Backend,
    Drop,
    Probe,
    Refuse,
    Serve,
    Untouched,
    Wanted,
    is_local,
    is_loopback,
    mismatch,
)
from tests.support.readings.plain_reading import Reading, read


def disagreements(
    testbed: Testbed,
    objects: Objects,
    settings: NodeSettings,
    texts: Mapping[Family, str],
    *,
    strict: bool,
    ipvs: Ipvs | None = None,
) -> list[str]:
    """Send packets through rules that are loaded; every way in which the four differ.

    ``strict``: the rules are svcc's own and do the strict thing where kube-proxy is laxer.
    ``ipvs``: what is loaded beside the rules in ipvs mode.
    """
    rules = {
        family: load(parse(text, family=family, source=family.label))
        for family, text in texts.items()
    }
    for item in rules.values():
        item.ipvs = ipvs
    virtual = frozenset(
        str(Address(family, value))
        for family, values in (ipvs.addresses.items() if ipvs else ())
        for value in values
    )
    expectations = {family: expect(objects, settings, family) for family in Family}
    wrong: list[str] = []
    for probe in probes(testbed, objects):
        family = Family(probe.flow.version)
        if probe.sender != "node" and probe.flow.source in virtual:
            # The kernel takes no packet from a wire with one of its own addresses as source.
            continue
        refused = virtual if not is_probed(objects, probe) else frozenset[str]()
        reading = in_ipvs_mode(read(objects, settings, probe), probe, refused)
        allowed = reading.own if strict else reading.allowed
        results = [check(testbed, probe, wanted) for wanted in allowed]
        if all(results):
            wrong.append(f"kernel: {results[0]}")
        expected = expected_outcomes(expectations[family], probe, refused)
        if expected[0] != reading.strict or set(expected) != set(reading.allowed):
            wrong.append(f"readings differ on {probe}: {expected} and {reading.allowed}")
        found = _model_differs(testbed, rules[family], probe, virtual)
        if found:
            wrong.append(found)
    return wrong


def is_probed(objects: Objects, probe: Probe) -> bool:
    """Whether a probe is for the health check port of a balancer's address."""
    return any(
        service.health_check_node_port == probe.flow.destination_port
        and probe.flow.protocol == 6
        and parse_address(probe.flow.destination) in service.ingress
        for service in objects.services
    )


def in_ipvs_mode(reading: Reading, probe: Probe, virtual: frozenset[str]) -> Reading:
    """What the reading becomes where virtual IPs are addresses of the node."""
    if probe.flow.destination not in virtual:
        return reading
    if reading.strict == Untouched():
        return Reading(Refuse())
    if probe.flow.source in virtual and isinstance(reading.strict, Serve):
        # No backend could answer a virtual IP.
        return replace(reading, strict=replace(reading.strict, masquerade=True))
    return reading


# -- the verifier's expectation ------------------------------------------------------------


def expected_outcomes(
    expected: Expectation, probe: Probe, virtual: frozenset[str] = frozenset()
) -> tuple[Wanted, ...]:
    """What :mod:`svcc.verify.spec.expectation` allows for a packet."""
    packet = packet_of(probe)
    frontend = _frontend_of(expected, packet, probe)
    if probe.flow.destination in virtual and (
        frontend is None or frontend.frontend.address is None
    ):
        return (Refuse(),)
    if frontend is None:
        return (Untouched(),)
    outcomes = judge.allowed_outcomes(frontend.cases, packet)
    return tuple(_wanted(outcome, packet.family) for outcome in outcomes)


def _frontend_of(expected: Expectation, packet: Packet, probe: Probe) -> FrontendExpectation | None:
    node_port = None
    for item in expected.frontends:
        frontend = item.frontend
        if (frontend.protocol, frontend.port) != (packet.protocol, packet.destination_port):
            continue
        if frontend.address == packet.destination:
            return item
        if frontend.address is None and is_local(probe.flow.destination):
            node_port = item
    return node_port


def _wanted(outcome: outcomes.Outcome, family: Family) -> Wanted:
    if isinstance(outcome, outcomes.Serve):
        backends = frozenset((str(Address(family, b.address)), b.port) for b in outcome.backends)
        return Serve(backends, bool(outcome.masquerade), outcome.affinity_timeout is not None)
    if isinstance(outcome, outcomes.Refuse):
        return Refuse()
    return Drop() if isinstance(outcome, outcomes.Discard) else Untouched()


def packet_of(probe: Probe) -> Packet:
    """The packet as the verifier describes it."""
    flow = probe.flow
    return Packet(
        Family(flow.version),
        probe.sender == "node",
        parse_address(flow.source).value,
        flow.source_port or 40000,
        parse_address(flow.destination).value,
        flow.destination_port,
        flow.protocol,
        "" if probe.sender == "node" else probe.sender,
    )


# -- the model of netfilter ----------------------------------------------------------------


def _model_differs(
    testbed: Testbed, rules: RuleSet, probe: Probe, virtual: frozenset[str]
) -> str | None:
    """Send one packet, and compare with what the plain simulator makes of it."""
    packet = packet_of(probe)

    def local(address: int) -> bool:
        text = str(Address(packet.family, address))
        return is_local(text) or text in virtual

    results = [result for _, result in distribution(rules, packet, World(local))]

    def judge(sent: Probe, outcome: Outcome) -> str | None:
        if isinstance(outcome, Lost) and is_loopback(sent.flow.source):
            # Routing, which the model does not have, keeps loopback sources off the wire.
            return None
        complaints = [mismatch(sent, outcome, _wanted_of(result, packet)) for result in results]
        return complaints[0] if all(complaints) else None

    fresh, _, wrong = send_judged(testbed, probe, judge)
    return f"model and kernel differ on {fresh}: by the model it {wrong}" if wrong else None


def _wanted_of(result: Result, packet: Packet) -> Wanted:
    if result.verdict != "passed":
        return Refuse() if result.verdict == "rejected" else Drop()
    if not result.translated and not result.masqueraded:
        return Untouched()
    place: Backend = (
        str(Address(packet.family, result.destination)),
        result.destination_port,
    )
    return Serve(frozenset([place]), result.masqueraded, hairpin=False)
