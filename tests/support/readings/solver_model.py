"""The solver's model of rules, asked about one packet: does it say what the simulator says?"""

from __future__ import annotations

from fractions import Fraction

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.model.rules import index_rules
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.packet import Packet, Result, World
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Schema
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.script import Script
from svcc.verify.smt.shares import SharesEncoding, SharesUndecidedError
from svcc.verify.smt.solver import Solver
from svcc.verify.smt.term import (
    Term,
    boolean,
    conjunction,
    disjunction,
    equal,
    has_value,
    implies,
    negate,
    number,
)
from svcc.verify.spec.expectation import Expectation, Frontend


def difference(
    rules: RuleSet, packet: Packet, world: World, known: tuple[Address, ...], own: int
) -> str | None:
    """How the solver's model differs from the simulator, None if it does not.

    Args:
        rules: any rules.
        packet: the packet, for which every outcome and every share is compared.
        world: as the simulator takes it.
        known: the node's addresses that its settings list.
        own: what MASQUERADE writes.

    Raises:
        UndecidableError: the packet meets a rule outside the model.
    """
    outcomes = distribution(rules, packet, world)
    family = packet.family
    full = (1 << family.bits) - 1
    port, protocol = packet.destination_port, packet.protocol
    frontend = Frontend(family, packet.destination, protocol, port, "x", "external IP")
    settings = NodeSettings(node_name="node-a", addresses=known)
    regions = Regions(index_rules(rules), Expectation(family, settings, (), ()))
    local = True if packet.destination in {address.value for address in known} else None
    box = Box(packet.destination, full, protocol, port, port, local)
    cut = Cutter(regions).cut(Region(frontend, (), box, packet.from_node))
    encoding = Encoding(cut.schema)
    encoding.run()
    terms = _fixed(encoding, cut.numbering, packet, world, own)
    terms += _way_out(encoding, packet, world, {result.destination for _, result in outcomes})
    happened = [_outcome(encoding, cut.numbering, result, family) for _, result in outcomes]
    for term in dict.fromkeys(happened):
        if not _satisfiable(encoding.script, [*terms, term]):
            return f"the model excludes {term}"
    if _satisfiable(encoding.script, [*terms, negate(disjunction(happened))]):
        return "the model allows more"
    return _shares_differ(cut.schema, cut.numbering, packet, world, outcomes, own)


def _outcome(encoding: Encoding, numbering: Numbering, result: Result, family: Family) -> Term:
    """The term that says that exactly this happened."""
    parts = [
        {
            "passed": encoding.passed,
            "dropped": encoding.is_dropped,
            "rejected": encoding.is_rejected,
        }[result.verdict],
        *(
            equal(encoding.mark_bit(bit), boolean(bool(result.mark >> bit & 1)))
            for bit in range(32)
            if encoding.marks_that_matter >> bit & 1
        ),
        equal(encoding.masqueraded, boolean(result.masqueraded)),
    ]
    for fires, host, port in encoding.dnat:
        here = (
            numbering.hosts.get(result.destination) == host
            and port is not None
            and numbering.ports.get(result.destination_port) == port
        )
        if not here:
            parts.append(negate(fires))
    if result.translated:
        parts.append(disjunction([fires for fires, _, _ in encoding.dnat]))
    return conjunction(parts)


def _fixed(
    encoding: Encoding, numbering: Numbering, packet: Packet, world: World, own: int
) -> list[Term]:
    """Terms that leave one packet in one world."""
    variables, declared = encoding.packet, encoding.declared
    terms = [
        has_value(variables.src, packet.source),
        has_value(variables.sport, packet.source_port),
        has_value(variables.mark0, 0),
        equal(variables.local, boolean(world.is_local(packet.destination))),
    ]
    if not packet.from_node:
        interface = encoding.interfaces.get(packet.in_interface, 65535)
        terms.append(has_value(variables.iif, interface))
    for (variable, pattern), flag in encoding.patterns.items():
        if variable == "iif":
            terms.append(equal(flag, boolean(packet.in_interface.startswith(pattern[:-1]))))
    for (item, seconds), flag in encoding.recent.items():
        listed = next(key for key, value in numbering.lists.items() if value == item)
        age = world.recent.get(listed)
        known = age is not None and (seconds is None or age < seconds)
        terms.append(equal(flag, boolean(known)))
    for address, host in numbering.hosts.items():
        if f"H{host}" in declared:
            terms.append(has_value(declared[f"H{host}"], address))
        if f"backend_local{host}" in declared:
            at_home = boolean(world.is_local(address))
            terms.append(equal(declared[f"backend_local{host}"], at_home))
    for value, port in numbering.ports.items():
        if f"P{port}" in declared:
            terms.append(has_value(declared[f"P{port}"], value))
    for name, term in declared.items():
        if name == "own_source":
            terms.append(has_value(term, own))
        elif name.startswith("own_at_"):
            at = world.is_local(int(name.removeprefix("own_at_")))
            terms.append(equal(term, boolean(at)))
    return terms


def _way_out(
    encoding: Encoding, packet: Packet, world: World, destinations: set[int]
) -> list[Term]:
    """Terms that say which interfaces lead to which destinations."""
    present = encoding.define(encoding.destination)
    variables = encoding.packet
    terms = []
    for variable, at, leads_to, addresses in (
        ("oif0", variables.dst, variables.oif0, {packet.destination}),
        ("oif1", present, variables.oif1, destinations),
    ):
        for address in addresses:
            interface = world.way_out(address)
            place = encoding.interfaces.get(interface, 65534)
            parts = [has_value(leads_to, place)]
            for (of, pattern), flag in encoding.patterns.items():
                if of == variable:
                    parts.append(equal(flag, boolean(interface.startswith(pattern[:-1]))))
            if interface != "lo":
                terms.append(implies(has_value(at, address), conjunction(parts)))
    return terms


def _satisfiable(script: Script, terms: list[Term]) -> bool:
    outcome = Solver(script.requiring(terms)).check()
    assert outcome != "unknown"
    return outcome == "sat"


def _shares_differ(
    schema: Schema,
    numbering: Numbering,
    packet: Packet,
    world: World,
    outcomes: list[tuple[Fraction, Result]],
    own: int,
) -> str | None:
    """Whether some backend's exact share is not the same in both."""
    try:
        encoding = SharesEncoding(schema)
        encoding.run()
    except SharesUndecidedError:
        return None
    expected: dict[tuple[int, int], Fraction] = {}
    for weight, result in outcomes:
        if result.translated:
            key = (result.destination, result.destination_port)
            expected[key] = expected.get(key, Fraction(0)) + weight
    wrong = []
    for address, host in numbering.hosts.items():
        for value, port in numbering.ports.items():
            weights = [w for w, h, p in encoding.weights if (h, p) == (host, port)]
            # DNAT to where the packet goes anyway is no translation.
            unchanged = (address, value) == (packet.destination, packet.destination_port)
            if weights and not unchanged:
                share = expected.get((address, value), Fraction(0))
                wrong.append(negate(equal(encoding.total(weights), number(share))))
    terms = _fixed(encoding, numbering, packet, world, own)
    terms += _way_out(encoding, packet, world, set())
    differs = _satisfiable(encoding.script, [*terms, disjunction(wrong)])
    return "shares differ" if differs else None
