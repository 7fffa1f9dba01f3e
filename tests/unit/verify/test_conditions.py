"""Conditions, actions and schemas are values: equal where all of them is, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network, parse_address
from svcc.grammar.ipvs.ipset import Set
from svcc.verify.model.actions import Accept, Drop, Excused, Masquerade, Reject
from svcc.verify.model.conditions import (
    AnyOf,
    Destination,
    DestinationPort,
    Never,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    Source,
    SourcePort,
)
from svcc.verify.model.rules import index_rules
from svcc.verify.model.sets import EntryMark, GivenMark, IndexedSet, NoMark, UnknownMark, Where
from svcc.verify.slicing.cutter import Cutter
from svcc.verify.slicing.regions import Regions
from svcc.verify.slicing.schema import SchemaItem, schema_item
from svcc.verify.slicing.schema_conditions import DestinationHost, SourceHost
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.expectation import Expectation, Frontend, FrontendExpectation
from svcc.verify.spec.outcomes import Case, Serve
from tests.fuzz.compare import read_rules

ALIKE = (
    (Source, Destination, OriginalSource, OriginalDestination),
    (SourcePort, DestinationPort, OriginalPort),
    (SourceHost, DestinationHost),
)
NUMBERS = st.integers(0, 3)


@given(NUMBERS, NUMBERS, st.booleans())
def test_kinds_with_the_same_fields_are_not_equal(first: int, second: int, negated: bool) -> None:
    for kinds in ALIKE:
        values = (first, negated) if len(kinds) == 2 else (first, second, negated)
        made = [kind(*values) for kind in kinds]
        assert len(set(made)) == len(kinds)
        assert made == [kind(*values) for kind in kinds]


def test_what_has_no_fields_is_one_object() -> None:
    assert Drop() is Drop()
    assert len({Drop(), Reject(), Excused(), Never(), Drop()}) == 4


def test_what_another_tool_does_is_another_action() -> None:
    assert Accept() != Accept(of_other_tool=True)
    plain = Masquerade("own", "same")
    assert plain != replace(plain, of_other_tool=True)


def test_equal_items_are_one_object_and_equal_to_any_other() -> None:
    conditions = (Source(10 << 24, 0xFF000000),)
    one = schema_item(conditions, Drop(), ())
    assert schema_item((Source(10 << 24, 0xFF000000),), Drop(), ()) is one
    other = SchemaItem(conditions, Drop(), ())
    assert other is not one
    assert (other, hash(other)) == (one, hash(one))
    assert schema_item((Destination(10 << 24, 0xFF000000),), Drop(), ()) != one


RULES = """\
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.1:8080
-A KUBE-SERVICES -d 10.96.0.2/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:8080
-A KUBE-SERVICES -d 10.96.0.3/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.3:8081
COMMIT
"""


def cutter() -> tuple[Cutter, Regions]:
    found = []
    for number in (1, 2, 3):
        address = parse_address(f"10.96.0.{number}").value
        front = Frontend(Family.IPV4, address, 6, 80, "x", "cluster IP")
        backends = (Backend(parse_address(f"10.0.0.{number}").value, 8080),)
        cases = (Case((), (Serve(backends, False),)),)
        found.append(FrontendExpectation(front, cases, False))
    settings = NodeSettings(node_name="node-a", addresses=(parse_address("192.168.7.10"),))
    expectation = Expectation(Family.IPV4, settings, tuple(found), ())
    regions = Regions(index_rules(read_rules(RULES, Family.IPV4)), expectation)
    return Cutter(regions), regions


def test_schemas_are_equal_whoever_made_them() -> None:
    of_wire = []
    for _ in range(2):
        cut, regions = cutter()
        of_wire += [cut.cut(r).schema for r in regions if r.frontend and not r.from_node]
    one, two, other, *again = of_wire
    assert one == two == again[0]
    assert hash(one) == hash(two) == hash(again[0])
    assert other != one
    # None of it is the same object.
    copy = replace(one, rewriting=tuple(replace(hook) for hook in one.rewriting))
    assert copy is not one
    assert (copy, hash(copy)) == (one, hash(one))
    assert replace(one, marked=True) != one
    assert replace(one, mark=one.mark << 1) != one


HOST = parse_address("10.0.0.1").value
WHERE = Where(HOST, 0xFFFFFFFF, 6, 80, 80)


@pytest.mark.parametrize(
    ("flags", "mark"),
    [
        (("dst",), EntryMark(0x4000, 0x4000, None)),
        (("src",), EntryMark(0x4000, 0x4000, AnyOf((Source(HOST, 0xFFFFFFFF),)))),
        (("dst", "dst"), UnknownMark()),
    ],
)
def test_the_mark_of_a_set(flags: tuple[str, ...], mark: GivenMark) -> None:
    """What more flags than the set has parts come to is not guessed at."""
    item = Set(name="MARKS", kind="hash:ip", family=Family.IPV4, maps_marks=True)
    item.add(Network(Family.IPV4, HOST, 32), mark=(0x4000, 0x4000))
    judge = IndexedSet(item).mark
    assert judge(flags, WHERE, 0xFFFFFFFF, lambda network, port: False) == mark


def test_a_set_without_marks_gives_none() -> None:
    item = Set(name="ADDRESSES", kind="hash:ip", family=Family.IPV4)
    item.add(Network(Family.IPV4, HOST, 32))
    judge = IndexedSet(item).mark
    assert judge(("dst",), WHERE, 0xFFFFFFFF, lambda network, port: False) == NoMark()
