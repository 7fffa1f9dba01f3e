"""ipvsadm and ipset text: the parsers are the exact inverses of the writers, and refuse well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.address import Family, Network, prefix_mask
from svcc.grammar.errors import InputError
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.ipset import Part, PortOf, Set, Sets
from svcc.grammar.ipvs.ipvsadm import (
    RealKey,
    RealServer,
    Scheduling,
    VirtualKey,
    VirtualServer,
    VirtualServers,
)
from tests.support.effort import examples

PORTS = st.integers(0, 65535)


def addresses(family: Family) -> st.SearchStrategy[int]:
    if family is Family.IPV4:
        return st.integers(1, (1 << 32) - 1)
    # No IPv4-mapped ones.
    return st.integers(1 << 64, (1 << 128) - 1)


@st.composite
def schedulings(draw: st.DrawFn, family: Family) -> Scheduling:
    persistence = draw(st.none() | st.integers(1, 86400))
    netmask = draw(st.none() | st.integers(1, family.bits - 1)) if persistence else None
    return Scheduling(
        scheduler=draw(st.sampled_from(ipvsadm.SCHEDULERS)),
        persistence=persistence,
        netmask=netmask,
        flags=tuple(sorted(draw(st.sets(st.sampled_from(ipvsadm.SCHEDULER_FLAGS), max_size=2)))),
        one_packet=draw(st.booleans()),
        persistence_engine=draw(st.sampled_from(("", "sip"))),
    )


@st.composite
def virtual_servers(draw: st.DrawFn) -> VirtualServers:
    found: VirtualServers = {}
    for _ in range(draw(st.integers(0, 4))):
        family = draw(st.sampled_from(list(Family)))
        protocol = draw(st.sampled_from((0, 6, 17, 132)))
        address = draw(addresses(family) if protocol else st.integers(1, 0xFFFFFFFF))
        key = VirtualKey(family, protocol, address, draw(PORTS) if protocol else 0)
        reals = draw(
            st.dictionaries(
                st.builds(RealKey, addresses(family), PORTS),
                st.builds(
                    RealServer,
                    st.integers(0, 65535),
                    st.sampled_from(sorted(ipvsadm.FORWARDING_METHODS)),
                    st.integers(0, 99),
                    st.integers(0, 99),
                ),
                max_size=3,
            )
        )
        found[key] = VirtualServer(draw(schedulings(family)), reals)
    return found


@examples(60, 2000)
@given(virtual_servers())
def test_ipvsadm_text_reads_back(servers: VirtualServers) -> None:
    text = ipvsadm.write(servers)
    found = ipvsadm.parse(text, source="x")
    assert found == servers
    assert ipvsadm.write(found) == text


@st.composite
def sets(draw: st.DrawFn) -> Sets:
    found: Sets = {}
    for number in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(sorted(ipset.KINDS)))
        family = draw(st.sampled_from(list(Family)))
        item = Set(
            name=f"SET-{number}",
            kind=kind,
            family=None if kind.startswith("bitmap") else family,
            maps_marks=draw(st.booleans()),
        )
        if not kind.startswith("bitmap"):
            item.max_entries = draw(st.integers(1, 1 << 20))
        for _ in range(draw(st.integers(0, 4))):
            parts = tuple(draw(part(family, what)) for what in ipset.KINDS[kind])
            mark = None
            if item.maps_marks and draw(st.booleans()):
                mark = (draw(st.integers(0, 0xFFFFFFFF)), draw(st.integers(1, 0xFFFFFFFF)))
            item.add(*parts, mark=mark)
        found[item.name] = item
    return found


def part(family: Family, what: str) -> st.SearchStrategy[Part]:
    if what == "number":
        return PORTS
    if what == "port":
        return st.builds(PortOf, st.sampled_from((6, 17, 132)), PORTS)

    def network(value: int, length: int) -> Network:
        return Network(family, value & prefix_mask(family, length), length)

    lengths = st.integers(1, family.bits) if what == "net" else st.just(family.bits)
    blocks = st.builds(network, addresses(family), lengths)
    return blocks.filter(lambda n: n.family is Family.IPV4 or n.value >> 32 not in (0, 0xFFFF))


@examples(60, 2000)
@given(sets())
def test_ipset_text_reads_back(given_sets: Sets) -> None:
    text = ipset.write(given_sets)
    found = ipset.parse(text, source="x")
    assert found == given_sets
    assert ipset.write(found) == text


WORDS = st.sampled_from((
    "-A", "-a", "-E", "-e", "-t", "-u", "-f", "-6", "-s", "rr", "-p", "300", "-M", "-r", "-m",
    "-w", "1", "10.0.0.1:80", "[fd00::1]:80", "10.0.0.1", "create", "add", "SET", "hash:ip",
    "hash:ip,port", "family", "inet", "inet6", "maxelem", "skbinfo", "10.0.0.1,tcp:80", "--bogus",
    "bitmap:port", "range", "0-65535", "-", "''", '"', "0x1/0x2", "skbmark", "nomatch", "999999",
))  # fmt: skip
TEXTS = st.lists(st.lists(WORDS, max_size=8).map(" ".join), max_size=5).map("\n".join)


def test_numbers_are_read_as_ipset_reads_them() -> None:
    """The kernel tests ask ipset itself; ports are C integers, marks are hexadecimal."""
    text = "create A hash:ip,port family inet maxelem 0x100\nadd A 10.0.0.1,udp:0100\n"
    read = ipset.parse(text, source="x")["A"]
    assert read.max_entries == 256
    assert [parts[1] for parts in read.entries] == [PortOf(17, 64)]


@pytest.mark.parametrize(
    "line",
    [
        "add A 10.0.0.1,tcp:080",
        "add A 10.0.0.1,tcp:65536",
        "add A 10.0.0.1,tcp:80 skbmark 010",
        "add A 10.0.0.1,tcp:80 skbmark 16",
        "add A 10.0.0.1,tcp:80 skbmark 0x100000000",
        "add A 10.0.0.1,tcp:80 skbmark 0x10/08",
    ],
)
def test_numbers_that_ipset_refuses(line: str) -> None:
    with pytest.raises(InputError, match=r"x:2:\d+: error: '.*' is not a (port number|mark)"):
        ipset.parse(f"create A hash:ip,port family inet skbinfo\n{line}\n", source="x")


def test_numbers_are_read_as_ipvsadm_reads_them() -> None:
    text = "-A -t 10.0.0.1:0080 -s rr -p 010\n-a -t 10.0.0.1:80 -r 10.0.0.2:8080 -m -w 010\n"
    ((key, server),) = ipvsadm.parse(text, source="x").items()
    assert (key.port, server.scheduling.persistence) == (80, 10)
    assert [real.weight for real in server.servers.values()] == [10]


@examples(150, 5000)
@given(TEXTS)
def test_bad_text_is_refused_with_a_place(text: str) -> None:
    for parse in (ipvsadm.parse, ipset.parse):
        try:
            parse(text, source="file")
        except InputError as error:
            for problem in error.problems:
                assert problem.position.line >= 1
                assert problem.position.column >= 1
                assert problem.message
