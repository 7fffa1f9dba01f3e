"""UDP clients that keep their port are not left with backends that are gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import pytest

from svcc.apply.engine import apply
from svcc.apply.iptables.tool import Iptables, Variant
from svcc.apply.removal import cleanup
from svcc.apply.system.tools import Result, find_tool, run_tool
from tests.support.kernel.namespace import Namespace, in_child
from tests.support.kernel.wire import Wire

pytestmark = pytest.mark.kernel


def test_a_client_is_released_from_a_backend_that_is_gone(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert [wire.served_by(), wire.served_by()] == [wire.first, wire.first]
    outcome = apply(wire.programs(wire.second), route_localnet=False, tools=tools, wait=None)
    assert outcome.warnings == ()
    assert outcome.released == 1
    assert wire.served_by() == wire.second


def test_a_client_stays_with_a_backend_that_stays(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert wire.served_by() == wire.first
    both = wire.programs(wire.second, wire.first)
    outcome = apply(both, route_localnet=False, tools=tools, wait=None)
    assert outcome.released == 0
    assert wire.served_by() == wire.first


def test_a_client_that_came_too_early_is_served(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(), route_localnet=False, tools=tools, wait=None)
    assert wire.served_by() is None
    outcome = apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert outcome.released == 1
    assert wire.served_by() == wire.first


def test_a_client_of_a_frontend_without_backends_is_refused(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert wire.served_by() == wire.first
    outcome = apply(wire.programs(refused=True), route_localnet=False, tools=tools, wait=None)
    assert outcome.released == 1
    assert wire.served_by() is None


def test_cleanup_releases_clients(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert wire.served_by() == wire.first
    assert cleanup(tools=tools).released == 1
    assert wire.served_by() is None


def test_flows_of_others_are_left_alone(wire: Wire, node: Namespace, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    wire.client.sendto(b"hello", (wire.second, 53))
    wire.backends[1].recvfrom(64)
    apply(wire.programs(wire.second), route_localnet=False, tools=tools, wait=None)
    flows = node.run("conntrack", "-L", "-p", "udp", "-f", wire.family.label)
    assert f"dst={wire.second} sport=4000 dport=53" in flows


def test_without_conntrack_the_operator_is_warned(
    wire: Wire, tools: Iptables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others(name: str) -> str | None:
        return None if name == "conntrack" else find_tool(name)

    monkeypatch.setattr("svcc.apply.system.tools.find_tool", others)
    outcome = apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert ["conntrack is not installed" in warning for warning in outcome.warnings] == [True]
    again = apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert not again.changed


def test_killed_before_clients_were_released(wire: Wire, variant: Variant, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=None)
    assert wire.served_by() == wire.first

    def die_at_conntrack(
        arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]
    ) -> Result:
        if arguments[0].endswith("conntrack"):
            os.kill(os.getpid(), signal.SIGKILL)
        return run_tool(arguments, text, keep_open)

    def apply_and_die() -> None:
        killed = Iptables(variant, run=die_at_conntrack)
        apply(wire.programs(wire.second), route_localnet=False, tools=killed, wait=None)

    assert os.WTERMSIG(in_child(apply_and_die)) == signal.SIGKILL
    again = apply(wire.programs(wire.second), route_localnet=False, tools=tools, wait=None)
    assert again.released == 1
    assert wire.served_by() == wire.second
    assert not apply(
        wire.programs(wire.second), route_localnet=False, tools=tools, wait=None
    ).changed
