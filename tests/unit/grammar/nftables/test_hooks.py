"""What the kernel refuses in the chains of some hooks is refused with its place."""

from __future__ import annotations

import pytest

from svcc.grammar.errors import InputError
from svcc.grammar.nftables.parse import parse

FORWARD = "chain base {\n\ttype filter hook forward priority 0\n\tip daddr 10.0.0.1 jump one\n}\n"
TWO = "chain one {\n\tgoto two\n}\nchain two {\n\ttcp dport 80 dnat to 10.0.0.2\n}\n"


def refusals(text: str) -> list[str]:
    with pytest.raises(InputError) as refused:
        parse(text, source="file")
    return [str(problem) for problem in refused.value.problems]


def test_a_chain_that_is_reached_from_the_wrong_hook() -> None:
    assert refusals(f"table ip t {{\n{FORWARD}{TWO}}}\n") == [
        "file:10:15: error: the kernel refuses dnat for packets from chain base (type filter, hook "
        "forward); jump to it from type nat, hook prerouting or output alone"
    ]


def test_of_several_base_chains_each_is_asked() -> None:
    nat = "chain nat {\n\ttype nat hook prerouting priority -100\n\tjump one\n}\n"
    assert parse(f"table ip t {{\n{TWO}{nat}}}\n", source="file").tables
    found = refusals(f"table ip t {{\n{TWO}{nat}{FORWARD}}}\n")
    assert [text.split(" (")[0] for text in found] == [
        "file:6:15: error: the kernel refuses dnat for packets from chain base"
    ]


@pytest.mark.parametrize(
    ("declared", "rule"),
    [
        ("", "ip daddr vmap { 10.0.0.1 : jump one }"),
        ("map m {\n\ttype ipv4_addr : verdict\n\telements = { 10.0.0.1 : goto one }\n}\n",
         "ip daddr vmap @m"),
    ],
)  # fmt: skip
def test_elements_lead_there_too(declared: str, rule: str) -> None:
    base = f"chain base {{\n\ttype filter hook input priority 0\n\t{rule}\n}}\n"
    (found,) = refusals(f"table ip t {{\n{declared}{TWO}{base}}}\n")
    assert "refuses dnat for packets from chain base" in found


def test_what_no_base_chain_leads_to_is_taken() -> None:
    assert parse(f"table ip t {{\n{TWO}}}\n", source="file").tables


def test_the_place_is_that_of_the_rule_where_the_word_is_spelled_otherwise() -> None:
    text = "table ip t {\n\tchain c {\n\t\ttype filter hook input priority 0\n\t\t\t{}\n\t}\n}\n"
    (found,) = refusals(text.replace("{}", "pkttype set host"))
    assert found.startswith("file:4:4: error: the kernel refuses meta pkttype set")
    (found,) = refusals("define x = 10.0.0.1\n" + text.replace("{}", "ip saddr $x masquerade"))
    assert found.startswith("file:5:16: error: the kernel refuses masquerade")
