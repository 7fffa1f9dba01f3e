"""What sets say of a region is part of its signature."""

from __future__ import annotations

import pytest

from svcc.grammar.address import Family, Network, parse_network
from svcc.grammar.ipvs.ipset import Part, PortOf, Set
from tests.unit.verify.signatures.two_frontends import (
    ADDRESSES,
    TRANSLATIONS,
    TWO,
    in_chain,
    shared_by,
)


def host(address: str) -> Network:
    return parse_network(f"{address}/32")


OWN = [host(address) for address in ADDRESSES]
BACKENDS = [host(f"10.244.0.{number}") for number in (1, 2)]
WEB, DNS, OTHER = PortOf(6, 80), PortOf(17, 80), PortOf(6, 81)


@pytest.mark.parametrize(
    ("kind", "flags", "first", "second", "shared"),
    [
        ("hash:ip", "dst", (OWN[0],), (OWN[1],), 1),
        ("hash:ip", "dst", (OWN[0],), None, 0),
        ("hash:ip,port", "dst,dst", (OWN[0], WEB), (OWN[1], WEB), 1),
        ("hash:ip,port", "dst,dst", (OWN[0], WEB), (OWN[1], DNS), 0),
        ("hash:ip,port", "dst,dst", (OWN[0], WEB), (OWN[1], OTHER), 0),
        ("hash:ip,port", "dst,dst", (OWN[0], WEB), None, 0),
        ("hash:ip,port,ip", "dst,dst,src", (OWN[0], WEB, BACKENDS[0]),
            (OWN[1], WEB, BACKENDS[1]), 1),
        ("hash:ip,port,ip", "dst,dst,src", (OWN[0], WEB, BACKENDS[0]), (OWN[1], WEB, OWN[1]), 0),
        ("hash:net,net", "dst,src", (OWN[0], parse_network("10.0.0.0/8")),
            (OWN[1], parse_network("10.0.0.0/8")), 1),
        ("hash:net,net", "dst,src", (OWN[0], parse_network("10.0.0.0/8")),
            (OWN[1], parse_network("10.0.0.0/9")), 0),
        ("hash:net,net", "dst,src", (OWN[0], parse_network("10.0.0.0/8")),
            (OWN[1], parse_network("11.0.0.0/8")), 0),
        ("hash:net", "dst", (parse_network("10.96.0.1/32"),), (parse_network("10.97.0.0/16"),), 0),
        ("hash:net", "src", (BACKENDS[0],), (parse_network("10.97.0.0/16"),), 0),
    ],
)  # fmt: skip
def test_entries_of_sets(
    kind: str, flags: str, first: tuple[Part, ...], second: tuple[Part, ...] | None, shared: int
) -> None:
    item = Set(name="s", kind=kind, family=Family.IPV4)
    item.add(*first)
    if second is not None:
        item.add(*second)
    rule = f"-m set --match-set s {flags} -j MARK --set-xmark 0x1/0x1"
    rules = in_chain("nat", "PREROUTING", rule, *TRANSLATIONS)
    assert shared_by(TWO, rules, sets=[item]) == shared


def test_which_set_an_entry_is_in() -> None:
    """By itself, and beside another that both are in; of entries with ports and without."""
    for kind, more in (("hash:ip", ()), ("hash:ip,port", (WEB,))):
        sets = [Set(name=n, kind=kind, family=Family.IPV4) for n in ("one", "other")]
        for item, own in zip(sets, OWN, strict=True):
            item.add(own, *more)
        flags = "dst" if kind == "hash:ip" else "dst,dst"
        asked = [f"-m set --match-set {item.name} {flags}" for item in sets]
        rules = [f"{asked[0]} -j MARK --set-xmark 0x1/0x1", f"{asked[1]} -j ACCEPT"]
        text = in_chain("nat", "PREROUTING", *rules, *TRANSLATIONS)
        assert shared_by(TWO, text, sets=sets) == 0
    sets[0].add(OWN[1], WEB)
    alone = Set(name="other", kind="hash:ip", family=Family.IPV4)
    alone.add(OWN[1])
    text = text.replace("other dst,dst", "other dst")
    assert shared_by(TWO, text, sets=[sets[0], alone]) == 0
