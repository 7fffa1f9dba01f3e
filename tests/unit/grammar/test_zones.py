"""Zone files: what is written is read back, and what no name server loads is refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.address import Address, Family
from svcc.grammar.dns.read import read_zone
from svcc.grammar.dns.write import zone_text
from svcc.grammar.dns.zone import (
    AddressData,
    Alias,
    Authority,
    NameServer,
    OtherData,
    Pointer,
    Record,
    ServiceLocation,
    Text,
    Zone,
)
from svcc.grammar.errors import InputError
from tests.support.effort import examples

HEAD = "$ORIGIN cluster.local.\n@ 5 IN SOA ns hostmaster 1 7200 1800 86400 5\n"
LABELS = st.from_regex(r"[a-z0-9_*]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
TARGETS = st.one_of(NAMES, NAMES.map("{}.cluster.local".format), st.just("cluster.local"))
NUMBERS = st.integers(0, 65535)
ADDRESSES = st.one_of(
    st.integers(0, (1 << 32) - 1).map(lambda value: Address(Family.IPV4, value)),
    st.integers(0, (1 << 128) - 1).map(lambda value: Address(Family.IPV6, value)),
)
DATA = st.one_of(
    st.builds(AddressData, ADDRESSES),
    st.builds(Pointer, TARGETS),
    st.builds(ServiceLocation, NUMBERS, NUMBERS, NUMBERS, TARGETS),
    st.builds(Text, st.text("abc 012.;", max_size=20)),
    st.builds(NameServer, TARGETS),
    st.just(OtherData("MX", "10 mail.example.")),
)
RECORDS = st.builds(
    Record,
    st.one_of(NAMES.map("{}.cluster.local".format), st.just("cluster.local")),
    DATA,
    st.integers(0, 3600),
)


@examples(60, 3000)
@given(st.lists(RECORDS, max_size=6), st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_back(records: list[Record], serial: int) -> None:
    authority = Authority("ns.cluster.local", "hostmaster.example", serial, 7200, 1800, 86400, 5, 7)
    alias = Record("alias-of-one.cluster.local", Alias("pay.example.com"), 5)
    zone = Zone("cluster.local", authority, (*records, alias))
    read = read_zone(zone_text(zone), "f")
    assert (read.origin, read.authority) == (zone.origin, authority)
    assert set(read.records) == set(zone.records)


def test_what_others_write_is_read() -> None:
    text = """\
$TTL 1h
$ORIGIN .
Cluster.LOCAL   IN SOA  ns.dns.cluster.local. host\\.master.cluster.local. (
                        2024010101 ; serial
                        7200 1800 86400 5 )
                NS      ns.dns.cluster.local.
$ORIGIN svc.cluster.local.
\\119eb.shop 30 A 10.96.0.20
               A        10.96.0.21
_http._tcp.WEB.shop SRV 0 100 80 web.shop
"""
    zone = read_zone(text, "f")
    assert zone.origin == "cluster.local"
    assert zone.authority.serial == 2024010101
    assert zone.authority.mailbox == r"host\.master.cluster.local"
    web = "web.shop.svc.cluster.local"
    assert [(str(record), record.ttl, record.line) for record in zone.records] == [
        ("cluster.local. NS ns.dns.cluster.local.", 3600, 6),
        (f"{web}. A 10.96.0.20", 30, 8),
        (f"{web}. A 10.96.0.21", 3600, 9),
        (
            "_http._tcp.web.shop.svc.cluster.local. SRV 0 100 80 web.shop.svc.cluster.local.",
            3600,
            10,
        ),
    ]


@pytest.mark.parametrize(
    ("text", "origin", "line", "message"),
    [
        ("", None, 0, "there is no SOA"),
        ("@ 5 IN SOA ns hm 1 2 3 4 5\n", None, 1, "the zone of relative names is unknown"),
        (f"{HEAD}web 5 IN A 10.96.0\n", None, 3, "no zone file"),
        (f"{HEAD}web 5 IN A\n", None, 3, "no zone file"),
        (f"{HEAD}web 5 IN NONSENSE 1\n", None, 3, "unknown rdatatype"),
        (f"{HEAD}web 5 CH A 10.96.0.1\n", None, 3, "class"),
        (f"{HEAD}$INCLUDE /etc/passwd\n", None, 3, "'$INCLUDE' is not allowed"),
        (f"{HEAD}$GENERATE 1-9 a$ A 10.0.0.$\n", None, 3, "'$GENERATE' is not allowed"),
        (f"{HEAD}{'a' * 64} 5 IN A 10.96.0.1\n", None, 3, "no zone file"),
        (f"{HEAD}@ 5 IN SOA ns hm 2 2 3 4 5\n", None, 3, "a second SOA"),
        (f"{HEAD}web.example. 5 IN A 10.96.0.1\n", None, 3, "web.example is outside of the zone"),
        (f"{HEAD}a 5 IN CNAME b\na 5 IN A 10.96.0.1\n", None, 4, "a.cluster.local is an alias"),
        (f"{HEAD}a 5 IN CNAME b\na 5 IN CNAME c\n", None, 3, "a.cluster.local is an alias"),
        ("web 5 IN A 10.96.0.1\n", "cluster.local", 0, "there is no SOA"),
        (f"{HEAD}web 5 IN TXT \"open\n", None, 3, "no zone file"),
    ],
)  # fmt: skip
def test_what_no_name_server_loads_is_refused(
    text: str, origin: str | None, line: int, message: str
) -> None:
    with pytest.raises(InputError) as error:
        read_zone(text, "f", origin)
    (problem,) = error.value.problems
    assert (problem.position.file, problem.position.line) == ("f", line)
    assert message in problem.message


def test_a_zone_may_be_named_apart() -> None:
    zone = read_zone("@ 5 SOA ns hm 1 2 3 4 5\nweb 5 A 10.96.0.1\n", "f", "cluster.local")
    assert zone.origin == "cluster.local"
    assert [record.owner for record in zone.records] == ["web.cluster.local"]


@examples(100, 5000)
@given(st.text(alphabet='$@ \t\n"();\\ao.019INSTX', max_size=60))
def test_no_text_brings_the_reader_down(text: str) -> None:
    whole = f"{HEAD}{text}"
    with suppress(InputError):
        assert read_zone(whole, "f").origin == "cluster.local"
