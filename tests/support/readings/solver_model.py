"""The solver's model of rules, asked about one packet: does it say what the simulator says?"""

from __future__ import annotations

from fractions import Fraction

import z3

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.model.rules import index_rules
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.packet import Packet, Result, World
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Numbering, Schema
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.shares import SharesEncoding, SharesUndecidedError
from svcc.verify.smt.terms import conjunction, disjunction
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
        if not _satisfiable(encoding.lines, [*terms, term]):
            return f"the model excludes {term}"
    if _satisfiable(encoding.lines, [*terms, f"(not {disjunction(happened)})"]):
        return "the model allows more"
    return _shares_differ(cut.schema, cut.numbering, packet, world, outcomes, own)


def _outcome(encoding: Encoding, numbering: Numbering, result: Result, family: Family) -> str:
    """The term that says that exactly this happened."""
    parts = [
        {
            "passed": encoding.passed,
            "dropped": encoding.is_dropped,
            "rejected": encoding.is_rejected,
        }[result.verdict],
        *(
            f"(= {encoding.mark_bit(bit)} {str(bool(result.mark >> bit & 1)).lower()})"
            for bit in range(32)
            if encoding.marks_that_matter >> bit & 1
        ),
        f"(= {encoding.masqueraded} {str(result.masqueraded).lower()})",
    ]
    for fires, host, port in encoding.dnat:
        here = (
            numbering.hosts.get(result.destination) == host
            and port is not None
            and numbering.ports.get(result.destination_port) == port
        )
        if not here:
            parts.append(f"(not {fires})")
    if result.translated:
        parts.append(disjunction([fires for fires, _, _ in encoding.dnat]))
    return conjunction(parts)


def _fixed(
    encoding: Encoding, numbering: Numbering, packet: Packet, world: World, own: int
) -> list[str]:
    """Terms that leave one packet in one world."""
    width = encoding.width
    terms = [
        f"(= src (_ bv{packet.source} {width}))",
        f"(= sport (_ bv{packet.source_port} 16))",
        "(= mark0 (_ bv0 32))",
        f"(= local {str(world.is_local(packet.destination)).lower()})",
    ]
    if not packet.from_node:
        number = encoding.interfaces.get(packet.in_interface, 65535)
        terms.append(f"(= iif (_ bv{number} 16))")
    for (variable, pattern), name in encoding.patterns.items():
        if variable == "iif":
            hit = packet.in_interface.startswith(pattern[:-1])
            terms.append(f"(= {name} {str(hit).lower()})")
    for (number, seconds), name in encoding.recent.items():
        listed = next(key for key, value in numbering.lists.items() if value == number)
        age = world.recent.get(listed)
        known = age is not None and (seconds is None or age < seconds)
        terms.append(f"(= {name} {str(known).lower()})")
    for address, number in numbering.hosts.items():
        if f"H{number}" in encoding.declared:
            terms.append(f"(= H{number} (_ bv{address} {width}))")
        flag = f"backend_local{number}"
        if flag in encoding.declared:
            terms.append(f"(= {flag} {str(world.is_local(address)).lower()})")
    for value, number in numbering.ports.items():
        if f"P{number}" in encoding.declared:
            terms.append(f"(= P{number} (_ bv{value} 16))")
    for name in encoding.declared:
        if name == "own_source":
            terms.append(f"(= own_source (_ bv{own} {width}))")
        elif name.startswith("own_at_"):
            at = world.is_local(int(name.removeprefix("own_at_")))
            terms.append(f"(= {name} {str(at).lower()})")
    return terms


def _way_out(encoding: Encoding, packet: Packet, world: World, destinations: set[int]) -> list[str]:
    """Terms that say which interfaces lead to which destinations."""
    present = encoding.define(f"(_ BitVec {encoding.width})", encoding.destination)
    terms = []
    for variable, at, addresses in (
        ("oif0", "dst", {packet.destination}),
        ("oif1", present, destinations),
    ):
        for address in addresses:
            interface = world.way_out(address)
            number = encoding.interfaces.get(interface, 65534)
            parts = [f"(= {variable} (_ bv{number} 16))"]
            for (of, pattern), name in encoding.patterns.items():
                if of == variable:
                    hit = interface.startswith(pattern[:-1])
                    parts.append(f"(= {name} {str(hit).lower()})")
            if interface != "lo":
                here = f"(= {at} {encoding.address(address)})"
                terms.append(f"(=> {here} {conjunction(parts)})")
    return terms


def _satisfiable(lines: list[str], terms: list[str]) -> bool:
    solver = z3.Solver()
    solver.from_string("\n".join([*lines, *(f"(assert {term})" for term in terms)]))
    answer = solver.check()
    assert answer != z3.unknown
    return bool(answer == z3.sat)


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
                fraction = f"(/ {share.numerator}.0 {share.denominator}.0)"
                wrong.append(f"(not (= {encoding.total(weights)} {fraction}))")
    terms = _fixed(encoding, numbering, packet, world, own)
    terms += _way_out(encoding, packet, world, set())
    differs = _satisfiable(encoding.lines, [*terms, disjunction(wrong)])
    return "shares differ" if differs else None
