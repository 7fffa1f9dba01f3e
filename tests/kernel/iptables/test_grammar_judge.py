"""iptables-restore judges the grammar: it takes what we write, and all that our parser takes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.program import Goto, Jump, Program, Rule
from svcc.grammar.iptables.ruleset import load
from svcc.grammar.iptables.write import write
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

    @settings(
        max_examples=25,
        phases=(Phase.generate,),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
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


def _accepted(line: str) -> bool:
    try:
        parse(f"*nat\n{line}\nCOMMIT\n", family=Family.IPV4, source="x")
    except InputError:
        return False
    return True


def test_what_the_parser_takes_iptables_takes(node: Namespace) -> None:
    lines: list[str] = []

    @settings(
        max_examples=1200, deadline=None, derandomize=True, database=None, phases=(Phase.generate,)
    )
    @given(st.sampled_from(LINES), st.lists(CHANGES, min_size=1, max_size=2))
    def collect(line: str, changes: list[tuple[str, float, str]]) -> None:
        damaged = line
        for change in changes:
            damaged = changed(damaged, change)
        if damaged not in LINES and _accepted(damaged):
            lines.append(damaged)

    collect()
    assert len(lines) > 100
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
