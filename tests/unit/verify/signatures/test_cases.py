"""What is expected of a region is part of its signature."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from svcc.grammar.address import parse_address, parse_network
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.outcomes import Case, Outcome, Refuse, Serve, Untouched
from svcc.verify.spec.packet_conditions import Atom, DestinationIn, FromNode, FromPod, SourceIn
from tests.unit.verify.signatures.two_frontends import ADDRESSES, in_chain, shared_by

Cases = Callable[[int], tuple[Case, ...]]
"""What is expected of the first or second of two frontends with two backends each."""

BACKENDS = (("10.244.1.5", "10.244.1.6"), ("10.244.2.5", "10.244.2.6"))
PODS, ALL = parse_network("10.244.0.0/16"), parse_network("10.0.0.0/8")


def serve(
    number: int, masquerade: bool | None = False, timeout: int | None = None, most: int = 2
) -> Serve:
    found = [Backend(parse_address(address).value, 8080) for address in BACKENDS[number]]
    return Serve(tuple(found[:most] if most > 0 else found[most:]), masquerade, timeout)


def all_of(*atoms: Atom) -> Cases:
    return lambda number: (Case(atoms, (serve(number),)),)


def may(*outcomes: Outcome) -> Cases:
    return lambda number: (Case((), (serve(number), *outcomes)),)


def own(number: int) -> tuple[Case, ...]:
    return all_of(SourceIn((parse_network(f"{ADDRESSES[number]}/32"),)))(number)


def backend(which: int) -> Cases:
    return lambda n: all_of(SourceIn((parse_network(f"{BACKENDS[n][which]}/32"),)))(n)


def to_backend(which: int) -> Cases:
    return lambda n: all_of(DestinationIn((parse_network(f"{BACKENDS[n][which]}/32"),)))(n)


def two_cases(number: int) -> tuple[Case, ...]:
    return Case((), (serve(number),)), Case((), (Untouched(),))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (all_of(SourceIn((PODS,))), all_of(SourceIn((PODS,), negated=True))),
        (all_of(SourceIn((PODS,))), all_of(SourceIn((ALL,)))),
        (all_of(SourceIn((PODS,))), all_of(DestinationIn((PODS,)))),
        (all_of(DestinationIn((PODS,))), all_of(DestinationIn((PODS,), negated=True))),
        (all_of(DestinationIn((PODS,))), all_of(DestinationIn((ALL,)))),
        (all_of(FromNode()), all_of(FromPod("cni0"))),
        (own, backend(0)),
        (backend(0), backend(1)),
        (to_backend(0), to_backend(1)),
        (may(Untouched()), may(Refuse())),
        (may(Untouched()), two_cases),
        (may(), lambda number: (Case((), (serve(number, masquerade=True),)),)),
        (may(), lambda number: (Case((), (serve(number, timeout=300),)),)),
        (may(), lambda number: (Case((), (serve(number, most=1),)),)),
        (
            lambda number: (Case((), (serve(number, most=-1),)),),
            lambda number: (Case((), (serve(number, most=1),)),),
        ),
    ],
)
def test_expectations(first: Cases, second: Cases) -> None:
    chances = ("-m statistic --mode random --probability 0.5 ", "")
    rules = [
        f"-d {address}/32 -p tcp -m tcp --dport 80 {chance}-j DNAT --to-destination {end}:8080"
        for address, ends in zip(ADDRESSES, BACKENDS, strict=True)
        for chance, end in zip(chances, ends, strict=True)
    ]
    places = [(address, 6, 80, "cluster IP", ("10.0.0.1:1",)) for address in ADDRESSES]
    text = in_chain("nat", "PREROUTING", *rules)
    for one, other, shared in ((first, first, 1), (second, second, 1), (first, second, 0)):
        assert shared_by(places, text, cases=[one(0), other(1)]) == shared
