"""What ``iptables -S`` prints is read as the table that it is of."""

from __future__ import annotations

import pytest

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.grammar.iptables.names import BUILT_IN_CHAINS
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.ruleset import load
from svcc.grammar.iptables.write import write

RULE = '-A MINE -p tcp -m comment --comment "a b" -j ACCEPT'


def listing(table: str) -> str:
    policies = "".join(f"-P {chain} ACCEPT\n" for chain in BUILT_IN_CHAINS[table])
    jump = BUILT_IN_CHAINS[table][0]
    return f"{policies}-N MINE\n-A {jump} -j MINE\n{RULE}\n"


def saved(table: str) -> str:
    policies = "".join(f":{chain} ACCEPT [0:0]\n" for chain in BUILT_IN_CHAINS[table])
    jump = BUILT_IN_CHAINS[table][0]
    return f"*{table}\n{policies}:MINE - [0:0]\n-A {jump} -j MINE\n{RULE}\nCOMMIT\n"


@pytest.mark.parametrize("table", [name for name in BUILT_IN_CHAINS if name != "security"])
def test_a_listing_is_the_table(table: str) -> None:
    program = parse(listing(table), family=Family.IPV4, source="x")
    same = parse(saved(table), family=Family.IPV4, source="x")
    assert load(program).tables == load(same).tables
    (rule,) = load(program).tables[table]["MINE"].rules
    assert rule.line == len(listing(table).splitlines())


def test_listings_of_several_tables_follow_each_other() -> None:
    text = f"# nat\n{listing('nat')}\n{listing('filter')}"
    rules = load(parse(text, family=Family.IPV4, source="x"))
    assert list(rules.tables) == ["nat", "filter"]


def test_policies_and_counters_of_a_listing() -> None:
    text = "-P INPUT DROP -c 1 2\n-P FORWARD ACCEPT -c 0 0\n-P OUTPUT ACCEPT\n"
    text += "-A INPUT -c 3 4 -j ACCEPT\n"
    (table,) = load(parse(text, family=Family.IPV4, source="x")).tables.values()
    assert table["INPUT"].policy == "DROP"
    assert table["INPUT"].rules[0].counters == (3, 4)


def test_a_kernel_without_nat_input() -> None:
    text = "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n"
    text += "-A OUTPUT -p tcp -j DNAT --to-destination 10.0.0.1\n"
    assert list(parse(text, family=Family.IPV4, source="x").tables) == ["nat"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("-N MINE\n" + RULE + "\n", 1),
        ("-P OUTPUT ACCEPT\n", 1),
        (listing("nat") + listing("nat"), 8),
    ],
)
def test_what_is_no_whole_table(text: str, line: int) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, family=Family.IPV4, source="x")
    (problem,) = caught.value.problems
    assert problem.position.line == line
    assert "iptables-save" in problem.message


def test_a_wrong_line_of_a_listing_keeps_its_number() -> None:
    with pytest.raises(InputError, match="x:6:"):
        parse(listing("filter").replace("-j ACCEPT", "-j ACCEPT --what"), family=Family.IPV4,
              source="x")  # fmt: skip


def test_a_base_chain_without_a_policy_keeps_the_one_it_has() -> None:
    text = "*filter\n:INPUT DROP [0:0]\nCOMMIT\n*filter\n:INPUT - [0:0]\n:FORWARD -\nCOMMIT\n"
    program = parse(text, family=Family.IPV4, source="x")
    alone = parse("*filter\n:INPUT - [0:0]\nCOMMIT\n", family=Family.IPV4, source="x")
    assert load(alone).tables["filter"]["INPUT"].policy == "ACCEPT"
    assert load(program).tables["filter"]["FORWARD"].policy == "ACCEPT"
    before = parse("*filter\n:INPUT DROP [0:0]\nCOMMIT\n", family=Family.IPV4, source="x")
    assert load(alone, onto=load(before)).tables["filter"]["INPUT"].policy == "DROP"
    assert parse(write(alone), family=Family.IPV4, source="x") == alone
    assert ":INPUT - " in write(alone)
