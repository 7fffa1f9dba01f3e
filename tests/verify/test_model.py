"""The solver's model and the plain simulator agree on every outcome of random rule sets."""

from __future__ import annotations

from fractions import Fraction

import z3
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from svcc.compiler.settings import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.grammar.parse import parse
from svcc.grammar.ruleset import load
from svcc.verify.encode import Encoding
from svcc.verify.expectation import Expectation, Frontend
from svcc.verify.matching import UndecidableError
from svcc.verify.packet import Packet, Result, World
from svcc.verify.records import index_rules
from svcc.verify.regions import Region, Regions
from svcc.verify.schema import Numbering, Schema
from svcc.verify.shares import SharesEncoding, SharesUndecidedError
from svcc.verify.simulate import distribution
from svcc.verify.slices import Box
from svcc.verify.terms import conjunction, disjunction
from tests.support.random_rules import ADDRESSES, PORTS, rule_sets

TCP = 6
FULL = (1 << 32) - 1
NODE = parse_address("192.168.7.10")
OTHER = parse_address("192.168.7.11")
"""An address of the node that no setting lists; MASQUERADE writes it."""
SETTINGS = NodeSettings("node-a", addresses=(NODE,))


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    from_node = draw(st.booleans())
    return Packet(
        Family.IPV4,
        from_node,
        NODE.value if from_node else parse_address(draw(st.sampled_from(ADDRESSES[:4]))).value,
        draw(st.sampled_from((80, 40000))),
        parse_address(draw(st.sampled_from(ADDRESSES))).value,
        draw(st.sampled_from(PORTS)),
        TCP,
        "" if from_node else draw(st.sampled_from(("eth0", "veth7", "wlan0"))),
    )


def outcome_term(encoding: Encoding, numbering: Numbering, result: Result) -> str:
    """The term that says that exactly this happened."""
    parts = [
        {
            "passed": encoding.passed,
            "dropped": encoding.is_dropped,
            "rejected": encoding.is_rejected,
        }[result.verdict],
        f"(= {encoding.mark} (_ bv{result.mark} 32))",
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


def fixed_packet(
    encoding: Encoding, numbering: Numbering, packet: Packet, world: World
) -> list[str]:
    terms = [
        f"(= src (_ bv{packet.source} 32))",
        f"(= sport (_ bv{packet.source_port} 16))",
        "(= mark0 (_ bv0 32))",
        f"(= local {str(world.is_local(packet.destination)).lower()})",
    ]
    if not packet.from_node:
        number = encoding.interfaces.get(packet.in_interface, 99)
        terms.append(f"(= iif {number})")
    if "own_source" in encoding.declared:
        terms.append(f"(= own_source (_ bv{OTHER.value} 32))")
    for variable in ("oif0", "oif1"):
        terms.append(f"(= {variable} {encoding.interfaces.get(world.out_interface, 98)})")
    for (variable, pattern), name in encoding.patterns.items():
        interface = packet.in_interface if variable == "iif" else world.out_interface
        terms.append(f"(= {name} {str(interface.startswith(pattern[:-1])).lower()})")
    for (number, seconds), name in encoding.recent.items():
        listed = next(key for key, value in numbering.lists.items() if value == number)
        age = world.recent.get(listed)
        known = age is not None and (seconds is None or age < seconds)
        terms.append(f"(= {name} {str(known).lower()})")
    for address, number in numbering.hosts.items():
        if f"H{number}" in encoding.declared:
            terms.append(f"(= H{number} (_ bv{address} 32))")
        flag = f"backend_local{number}"
        if flag in encoding.declared:
            terms.append(f"(= {flag} {str(world.is_local(address)).lower()})")
    for value, number in numbering.ports.items():
        if f"P{number}" in encoding.declared:
            terms.append(f"(= P{number} (_ bv{value} 16))")
    return terms


def satisfiable(lines: list[str], terms: list[str]) -> bool:
    solver = z3.Solver()
    solver.from_string("\n".join([*lines, *(f"(assert {term})" for term in terms)]))
    answer = solver.check()
    assert answer != z3.unknown
    return bool(answer == z3.sat)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(rule_sets(), packets(), st.sampled_from(({}, {"seen": 30}, {"seen": 300})))
def test_model_and_simulator_agree(text: str, packet: Packet, recent: dict[str, int]) -> None:
    rules = load(parse(text, family=Family.IPV4, source="random"))
    world = World(
        lambda address: address in (NODE.value, OTHER.value),
        recent,
        "eth1",
        own_address=lambda interface, destination: OTHER.value,
    )
    try:
        outcomes = distribution(rules, packet, world)
    except UndecidableError:
        # What a rule has rewritten the source to is not known.
        reject()
    frontend = Frontend(
        Family.IPV4, packet.destination, TCP, packet.destination_port, "x", "external IP"
    )
    regions = Regions(index_rules(rules), Expectation(Family.IPV4, SETTINGS, (), ()))
    local = True if packet.destination == NODE.value else None
    box = Box(
        packet.destination, FULL, TCP, packet.destination_port, packet.destination_port, local
    )
    cut = regions.cut(Region(frontend, (), box, packet.from_node))
    encoding = Encoding(cut.schema)
    encoding.run()
    terms = fixed_packet(encoding, cut.numbering, packet, world)
    happened = [outcome_term(encoding, cut.numbering, result) for _, result in outcomes]
    for term in dict.fromkeys(happened):
        assert satisfiable(encoding.lines, [*terms, term]), f"the model excludes {term}"
    nothing_else = f"(not {disjunction(happened)})"
    assert not satisfiable(encoding.lines, [*terms, nothing_else]), "the model allows more"
    check_shares(cut.schema, cut.numbering, packet, world, outcomes)


def check_shares(
    schema: Schema,
    numbering: Numbering,
    packet: Packet,
    world: World,
    outcomes: list[tuple[Fraction, Result]],
) -> None:
    """Each backend's exact share is the same in both."""
    try:
        encoding = SharesEncoding(schema)
        encoding.run()
    except SharesUndecidedError:
        return
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
    terms = fixed_packet(encoding, numbering, packet, world)
    assert not satisfiable(encoding.lines, [*terms, disjunction(wrong)]), "shares differ"
