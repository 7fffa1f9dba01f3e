"""Each part of a signature tells regions apart that are cut otherwise."""

from __future__ import annotations

import pytest

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.verify.model.rules import index_rules
from svcc.verify.rule_files import from_text
from svcc.verify.signatures.signatures import Signatures
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Regions
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Serve, Untouched
from tests.unit.verify.signatures.comparing import (
    compare,
)


def different(rules: str) -> None:
    """Other ports of two addresses, one with a frontend at port 80, have not the same signature."""
    loaded = from_text(
        f"*mangle\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n",
        Family.IPV4,
        "x",
    )
    places = tuple(
        FrontendExpectation(
            Frontend(Family.IPV4, parse_address(address).value, 6, port, "x", "cluster IP"),
            (Case((), (Untouched(),)),),
            may_be_local=False,
        )
        for address, port in (("10.96.0.1", 80), ("10.96.0.2", 443))
    )
    apart = frozenset(parse_address(address).value for address in ("10.96.0.1", "10.96.0.2"))
    expectation = Expectation(Family.IPV4, NodeSettings(node_name="node-a"), places, ())
    regions = Regions(index_rules(loaded.rules), expectation, apart=apart)
    compare(regions)
    schemas, signatures = [], []
    cutter = Cutter(regions)
    known = Signatures(regions, cutter)
    for region in regions:
        if region.virtual_ip is not None and not region.from_node:
            schemas.append(cutter.cut(region).schema)
            signatures.append(known.of(region))
    assert schemas[0] != schemas[1]
    assert None in signatures or signatures[0] != signatures[1]


def test_ports_that_are_judged_elsewhere() -> None:
    """What a chain of one address asks for may be a frontend there, and none at its like."""
    different(
        ":A - [0:0]\n:B - [0:0]\n"
        "-A PREROUTING -d 10.96.0.1/32 -j A\n-A PREROUTING -d 10.96.0.2/32 -j B\n"
        "-A A -p tcp -m tcp --dport 80 -j DROP\n-A B -p tcp -m tcp --dport 80 -j DROP\n"
    )
    different("-A PREROUTING -p tcp -m tcp --dport 80 -j DROP\n")


@pytest.mark.parametrize("asked", ["-d", "! -d", "-s"])
def test_addresses_in_a_chain_of_one_port(asked: str) -> None:
    """A chain that a rule by port leads to may name the address."""
    different(
        ":A - [0:0]\n-A PREROUTING -p tcp -m tcp --dport 30000 -j A\n"
        f"-A A {asked} 10.96.0.1/32 -j DROP\n"
    )
    different(
        f"-A PREROUTING -p tcp {asked} 10.96.0.1/32 -m tcp --dport 30000 -j DROP\n",
    )


def shared_by_two(rules: str, ports: tuple[int, int] = (80, 80)) -> int:
    """How many regions share a schema, of two frontends with a backend each that are alike but
    for some rules ahead of or behind their own.
    """
    loaded = from_text(
        f"{rules}*nat\n:PREROUTING ACCEPT [0:0]\n"
        + "".join(
            f"-A PREROUTING -d 10.96.0.{n}/32 -p tcp -m tcp --dport {port} "
            f"-j DNAT --to-destination 10.244.0.{n}:8080\n"
            for n, port in enumerate(ports, 1)
        )
        + "COMMIT\n",
        Family.IPV4,
        "x",
    )
    places = tuple(
        FrontendExpectation(
            Frontend(Family.IPV4, parse_address(f"10.96.0.{n}").value, 6, port, "x", "cluster IP"),
            (Case((), (Serve((Backend(parse_address(f"10.244.0.{n}").value, 8080),), False),)),),
            may_be_local=False,
        )
        for n, port in enumerate(ports, 1)
    )
    expectation = Expectation(Family.IPV4, NodeSettings(node_name="node-a"), places, ())
    return compare(Regions(index_rules(loaded.rules), expectation))[0]


def filtered(hook: str, rule: str) -> str:
    return f"*mangle\n:{hook} ACCEPT [0:0]\n-A {hook} {rule}\nCOMMIT\n"


def test_like_frontends_share() -> None:
    assert shared_by_two("") > 0
    assert shared_by_two("", (80, 443)) > 0


@pytest.mark.parametrize("asked", ["--ctorigdst 10.96.0.1", "--ctorigdst 10.96.0.2"])
def test_what_a_connection_came_for_and_where_it_goes(asked: str) -> None:
    """A rule about an original destination asks for the port that packets are sent to."""
    rule = f"-p tcp -m conntrack {asked} -m tcp --dport 8080 -j DROP"
    # The node's own packets are not translated here.
    assert shared_by_two(filtered("POSTROUTING", rule)) == 0


def test_a_stretch_of_ports() -> None:
    """Which side of a rule's ports a frontend's port lies on."""
    rule = "-p tcp -m tcp --dport 1:100 -j DROP"
    assert shared_by_two(filtered("PREROUTING", rule), (80, 81)) > 0
    assert shared_by_two(filtered("PREROUTING", rule), (80, 443)) == 0


@pytest.mark.parametrize("backend", ["10.244.0.1", "10.244.0.2"])
def test_rules_about_where_packets_are_sent(backend: str) -> None:
    """A rule for one of the backends is part of that frontend's signature."""
    rule = f"-d {backend}/32 -p tcp -m tcp --dport 8080 -j DROP"
    assert shared_by_two(filtered("FORWARD", rule)) == 0
