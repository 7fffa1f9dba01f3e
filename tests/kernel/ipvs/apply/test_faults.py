"""Apply in ipvs mode when something goes wrong half way."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

import pytest

from svcc.apply.iptables.tool import Iptables
from svcc.apply.removal import cleanup
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.tools import Result, run_tool
from svcc.compiler.pipeline import Compiled
from tests.kernel.ipvs.apply.shop import NEW, OLD, State, at_change, compiled, counted, put, state
from tests.support.effort import LONG, some
from tests.support.kernel.namespace import Namespace, in_child

pytestmark = pytest.mark.ipvs

WAYS: dict[str, tuple[Compiled, Compiled]] = {}
NAMES = ("change", "back", "from iptables mode", "to iptables mode")
FAILING = NAMES if LONG else ("change", "to iptables mode")
KILLED = NAMES if LONG else ("change", "from iptables mode")


def way(name: str) -> tuple[Compiled, Compiled]:
    """What is loaded, and what is wanted."""
    if not WAYS:
        old, new = compiled(OLD), compiled(NEW)
        old_rules, new_rules = compiled(OLD, "iptables"), compiled(NEW, "iptables")
        pairs = ((old, new), (new, old), (old_rules, new), (old, new_rules))
        WAYS.update(zip(NAMES, pairs, strict=True))
    return WAYS[name]


TOTALS: dict[str, int] = {}


def total_of(name: str) -> int:
    """How many commands lead from what is loaded to what is wanted, counted once."""
    if name not in TOTALS:
        old, new = way(name)
        put(old)
        TOTALS[name] = counted(lambda tools: put(new, tools))
    return TOTALS[name]


def sorted_rules(found: State) -> tuple[object, ...]:
    return (sorted(found.rules.splitlines()), found.servers, found.sets, found.addresses)


def half_done(arguments: Sequence[str], text: str | None) -> Result:
    """The first half of the lines is loaded, then the tool gives up."""
    name = arguments[0].rpartition("/")[2]
    if text is not None and not name.endswith("-restore"):
        lines = text.splitlines(keepends=True)
        run_tool(arguments, "".join(lines[: len(lines) // 2]), ())
    return Result(1, "", "worn out")


@pytest.mark.parametrize("name", FAILING)
def test_a_change_that_fails_leaves_the_node_as_it_was(node: Namespace, name: str) -> None:
    old, new = way(name)
    total = total_of(name)
    assert total >= 6
    put(old)
    before = sorted_rules(state(node))
    for number in some(range(1, total + 1), 3):
        failing = Iptables("legacy", run=at_change(number, half_done))
        error = error_of(new, failing)
        assert error is None or error.restored, f"change {number}: {error}"
        if error is None:
            # Flows that stay are no reason to go back.
            put(old)
        else:
            assert "worn out" in str(error)
        assert sorted_rules(state(node)) == before, f"change {number}: {error}"
    assert put(new).changed


def error_of(what: Compiled, tools: Iptables) -> ApplyError | None:
    """How an apply fails; None if it does not."""
    try:
        put(what, tools)
    except ApplyError as error:
        return error
    return None


def killed_while(what: Compiled, tools: Iptables) -> bool:
    """Apply in a process of its own; whether it was killed."""

    def act() -> None:
        put(what, tools)

    status = in_child(act)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die_half_way(arguments: Sequence[str], text: str | None) -> Result:
    half_done(arguments, text)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_behind(arguments: Sequence[str], text: str | None) -> Result:
    run_tool(arguments, text, ())
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@pytest.mark.parametrize("name", KILLED)
def test_killed_at_a_change(node: Namespace, name: str) -> None:
    old, new = way(name)
    total = total_of(name)
    put(new)
    good = sorted_rules(state(node))
    for number in some(range(1, total + 1), 3):
        put(old)
        assert killed_while(new, Iptables("legacy", run=at_change(number, die_half_way))), number
        put(new)
        assert sorted_rules(state(node)) == good, number
    assert not put(new).changed


@pytest.mark.parametrize("name", NAMES[:2] if LONG else NAMES[:1])
def test_killed_and_then_wanted_otherwise(node: Namespace, name: str) -> None:
    old, new = way(name)
    total = total_of(name)
    put(old)
    before = sorted_rules(state(node))
    for number in some(range(1, total + 1), 3):
        assert killed_while(new, Iptables("legacy", run=at_change(number, die_behind))), number
        put(old)
        assert sorted_rules(state(node)) == before, number


def test_cleanup_after_a_kill(node: Namespace) -> None:
    old, new = way("change")
    for number in some((1, 2, 3, 6, 8), 3):
        put(old)
        assert killed_while(new, Iptables("legacy", run=at_change(number, die_behind)))
        cleanup(tools=Iptables("legacy"))
        now = state(node)
        assert (now.servers, now.sets) == ({}, {})
        assert "SVCC" not in now.rules + str(now.addresses)


def spoiling(spoil: Callable[[str], str]) -> Iptables:
    """Tools that get the first text for ``ipvsadm -R`` spoilt."""
    is_done = False

    def run(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        nonlocal is_done
        if not is_done and arguments[0].endswith("ipvsadm") and arguments[1] == "-R" and text:
            is_done = True
            text = spoil(text)
        return run_tool(arguments, text, keep_open)

    return Iptables("legacy", run=run)


def test_a_tool_that_goes_on_behind_an_error_is_caught(node: Namespace) -> None:
    old, new = way("change")
    put(old)
    before = sorted_rules(state(node))
    # The last line of ipvsadm -R decides about its exit code.
    tools = spoiling(lambda text: f"-d -t 10.96.0.10:80 -r 10.9.9.9:80\n{text}")
    with pytest.raises(ApplyError, match="ipvsadm -R failed: No such destination; the node is as"):
        put(new, tools)
    assert sorted_rules(state(node)) == before


def test_a_scheduler_that_the_kernel_does_not_have(node: Namespace) -> None:
    before = state(node).servers
    with pytest.raises(ApplyError, match="Scheduler or persistence engine not found"):
        put(compiled(OLD), spoiling(lambda text: text.replace("-s rr", "-s nosuch", 1)))
    assert state(node).servers == before


def test_interrupted_by_the_person(node: Namespace) -> None:
    old, new = way("change")
    put(old)
    before = sorted_rules(state(node))

    def interrupt(*_: object) -> Result:
        raise KeyboardInterrupt

    for number in (1, 2, 6):
        with pytest.raises(KeyboardInterrupt):
            put(new, Iptables("legacy", run=at_change(number, interrupt)))
        assert sorted_rules(state(node)) == before


def test_settings_are_put_back(node: Namespace) -> None:
    del node
    what = compiled(OLD, ipvs={"tcpTimeout": "5s", "strictARP": True})

    def fail(*_: object) -> Result:
        return Result(1, "", "no")

    with pytest.raises(ApplyError, match="as it was before"):
        put(what, Iptables("legacy", run=at_change(3, fail)))
    assert sysctl.value("net/ipv4/vs/conntrack") == "0"
    assert sysctl.value("net/ipv4/conf/all/arp_announce") == "0"
    assert put(what).changed
    assert sysctl.value("net/ipv4/vs/conntrack") == "1"


def test_virtual_servers_that_others_remove_meanwhile(node: Namespace) -> None:
    old, new = way("change")
    put(old)
    node.run("ipvsadm", "-A", "-t", "203.0.113.99:80", "-s", "rr")

    def meddle(*_: object) -> None:
        node.run("ipvsadm", "-D", "-t", "203.0.113.99:80")

    with pytest.raises(ApplyError, match=r"203\.0\.113\.99:80, which is not svcc's, went away"):
        put(new, Iptables("legacy", run=at_change(3, meddle)))
