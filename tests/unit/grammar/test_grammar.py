"""The parser is the exact inverse of the writer, and its two ways read alike."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError
from svcc.grammar.iptables.parse import parse
from svcc.grammar.iptables.program import Program
from svcc.grammar.iptables.write import write
from tests.support.clusters.dumps import DUMPS
from tests.support.effort import examples
from tests.support.programs.random_programs import programs


@examples(30, 1000)
@given(st.sampled_from(list(Family)).flatmap(lambda f: programs(f, size=2)))
def test_parse_is_the_inverse_of_write(program: Program) -> None:
    text = write(program)
    found = parse(text, family=program.family, source="x")
    assert found == program
    assert write(found) == text


def test_what_iptables_save_printed_is_written_the_same() -> None:
    checked = 0
    for path in sorted(DUMPS.glob("*/ip*-save.txt")):
        family = Family.IPV6 if path.name.startswith("ip6") else Family.IPV4
        text = path.read_text()
        program = parse(text, family=family, source=path.name)
        plain = re.sub(r"^#.*\n", "", re.sub(r" \[\d+:\d+\]", " [0:0]", text), flags=re.MULTILINE)
        assert write(program) == plain
        assert write(program, counters=True) == re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
        checked += 1
    assert checked == 32


# The nat rules of a few dumps: every shape that kube-proxy writes there.
LINES = [
    line
    for name in ("affinity-clientip", "lb-source-ranges", "etp-local-with-local")
    for line in (DUMPS / name / "iptables-save.txt").read_text().split("*nat\n")[1].splitlines()
    if line.startswith("-A KUBE")
]
CHANGES = st.one_of(
    st.tuples(st.just("drop word"), st.floats(0, 1), st.just("")),
    st.tuples(st.just("insert"), st.floats(0, 1), st.sampled_from(
        ("!", "-m", "tcp", "--dport", "80", "-j", "ACCEPT", '"', "--sectnds", "-d", "1.2.3.4/33",
         "--probability", "2", "-g", "A-CHAIN", "--comment", "-p", "udp", "0x4000/0x4000"))),
    st.tuples(st.just("character"), st.floats(0, 1), st.sampled_from('"\'! -/:.x0')),
)  # fmt: skip


def test_column_of_a_later_line_of_the_same_shape() -> None:
    long = "-A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MARK --set-xmark 0x4000/0x0"
    short = "-A A -m mark --mark 0x4000/0x4000 -j MARK --set-xmark 0x!/0x0"
    (problem,) = read([long, short])[1]
    assert problem == (
        3,
        short.index("0x!") + 1,
        "MARK: '0x!' is not a number from 0 to 4294967295",
    )


def changed(line: str, change: tuple[str, float, str]) -> str:
    kind, place, text = change
    words = line.split(" ")
    at = min(int(place * len(words)), len(words) - 1)
    if kind == "drop word":
        del words[at]
    elif kind == "insert":
        words.insert(at, text)
    else:
        at = min(int(place * len(line)), len(line) - 1)
        return line[:at] + text + line[at + 1 :]
    return " ".join(words)


Problem = tuple[int, int, str]


def read(lines: list[str]) -> tuple[list[object], list[Problem]]:
    """The rules, and what is wrong with them."""
    text = "\n".join(["*nat", *lines, "COMMIT", ""])
    try:
        return list(parse(text, family=Family.IPV4, source="x").tables["nat"].commands), []
    except InputError as error:
        return [], [(p.position.line, p.position.column, p.message) for p in error.problems]


@examples(150, 2000)
@given(st.sampled_from(LINES), st.lists(CHANGES, min_size=1, max_size=2))
def test_later_lines_of_a_shape_are_read_as_the_first(
    line: str, changes: list[tuple[str, float, str]]
) -> None:
    damaged = line
    for change in changes:
        damaged = changed(damaged, change)
    if not damaged.strip():
        return
    # Behind lines of every shape the fast way reads it, alone lark does.
    alone, wrong_alone = read([damaged])
    behind, wrong_behind = read([*LINES, damaged])
    assert behind[len(LINES) :] == alone
    moved = [(number + len(LINES), column, what) for number, column, what in wrong_alone]
    assert wrong_behind == moved


def test_a_comment_that_looks_like_an_option() -> None:
    """iptables-save puts no quotes around it."""
    for comment in ("--dport", "-", "-1", "-x"):
        text = f"*nat\n:A - [0:0]\n-A A -m comment --comment {comment} -j RETURN\nCOMMIT\n"
        program = parse(text, family=Family.IPV4, source="x")
        quoted = text.replace(f"--comment {comment}", f'--comment "{comment}"')
        assert parse(quoted, family=Family.IPV4, source="x") == program
        assert write(program) == quoted


DECLARATIONS = (":A - [0:0]", ":KUBE-SEP-2X - [12:345]", ":OUTPUT ACCEPT [0:0]", ":A -", ":B DROP")


@examples(150, 2000)
@given(st.sampled_from(DECLARATIONS), st.lists(CHANGES, max_size=2))
def test_declarations_are_read_as_lark_reads_them(
    line: str, changes: list[tuple[str, float, str]]
) -> None:
    for change in changes:
        line = changed(line, change)
    if not line.startswith(":"):
        return
    text = f"*nat\n{line}\nCOMMIT\n"
    # In front of the colon lark ignores blanks, and the quick way is not taken.
    slow = f"*nat\n {line}\nCOMMIT\n"
    found: list[object] = []
    for each in (text, slow):
        try:
            chains = parse(each, family=Family.IPV4, source="x").tables["nat"].chains
            found.append([(c.name, c.policy, c.counters) for c in chains.values()])
        except InputError as error:
            found.append([problem.message for problem in error.problems])
    assert found[0] == found[1]
