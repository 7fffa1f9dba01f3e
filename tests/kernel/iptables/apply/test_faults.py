"""Apply when something goes wrong half way: a tool that fails, a killed svcc, a wrong kernel."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence

import pytest

from svcc.apply.engine import apply
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.removal import cleanup
from svcc.apply.system import lock, sysctl
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.tools import Result, Runner, run_tool
from svcc.grammar.address import Family
from tests.support.kernel.foreign_rules import load_foreign, own, saved
from tests.support.kernel.namespace import Namespace, in_child
from tests.support.readings.wanted import Programs, wanted

pytestmark = pytest.mark.kernel

A, B, C = "10.96.0.10 53", "10.96.0.11 53", "10.96.0.12 53"
A6 = "fd00:96::a 53"
OLD: Programs = {
    Family.IPV4: wanted({A: ["10.128.0.9:53", "10.128.0.16:53"]}, [C]),
    Family.IPV6: wanted({A6: ["[fd00:128::9]:53"]}, family=Family.IPV6),
}
NEW: Programs = {
    Family.IPV4: wanted({A: ["10.128.0.9:53"], C: ["10.128.0.9:53"]}, [B], guard=True),
    Family.IPV6: wanted({}, [A6], family=Family.IPV6),
}
LOADS = 6
"""From OLD to NEW: two filter tables, two nat tables, two filter tables."""


def is_load(arguments: Sequence[str]) -> bool:
    return arguments[0].endswith("-restore")


def at_load(number: int, act: Callable[[Sequence[str], str | None], Result | None]) -> Runner:
    """A runner that calls ``act`` in place of the load of that number, counted from 1.

    Where ``act`` returns None, the load takes place after all.
    """
    seen = 0

    def run(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        nonlocal seen
        seen += is_load(arguments)
        if is_load(arguments) and seen == number:
            result = act(arguments, text)
            if result is not None:
                return result
        return run_tool(arguments, text, keep_open)

    return run


def to_new(tools: Iptables) -> None:
    apply(NEW, route_localnet=True, tools=tools, wait=None)


def to_old(tools: Iptables) -> None:
    apply(OLD, route_localnet=False, tools=tools, wait=None)


@pytest.mark.parametrize("number", range(1, LOADS + 1))
def test_a_load_that_fails_leaves_the_node_as_it_was(
    node: Namespace, variant: Variant, tools: Iptables, number: int
) -> None:
    load_foreign(node, variant)
    to_old(tools)
    before = saved(node, variant)
    failing = at_load(number, lambda *_: Result(4, "", "iptables-restore: line 2 failed"))
    with pytest.raises(ApplyError, match="the node is as it was before") as caught:
        to_new(Iptables(variant, run=failing))
    assert caught.value.restored
    assert "line 2 failed" in str(caught.value)
    assert saved(node, variant) == before
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is False
    to_new(tools)


@pytest.mark.parametrize("number", range(1, LOADS + 1))
@pytest.mark.parametrize("loaded", [False, True], ids=["before", "after"])
def test_killed_at_a_load(
    node: Namespace, variant: Variant, tools: Iptables, number: int, *, loaded: bool
) -> None:
    load_foreign(node, variant)
    foreign = saved(node, variant)
    to_new(tools)
    good = saved(node, variant)
    to_old(tools)

    def die(arguments: Sequence[str], text: str | None) -> Result:
        if loaded:
            run_tool(arguments, text, ())
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    status = in_child(lambda: to_new(Iptables(variant, run=at_load(number, die))))
    assert os.WTERMSIG(status) == signal.SIGKILL
    left = saved(node, variant)
    assert [line for line in left if line not in own(left)] == foreign
    to_new(tools)
    assert saved(node, variant) == good
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is True
    assert not apply(NEW, route_localnet=True, tools=tools, wait=None).changed


@pytest.mark.parametrize("number", [1, 3, 6])
def test_cleanup_after_a_kill(
    node: Namespace, variant: Variant, tools: Iptables, number: int
) -> None:
    to_old(tools)

    def die(*_: object) -> Result:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    in_child(lambda: to_new(Iptables(variant, run=at_load(number, die))))
    cleanup(tools=tools)
    assert saved(node, variant) == []
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is False


@pytest.mark.parametrize("number", range(1, 5))
def test_cleanup_that_fails_leaves_the_node_as_it_was(
    node: Namespace, variant: Variant, tools: Iptables, number: int
) -> None:
    to_old(tools)
    before = saved(node, variant)
    failing = at_load(number, lambda *_: Result(4, "", "no"))
    with pytest.raises(ApplyError, match="the node is as it was before"):
        cleanup(tools=Iptables(variant, run=failing))
    assert saved(node, variant) == before


def test_interrupted_by_the_person(node: Namespace, variant: Variant, tools: Iptables) -> None:
    to_old(tools)
    before = saved(node, variant)

    def interrupt(*_: object) -> Result:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_new(Iptables(variant, run=at_load(4, interrupt)))
    assert saved(node, variant) == before
    assert sysctl.read(sysctl.ROUTE_LOCALNET) is False


def test_a_tool_that_loads_something_else_is_caught(
    node: Namespace, variant: Variant, tools: Iptables
) -> None:
    to_old(tools)
    before = saved(node, variant)

    def garble(arguments: Sequence[str], text: str | None) -> Result:
        assert text is not None
        return run_tool(arguments, text.replace("10.128.0.9:53", "10.128.0.66:53"), ())

    with pytest.raises(ApplyError, match=r"reads back otherwise.*10\.128\.0\.66"):
        to_new(Iptables(variant, run=at_load(3, garble)))
    assert saved(node, variant) == before


def test_rules_that_others_add_meanwhile_survive_the_way_back(
    node: Namespace, variant: Variant, tools: Iptables
) -> None:
    to_old(tools)
    before = saved(node, variant)

    def meddle(*_: object) -> None:
        node.run(f"iptables-{variant}", "-I", "INPUT", "1", "-i", "eth7", "-j", "ACCEPT")

    with pytest.raises(ApplyError, match="not svcc's changed meanwhile"):
        to_new(Iptables(variant, run=at_load(3, meddle)))
    now = saved(node, variant)
    assert "-A INPUT -i eth7 -j ACCEPT" in now
    now.remove("-A INPUT -i eth7 -j ACCEPT")
    assert now == before


def test_going_back_that_fails_is_told(node: Namespace, variant: Variant, tools: Iptables) -> None:
    to_old(tools)
    loads = 0

    def run(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        nonlocal loads
        loads += is_load(arguments)
        if is_load(arguments) and loads >= 4:
            return Result(4, "", "worn out")
        return run_tool(arguments, text, keep_open)

    with pytest.raises(ApplyError, match="going back failed too") as caught:
        to_new(Iptables(variant, run=run))
    assert not caught.value.restored
    to_new(tools)
    assert not apply(NEW, route_localnet=True, tools=tools, wait=None).changed


def test_a_family_that_cannot_be_used(node: Namespace, variant: Variant) -> None:
    def no_ipv6(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        if "ip6tables" in arguments[0]:
            return Result(3, "", "can't initialize ip6tables table `nat': no such table")
        return run_tool(arguments, text, keep_open)

    tools = Iptables(variant, run=no_ipv6)
    with pytest.raises(ApplyError, match=r"ipv6 has frontends.*no such table"):
        to_old(tools)
    assert saved(node, variant) == []
    without = {**OLD, Family.IPV6: wanted({}, family=Family.IPV6)}
    outcome = apply(without, route_localnet=False, tools=tools, wait=None)
    assert "ipv6 is left out" in outcome.notes[0]
    assert saved(node, variant) != []


def test_a_tool_that_outlives_svcc_keeps_the_lock(node: Namespace) -> None:
    del node

    reading, writing = os.pipe()

    def leave_one_behind() -> None:
        with lock.held(None) as descriptor:
            subprocess.Popen(["cat"], stdin=reading, pass_fds=(descriptor,))
            os.kill(os.getpid(), signal.SIGKILL)

    in_child(leave_one_behind)
    os.close(reading)
    with pytest.raises(ApplyError, match="another svcc"), lock.held(0.1):
        pass
    os.close(writing)
    with lock.held(None):
        pass
