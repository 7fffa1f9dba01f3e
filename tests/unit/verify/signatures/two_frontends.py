"""A few frontends that are alike, and rules for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, parse_address
from svcc.grammar.ipvs.ipset import Set
from svcc.verify.model.rules import index_rules
from svcc.verify.rule_files import from_text
from svcc.verify.slicing.regions import Regions
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Serve
from tests.unit.verify.signatures.comparing import (
    compare,
)

Place = tuple[str | None, int, int, str, tuple[str, ...]]
"""A frontend's address (None: a node port), protocol, port, kind and backends."""
ADDRESSES = ("10.96.0.1", "10.96.0.2")


def shared_by(
    places: Sequence[Place],
    rules: str,
    sets: Iterable[Set] = (),
    cases: Sequence[tuple[Case, ...]] = (),
) -> int:
    """How many regions share a schema with another, of frontends that are served by rules.

    ``cases``: what is expected of each; else that it serves all alike.
    """
    expected: list[FrontendExpectation] = []
    for address, protocol, port, kind, backends in places:
        own = None if address is None else parse_address(address).value
        ends = [end.split(":") for end in backends]
        serve = Serve(tuple(Backend(parse_address(a).value, int(p)) for a, p in ends), False)
        frontend = Frontend(Family.IPV4, own, protocol, port, "x", kind)
        wanted = cases[len(expected)] if cases else (Case((), (serve,)),)
        expected.append(FrontendExpectation(frontend, wanted, kind != "cluster IP"))
    settings = NodeSettings(node_name="node-a", addresses=(parse_address("192.168.7.10"),))
    expectation = Expectation(Family.IPV4, settings, tuple(expected), ())
    loaded = from_text(rules, Family.IPV4, "x").rules
    loaded.nft_sets.update((item.name, item) for item in sets)
    return compare(Regions(index_rules(loaded), expectation))[0]


def shared_by_two(rules: str, ports: tuple[int, int] = (80, 80)) -> int:
    """The same of two with a backend each that are alike but for some rules ahead of or behind
    their own.
    """
    places = []
    translations = []
    for number, (address, port) in enumerate(zip(ADDRESSES, ports, strict=True), 1):
        backend = f"10.244.0.{number}:8080"
        places.append((address, 6, port, "cluster IP", (backend,)))
        translations.append(
            f"-d {address}/32 -p tcp -m tcp --dport {port} -j DNAT --to-destination {backend}"
        )
    return shared_by(places, rules + in_chain("nat", "PREROUTING", *translations))


def in_chain(table: str, chain: str, *rules: str, others: str = "") -> str:
    """A table with a base chain; ``others``: what stands in it besides."""
    written = "".join(f"-A {chain} {rule}\n" for rule in rules)
    names = "".join(f":{line.split()[1]} - [0:0]\n" for line in dict.fromkeys(others.splitlines()))
    return f"*{table}\n:{chain} ACCEPT [0:0]\n{names}{written}{others}COMMIT\n"


TWO: list[Place] = [
    (address, 6, 80, "cluster IP", (f"10.244.0.{number}:8080",))
    for number, address in enumerate(ADDRESSES, 1)
]
TRANSLATIONS = [
    f"-d {place[0]}/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination {place[4][0]}"
    for place in TWO
]
