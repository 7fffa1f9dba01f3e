"""The least change of a table, and the filter table that stands between two."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svcc.apply.iptables.chain_order import declaration_order
from svcc.apply.iptables.plan import OLD_PREFIX, delta, union
from svcc.apply.iptables.read import TableState, own_target, read_table
from svcc.apply.steps import has_loopback_guard


def table(*lines: str) -> TableState:
    return read_table("\n".join(["*filter", *lines, "COMMIT"]))


JUMP = "-A INPUT -m conntrack --ctstate NEW -j SVCC-REFUSE"
OTHER_JUMP = "-A INPUT -j SVCC-INPUT"
FOREIGN = "-A INPUT -i eth0 -j ACCEPT"


def test_lines_are_sorted_by_owner() -> None:
    state = table(
        ":INPUT ACCEPT [12:3400]",
        ":FORWARD DROP [1:2]",
        ":DOCKER - [0:0]",
        ":SVCC-EMPTY - [0:0]",
        ":SVCC-REFUSE - [0:0]",
        '-A INPUT -m comment --comment "not ours: -j SVCC-REFUSE" -j ACCEPT',
        JUMP,
        '-A INPUT -j LOG --log-prefix "SVCC-REFUSE "',
        "-A DOCKER -g SVCC-REFUSE",
        "-A SVCC-REFUSE -j DROP",
    )
    assert state.chains == {"SVCC-EMPTY": [], "SVCC-REFUSE": ["-A SVCC-REFUSE -j DROP"]}
    assert state.jumps("INPUT") == [JUMP]
    assert state.jumps("DOCKER") == ["-A DOCKER -g SVCC-REFUSE"]
    assert state.foreign == [
        ":FORWARD DROP",
        ":DOCKER -",
        '-A INPUT -m comment --comment "not ours: -j SVCC-REFUSE" -j ACCEPT',
        '-A INPUT -j LOG --log-prefix "SVCC-REFUSE "',
    ]


def test_nothing_to_change_is_an_empty_script() -> None:
    state = table(":SVCC-REFUSE - [0:0]", JUMP, "-A SVCC-REFUSE -j DROP")
    assert delta("filter", state, state).script == ""


def test_only_changed_chains_are_in_the_script() -> None:
    current = table(
        ":SVCC-A - [0:0]",
        ":SVCC-B - [0:0]",
        ":SVCC-C - [0:0]",
        ":SVCC-REFUSE - [0:0]",
        JUMP,
        "-A SVCC-A -j DROP",
        "-A SVCC-B -p tcp -j DROP",
    )
    target = table(
        ":SVCC-A - [0:0]",
        ":SVCC-B - [0:0]",
        ":SVCC-D - [0:0]",
        ":SVCC-REFUSE - [0:0]",
        JUMP,
        "-A SVCC-A -j DROP",
        "-A SVCC-B -p udp -j DROP",
    )
    change = delta("filter", current, target)
    assert change.script.splitlines() == [
        "*filter",
        *sorted(change.script.splitlines()[1:4], reverse=True),
        "-A SVCC-B -p udp -j DROP",
        "-X SVCC-C",
        "COMMIT",
    ]
    assert {line.split()[0] for line in change.script.splitlines()[1:4]} == {
        ":SVCC-B",
        ":SVCC-C",
        ":SVCC-D",
    }
    assert (change.written, change.removed, change.jumps) == (2, 1, 0)


@pytest.mark.parametrize(
    ("current", "edits"),
    [
        ([], ["-I INPUT 1 -j SVCC-INPUT", f"-I INPUT 2{JUMP[8:]}"]),
        ([FOREIGN], ["-I INPUT 1 -j SVCC-INPUT", f"-I INPUT 2{JUMP[8:]}"]),
        ([OTHER_JUMP, FOREIGN], [f"-I INPUT 2{JUMP[8:]}"]),
        ([FOREIGN, OTHER_JUMP, FOREIGN], [f"-I INPUT 3{JUMP[8:]}"]),
        ([FOREIGN, JUMP], ["-I INPUT 1 -j SVCC-INPUT"]),
        ([FOREIGN, OTHER_JUMP, FOREIGN, JUMP], []),
        ([OTHER_JUMP, JUMP, FOREIGN, JUMP], [f"-D{JUMP[2:]}"]),
        ([OTHER_JUMP, "-A INPUT -p tcp -j SVCC-REFUSE", JUMP], ["-D INPUT -p tcp -j SVCC-REFUSE"]),
    ],
)
def test_edits_of_a_base_chain(current: list[str], edits: list[str]) -> None:
    chains = (":SVCC-INPUT - [0:0]", ":SVCC-REFUSE - [0:0]")
    change = delta("filter", table(*chains, *current), table(*chains, OTHER_JUMP, JUMP))
    assert change.script.splitlines()[1:-1] == edits


JUMPS = [f"-A INPUT -j SVCC-{name}" for name in "ABC"]
FOREIGNS = [f"-A INPUT -i eth{number} -j ACCEPT" for number in range(3)]


def run_edits(lines: Sequence[str], script: str) -> list[str]:
    """What iptables-restore does to one chain."""
    result = list(lines)
    for line in script.splitlines():
        if line.startswith("-D "):
            result.remove("-A" + line[2:])
        elif line.startswith("-I "):
            _, chain, number, rest = line.split(" ", 3)
            assert 1 <= int(number) <= len(result) + 1
            result.insert(int(number) - 1, f"-A {chain} {rest}")
    return result


@given(
    st.lists(st.sampled_from(JUMPS + FOREIGNS), max_size=8),
    st.lists(st.sampled_from(JUMPS), unique=True),
)
def test_edits_lead_to_the_wanted_jumps_and_spare_the_rest(
    current: list[str], wanted: list[str]
) -> None:
    change = delta("filter", table(*current), table(*wanted))
    result = run_edits(current, change.script)
    assert [line for line in result if own_target(line)] == wanted
    assert [line for line in result if not own_target(line)] == [
        line for line in current if not own_target(line)
    ]
    assert change.after.others.get("INPUT", []) == result


@given(
    st.lists(st.sampled_from(JUMPS + FOREIGNS), max_size=8),
    st.lists(st.sampled_from(JUMPS), unique=True),
)
def test_going_back_restores_the_jumps(before: list[str], wanted: list[str]) -> None:
    there = delta("filter", table(*before), table(*wanted))
    changed = run_edits(before, there.script)
    back = delta("filter", table(*changed), table(*before))
    result = run_edits(changed, back.script)
    assert [line for line in result if own_target(line)] == [
        line for line in before if own_target(line)
    ]


@given(st.sets(st.text("ABC-", max_size=12)))
def test_declaration_order_declares_each_chain_once(names: set[str]) -> None:
    assert sorted(declaration_order(names)) == sorted(names)


@pytest.mark.parametrize(
    ("rule", "guards"),
    [
        ("-A SVCC-INPUT -d 127.0.0.0/8 ! -i lo -j DROP", True),
        (
            "-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack "
            "! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
            True,
        ),
        ("-A SVCC-INPUT ! -d 127.0.0.0/8 -j DROP", False),
        ("-A SVCC-INPUT -d 127.0.0.0/8 -j ACCEPT", False),
        ("-A SVCC-REFUSE -d 10.96.0.1/32 -j DROP", False),
    ],
)
def test_loopback_guard_is_told(rule: str, *, guards: bool) -> None:
    assert has_loopback_guard([rule]) is guards


# A small filter language: a packet is a letter, a rule matches one letter or all.

PACKETS = "xyz"
NAMES = [f"SVCC-{name}" for name in "PQRS"]


def verdict(state: TableState, packet: str) -> str | None:
    """What a table does with a packet: the first verdict on its way from INPUT."""
    jumps = state.jumps("INPUT")
    return walk(state, jumps, packet)


def walk(state: TableState, lines: Sequence[str], packet: str) -> str | None:
    for line in lines:
        *conditions, action, target = line.split()[2:]
        condition = conditions[0] if conditions else "any"
        if condition not in ("any", packet):
            continue
        if target == "RETURN":
            return None
        if target in ("DROP", "ACCEPT"):
            return target
        result = walk(state, state.chains[target], packet)
        if result is not None or action == "-g":
            return result
    return None


@st.composite
def filter_tables(draw: st.DrawFn) -> TableState:
    """Chains jump only to later ones, so that there is no cycle."""
    lines = []
    present = draw(st.integers(0, len(NAMES)))
    for index, name in enumerate(NAMES[:present]):
        targets = ["DROP", "ACCEPT", "RETURN", *NAMES[index + 1 : present]]
        for target in draw(st.lists(st.sampled_from(targets), max_size=4)):
            condition = draw(st.sampled_from([*PACKETS, "any"]))
            action = draw(st.sampled_from(["-j", "-g"])) if target in NAMES else "-j"
            lines.append(f"-A {name} {condition} {action} {target}")
    roots = draw(st.lists(st.sampled_from(NAMES[:present]), max_size=3)) if present else []
    jumps = [f"-A INPUT any -j {root}" for root in dict.fromkeys(roots)]
    return table(*(f":{name} - [0:0]" for name in NAMES[:present]), *jumps, *lines)


@given(filter_tables(), filter_tables())
def test_the_table_between_refuses_what_either_refuses(
    current: TableState, wanted: TableState
) -> None:
    between = delta("filter", current, union(current, wanted)).after
    for packet in PACKETS:
        old, new, now = (verdict(state, packet) for state in (current, wanted, between))
        if old is None and new is None:
            assert now is None
        else:
            assert now in {old, new} - {None}


@given(filter_tables(), filter_tables(), filter_tables())
def test_the_table_between_can_be_left_for_another(
    first: TableState, second: TableState, third: TableState
) -> None:
    """A killed apply leaves a table between; the next one starts from it."""
    interrupted = delta("filter", first, union(first, second)).after
    between = union(interrupted, third)
    for packet in PACKETS:
        old, new, now = (verdict(state, packet) for state in (interrupted, third, between))
        assert now in ({old, new} - {None} or {None}), packet
    final = delta("filter", interrupted, third).after
    assert not any(chain.startswith(OLD_PREFIX) for chain in final.chains)


def test_unchanged_chains_are_not_copied() -> None:
    chains = (":SVCC-REFUSE - [0:0]", ":SVCC-T-1 - [0:0]", ":SVCC-T-2 - [0:0]", JUMP)
    shared = ("-A SVCC-REFUSE -j SVCC-T-1", "-A SVCC-REFUSE -g SVCC-T-2", "-A SVCC-T-1 -j DROP")
    between = union(
        table(*chains, *shared, "-A SVCC-T-2 -p tcp -j DROP"),
        table(*chains, *shared, "-A SVCC-T-2 -p udp -j DROP"),
    )
    copies = {name: rules for name, rules in between.chains.items() if "OLD" in name}
    assert copies == {
        "SVCC-OLD-0": ["-A SVCC-OLD-0 -j SVCC-T-1", "-A SVCC-OLD-0 -g SVCC-OLD-1"],
        "SVCC-OLD-1": ["-A SVCC-OLD-1 -p tcp -j DROP"],
    }
    assert between.chains["SVCC-REFUSE"] == list(shared[:2])
    assert between.jumps("INPUT") == [JUMP, JUMP.replace("SVCC-REFUSE", "SVCC-OLD-0")]
