"""The text of a policy is read back as what was written; what is wrong is told with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.address import Address, Family, Network
from svcc.grammar.errors import InputError
from svcc.grammar.numbers import TRANSPORTS
from svcc.grammar.policy import (
    AddressTarget,
    AnyTarget,
    NodePortTarget,
    Sender,
    ServiceTarget,
    Statement,
    parse,
    write,
)
from tests.support.effort import examples

TEXT = """\
never external -> service kube-system/*
only 10.0.0.0/8, not pod -> loadbalancer shop/web:http
always pod -> service shop/web via >= 2 backends via only 10.1.0.0/16, 10.2.0.0/16 if any
always node, 10.1.2.3 -> any service with source kept
never 192.0.2.4/32 -> address [fd00::1]:80/tcp
never anyone -> nodeport 30080/tcp
"""
RANGES = """\
loadbalancer shop/* inside 203.0.113.0/24, 2001:db8::/32
any service inside 0.0.0.0/0 if any
"""

_FAMILIES = st.sampled_from(Family)
_ADDRESSES = st.one_of(
    st.builds(Address, st.just(Family.IPV4), st.integers(0, 2**32 - 1)),
    # ::ffff:0:0/96 is written as IPv4.
    st.builds(Address, st.just(Family.IPV6), st.integers(2**48, 2**128 - 1)),
)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    address = draw(_ADDRESSES)
    length = draw(st.integers(0, address.family.bits))
    shift = address.family.bits - length
    return Network(address.family, address.value >> shift << shift, length)


_LABELS = st.one_of(
    st.sampled_from(("*", "web-*", "a*b", "x.y", "kube-system", "30080")),
    st.text("abz019-", min_size=1, max_size=9),
)
_PORTS = st.integers(1, 65535)
_SENDERS = st.one_of(
    st.just(Sender("anyone")),
    st.builds(Sender, st.sampled_from(("external", "pod", "node")), st.booleans()),
    st.builds(Sender, st.one_of(_ADDRESSES, networks()), st.booleans()),
)


@st.composite
def targets(
    draw: st.DrawFn,
) -> AnyTarget | ServiceTarget | AddressTarget | NodePortTarget:
    kind = draw(st.sampled_from(("any", "name", "address", "number")))
    protocol = draw(st.one_of(st.none(), st.sampled_from(list(TRANSPORTS.values()))))
    if kind == "any":
        return AnyTarget()
    if kind == "number":
        return NodePortTarget(draw(_PORTS), protocol)
    if kind == "address":
        port = draw(st.one_of(st.none(), _PORTS))
        return AddressTarget(draw(_ADDRESSES), port, protocol if port else None)
    words = ("service", "clusterip", "externalip", "loadbalancer", "nodeport")
    port_names = st.sampled_from(("", "80", "http", "dns-tcp", "443"))
    word, namespace = draw(st.sampled_from(words)), draw(_LABELS)
    return ServiceTarget(word, namespace, draw(_LABELS), draw(port_names))


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    verb = draw(st.sampled_from(("never", "only", "always")))
    senders = tuple(draw(st.lists(_SENDERS, min_size=1, max_size=4)))
    target, if_any = draw(targets()), draw(st.booleans())
    if verb == "never":
        return Statement(verb="never", senders=senders, target=target, if_any=if_any)
    if verb == "only":
        return Statement(verb="only", senders=senders, target=target, if_any=if_any)
    return Statement(
        verb="always",
        senders=senders,
        target=target,
        at_least=draw(st.integers(0, 100_000)),
        inside=tuple(draw(st.lists(networks(), max_size=3))),
        source=draw(st.sampled_from(("", "kept", "masqueraded"))),
        if_any=if_any,
    )


@examples(60, 2000)
@given(st.lists(statements(), max_size=3))
def test_parse_is_the_inverse_of_write(wanted: list[Statement]) -> None:
    text = write(wanted)
    found = parse(text, source="p").statements
    assert [item.statement for item in found] == wanted
    assert [item.position.line for item in found] == list(range(1, len(wanted) + 1))
    assert write(item.statement for item in found) == text


def test_ranges_of_addresses_are_written_as_they_were_read() -> None:
    found = parse(TEXT + RANGES, source="p")
    assert len(found.statements) == 6
    assert write(item.range for item in found.ranges) == RANGES
    assert [item.position.line for item in found.ranges] == [7, 8]
    assert [item.range.if_any for item in found.ranges] == [False, True]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("nodeport shop/web inside 10.0.0.0/8", "p:1:10: error: only addresses lie inside of "),
        ("loadbalancer shop/web:80 inside 10.0.0.0/8", "p:1:14: error: only addresses"),
        ("address 10.0.0.1 inside 10.0.0.0/8", "p:1:9: error: only addresses"),
        ("loadbalancer shop/web inside 10.0.0.0/33", "p:1:30: error: "),
        ("loadbalancer shop/web inside", "p:1:23: error: not a statement"),
    ],
)
def test_ranges_that_are_wrong(line: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(line, source="p")
    assert str(caught.value).startswith(place)


def test_write_is_the_inverse_of_parse() -> None:
    assert write(item.statement for item in parse(TEXT, source="p").statements) == TEXT


def test_comments_and_spaces_mean_nothing() -> None:
    text = "\n  # nobody\n\t never   external->service  a/b # but pods\r\n"
    (found,) = parse(text, source="p").statements
    assert str(found) == "p:3: never external -> service a/b"
    assert found.position.column == 3


@given(st.text(alphabet="never always only pod->/:*.,%#\n\t>=0é²if", max_size=60))
def test_any_text_is_read_or_complained_of(text: str) -> None:
    places, found = [], []
    try:
        found = parse(text, source="p").statements
    except InputError as error:
        places = [(p.position.line, p.position.column) for p in error.problems]
    assert all(line and column for line, column in places)
    again = write(item.statement for item in found)
    assert write(item.statement for item in parse(again, source="p").statements) == again


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("never pods -> service a/b", "p:1:7: error: 'pods' is not an IP address; a sender is"),
        ("never 10.0.0.0/33 -> service a/b", "p:1:7: error: "),
        ("never not anyone -> service a/b", "p:1:11: error: there is nobody"),
        ("allow pod -> service a/b", "p:1:1: error: not a statement; write never"),
        ("never pod -> service web", "p:1:22: error: 'web' is not NAMESPACE/NAME"),
        ("never pod -> service Shop/web", "p:1:22: error: 'Shop/web' is not NAMESPACE/NAME"),
        ("never pod -> nodeport 70000", "p:1:23: error: '70000' is not a number from 1 to 65535"),
        ("never pod -> nodeport ²", "p:1:23: error: "),
        ("never pod -> address 10.0.0.1:99999", "p:1:22: error: '99999' is not a number"),
        ("never pod -> address 10.0.0.1:x", "p:1:22: error: 'x' is not a number"),
        ("never pod -> address 10.0.0.1/tcp", "p:1:22: error: a protocol needs a port"),
        ("never pod -> address 10.0.0.1:80/icmp", "p:1:22: error: 'icmp' is not tcp, udp or sctp"),
        ("never pod -> address :80", "p:1:22: error: "),
        ("always pod -> service a/b via >= 0 backends", "p:1:34: error: '0' is not a number"),
        ("always pod -> service a/b via only web", "p:1:36: error: 'web' is not"),
        ("never pod -> service a/b via >= 2 backends", "p:1:33: error: only always has demands"),
        ("always pod -> service a/b via >= 2 backends via >= 3 backends", "p:1:52: error: this"),
    ],
)
def test_errors_have_their_place(line: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(line, source="p")
    assert str(caught.value).startswith(place)


def test_every_wrong_line_is_told() -> None:
    with pytest.raises(InputError) as caught:
        parse("never x -> any service\nnever pod -> any service\nhello\n", source="p")
    assert [problem.position.line for problem in caught.value.problems] == [1, 3]
