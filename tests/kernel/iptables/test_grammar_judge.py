"""iptables-restore judges the grammar: it takes what we write, and all that our parser takes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.program import Goto, Jump, Program, Rule
from svcc.grammar.iptables.ruleset import load
from svcc.grammar.iptables.write import write
from svcc.grammar.ipvs import ipset
from tests.support.effort import examples
from tests.support.kernel.namespace import Namespace, missing, namespace
from tests.support.programs.random_programs import programs
from tests.unit.grammar.test_grammar import CHANGES, LINES, changed

pytestmark = pytest.mark.kernel

TOOLS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


@pytest.fixture(scope="module")
def node() -> Iterator[Namespace]:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made:
        yield made


def restore(node: Namespace, tool: str, text: str, *options: str) -> str:
    """What the tool says of a text; nothing if it takes it."""
    done = subprocess.run(
        ["ip", "netns", "exec", node.name, f"{tool}-restore", *options],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr or f"exit {done.returncode}" if done.returncode else ""


@pytest.mark.parametrize("variant", ["legacy", "nft"])
@pytest.mark.parametrize("family", list(Family), ids=lambda family: str(family.label))
def test_what_is_written_loads_and_reads_back_the_same(
    node: Namespace, family: Family, variant: str
) -> None:
    tool = f"{TOOLS[family]}-{variant}"

    @examples(15, 200, shrink=False)
    @given(programs(family, size=3))
    def check(program: Program) -> None:
        text = write(program)
        assert restore(node, tool, text) == "", text
        saved = parse(node.run(f"{tool}-save"), family=family, source="saved")
        wanted, found = load(program), load(saved)
        for table, chains in wanted.tables.items():
            for name, chain in chains.items():
                assert found.tables[table][name].rules == chain.rules, (table, name)

    check()


NUMBERS = ("0", "010", "0100", "0x50", "0X50", "08", "080", "00080", "8", "0x", "65536", "0x10000")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    "line",
    [
        "-A INPUT -p tcp -m tcp --dport {}",
        "-A INPUT -p udp -m multiport --sports {},99:100",
        "-A INPUT -p tcp -m conntrack --ctorigdstport {}",
        "-A OUTPUT -p tcp -j DNAT --to-destination 10.0.0.1:{}",
        "-A POSTROUTING -p tcp -j MASQUERADE --to-ports {}",
        "-A OUTPUT -s 10.0.0.0/{}",
        "-A OUTPUT -p {}",
        "-A OUTPUT -m mark --mark {}",
    ],
)
def test_numbers_are_what_iptables_takes_them_for(node: Namespace, line: str, number: str) -> None:
    """Whatever our parser takes is the number that iptables-save prints."""
    table = "filter" if "INPUT" in line else "nat"
    text = f"*{table}\n{line.format(number)}\nCOMMIT\n"
    try:
        read = load(parse(text, family=Family.IPV4, source="x"))
    except InputError:
        return
    assert restore(node, "iptables-nft", text) == ""
    saved = parse(node.run("iptables-nft-save"), family=Family.IPV4, source="saved")
    chain = line.split()[1]
    assert load(saved).tables[table][chain].rules == read.tables[table][chain].rules


def test_the_numbers_are_taken() -> None:
    taken = [n for n in NUMBERS if _accepted(f"-A OUTPUT -p tcp -m tcp --dport {n}")]
    assert taken == ["0", "010", "0100", "0x50", "0X50", "8"]


IPSET_LINES = (
    "add P {}",
    "add A 10.0.0.1,tcp:{}",
    "add A 10.0.0.1,{}",
    "add A 10.0.0.1,80 skbmark {}",
    "create B hash:ip family inet maxelem {}",
)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("line", IPSET_LINES)
def test_numbers_are_what_ipset_takes_them_for(node: Namespace, line: str, number: str) -> None:
    """As with iptables."""
    sets = "create P bitmap:port range 0-65535\ncreate A hash:ip,port family inet skbinfo\n"
    text = f"{sets}{line.format(number)}\n"
    try:
        read = ipset.parse(text, source="x")
    except InputError:
        return
    node.run("ipset", "destroy")
    node.run("ipset", "restore", text=text)
    assert ipset.parse(node.run("ipset", "save"), source="saved") == read


def _accepted(line: str) -> bool:
    try:
        parse(f"*nat\n{line}\nCOMMIT\n", family=Family.IPV4, source="x")
    except InputError:
        return False
    return True


def test_what_the_parser_takes_iptables_takes(node: Namespace) -> None:
    lines: list[str] = []

    @examples(1000, 10000, shrink=False)
    @given(st.sampled_from(LINES), st.lists(CHANGES, min_size=1, max_size=2))
    def collect(line: str, changes: list[tuple[str, float, str]]) -> None:
        damaged = line
        for change in changes:
            damaged = changed(damaged, change)
        if damaged not in LINES and _accepted(damaged):
            lines.append(damaged)

    collect()
    assert len(lines) > 60
    program = parse("\n".join(["*nat", *lines, "COMMIT", ""]), family=Family.IPV4, source="x")
    rules = [c for c in program.tables["nat"].commands if isinstance(c, Rule) and c.command == "-A"]
    chains = {rule.chain for rule in rules} | {
        rule.target.chain for rule in rules if isinstance(rule.target, Jump | Goto)
    }
    assert chains
    own = sorted(chains - {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"})
    lines = [lines[rule.line - 2] for rule in rules]
    text = "\n".join(["*nat", *(f":{name} - [0:0]" for name in own), *lines, "COMMIT", ""])
    for variant in ("legacy", "nft"):
        assert restore(node, f"iptables-{variant}", text, "--test") == ""
