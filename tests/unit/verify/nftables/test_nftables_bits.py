"""Sets of bits: any of them only where nft says so, else the kernel compares all at once."""

from __future__ import annotations

import pytest

from svcc.grammar.address import Family
from svcc.grammar.iptables.program import (
    ConntrackMatch,
    Match,
    OtherMatch,
    TcpFlags,
    TransportMatch,
)
from svcc.grammar.nftables.parse import parse
from svcc.verify.nftables.translate import translate


def matches(condition: str) -> tuple[Match, ...]:
    """What a condition becomes, in the model's rules."""
    text = (
        "table ip t {\n\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n"
        f"\t\t{condition} drop\n\t}}\n}}\n"
    )
    rules = translate(parse(text, source="text"), Family.IPV4)
    (rule,) = (
        rule
        for table in rules.tables.values()
        for chain in table.values()
        for rule in chain.rules
        if rule.target is not None
    )
    return tuple(rule.matches)


@pytest.mark.parametrize(
    ("condition", "flags"),
    [
        ("tcp flags syn,ack", TcpFlags(0x12, 0, True)),
        ("tcp flags == syn,ack", TcpFlags(0xFF, 0x12, False)),
        ("tcp flags != syn,ack", TcpFlags(0xFF, 0x12, True)),
        ("tcp flags syn", TcpFlags(0x02, 0, True)),
        ("tcp flags == syn", TcpFlags(0xFF, 0x02, False)),
        ("tcp flags syn / syn,ack", TcpFlags(0x12, 0x02, False)),
        ("tcp flags ! syn", TcpFlags(0x02, 0, False)),
    ],
)
def test_tcp_flags(condition: str, flags: TcpFlags) -> None:
    (match,) = (match for match in matches(condition) if isinstance(match, TransportMatch))
    assert match.tcp_flags == flags


def test_no_connection_is_in_two_states() -> None:
    assert matches("ct state != established,new") == ()
    assert matches("ct state established,new") == (
        ConntrackMatch(states=frozenset({"ESTABLISHED", "NEW"})),
    )


@pytest.mark.parametrize("condition", ["ct status == dnat", "ct status != dnat"])
def test_all_bits_of_a_status_are_not_in_the_model(condition: str) -> None:
    (match,) = matches(condition)
    assert isinstance(match, OtherMatch)
