"""Spelling, reach of the nat rules, and the text of a difference."""

from __future__ import annotations

import pytest

from svcc.apply.diff import difference
from svcc.apply.engine import apply
from svcc.apply.iptables.read import TableState, read_table
from svcc.apply.iptables.respell import respell
from svcc.apply.iptables.tool import Iptables
from svcc.apply.iptables.udp_reach import Reach
from svcc.apply.system.tools import Result
from svcc.grammar.address import Family, parse_address
from svcc.grammar.iptables.parse import parse

WANTED = read_table(
    """*nat
:SVCC-A - [0:0]
:SVCC-B - [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -j SVCC-A
-A SVCC-A -j MARK --set-xmark 0x4000/0x4000
-A SVCC-A -m comment --comment "a b" -j SVCC-B
-A SVCC-B -p udp -j DNAT --to-destination 10.0.0.1:53
COMMIT
"""
)


def read(*lines: str) -> TableState:
    return read_table("\n".join(["*nat", ":SVCC-A - [0:0]", ":SVCC-B - [0:0]", *lines]))


def test_other_spellings_are_the_same_rule() -> None:
    loaded = read(
        "-A PREROUTING -p tcp -m tcp --destination-port 80 -j SVCC-A",
        "-A SVCC-A -j MARK --or-mark 0x4000",
        '-A SVCC-A -m comment --comment "a b" --jump SVCC-B',
        "-A SVCC-B -p 17 -j DNAT --to-destination 10.0.0.1:53",
    )
    assert respell(loaded, WANTED, Family.IPV4, "nat").chains == WANTED.chains
    assert respell(loaded, WANTED, Family.IPV4, "nat").others == WANTED.others


@pytest.mark.parametrize(
    "line",
    [
        "-A SVCC-B -p udp -j DNAT --to-destination 10.0.0.2:53",
        "-A SVCC-B -p tcp -j DNAT --to-destination 10.0.0.1:53",
        "-A SVCC-B -p udp -m unheard --of it -j DNAT --to-destination 10.0.0.1:53",
    ],
)
def test_other_rules_stay_other_rules(line: str) -> None:
    state = respell(read(line), WANTED, Family.IPV4, "nat")
    assert state.chains["SVCC-B"] == [line]


NAT = read_table(
    """*nat
:SVCC-SERVICES - [0:0]
:SVCC-NODEPORTS - [0:0]
:SVCC-T-0 - [0:0]
:SVCC-SVC-A - [0:0]
:SVCC-SVC-B - [0:0]
-A PREROUTING -j SVCC-SERVICES
-A OUTPUT -j SVCC-SERVICES
-A SVCC-SERVICES -d 10.96.0.0/12 -j SVCC-T-0
-A SVCC-SERVICES -m addrtype --dst-type LOCAL -j SVCC-NODEPORTS
-A SVCC-T-0 -d 10.96.0.10/32 -p udp -m udp --dport 53 -g SVCC-SVC-A
-A SVCC-T-0 -d 10.96.0.10/32 -p tcp -m tcp --dport 53 -g SVCC-SVC-B
-A SVCC-NODEPORTS -p udp -m udp --dport 30053 -g SVCC-SVC-B
-A SVCC-SVC-A ! -s 10.128.0.0/14 -j MARK --set-xmark 0x4000/0x4000
-A SVCC-SVC-A -p udp -m recent --rcheck --name x -j DNAT --to-destination 10.128.0.9
-A SVCC-SVC-A -p udp -m mark --mark 0x4000 -j DNAT --to-destination 10.128.0.9:53
-A SVCC-SVC-A -p udp -j DNAT --to-destination 10.128.0.16
-A SVCC-SVC-B -p udp -j DNAT --to-destination 10.128.0.17:53
COMMIT
"""
)


@pytest.mark.parametrize(
    ("address", "port", "local", "backends"),
    [
        ("10.96.0.10", 53, False, {("10.128.0.9", 53), ("10.128.0.16", 53)}),
        ("10.96.0.10", 54, False, set()),
        ("10.97.0.10", 53, False, set()),
        ("192.0.2.1", 30053, True, {("10.128.0.17", 53)}),
        ("192.0.2.1", 30053, False, set()),
    ],
)
def test_reach(address: str, port: int, backends: set[tuple[str, int]], *, local: bool) -> None:
    destination = (parse_address(address).value, port)
    found = Reach(Family.IPV4, NAT).backends(destination, local=local)
    assert found == {(parse_address(host).value, number) for host, number in backends}


def test_difference_names_chain_and_family() -> None:
    nothing = {"nat": TableState()}
    text = difference({Family.IPV6: nothing}, {Family.IPV6: {"nat": WANTED}}, (False, True))
    assert text.splitlines() == [
        "--- ipv6 nat (loaded)",
        "+++ ipv6 nat (wanted)",
        "@@ -0,0 +1 @@ PREROUTING",
        "+-A PREROUTING -p tcp -m tcp --dport 80 -j SVCC-A",
        "@@ -0,0 +1,3 @@ SVCC-A",
        "+:SVCC-A - [0:0]",
        "+-A SVCC-A -j MARK --set-xmark 0x4000/0x4000",
        '+-A SVCC-A -m comment --comment "a b" -j SVCC-B',
        "@@ -0,0 +1,2 @@ SVCC-B",
        "+:SVCC-B - [0:0]",
        "+-A SVCC-B -p udp -j DNAT --to-destination 10.0.0.1:53",
        "--- sysctl (loaded)",
        "+++ sysctl (wanted)",
        "-net.ipv4.conf.all.route_localnet = 0",
        "+net.ipv4.conf.all.route_localnet = 1",
    ]
    same = {Family.IPV6: {"nat": WANTED}}
    assert difference(same, same, (True, None)) == ""


def test_a_rule_that_could_not_be_told_later_is_never_loaded() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp -j DROP\nCOMMIT\n"
    program = parse(text, family=Family.IPV4, source="test")
    tools = Iptables("legacy", run=lambda *_: Result(0, "", ""))
    with pytest.raises(ValueError, match="every rule must be in or jump to a SVCC- chain"):
        apply({Family.IPV4: program}, route_localnet=False, tools=tools, wait=1)
