"""Connections to real servers that go, and clients that keep their port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from svcc.apply.iptables.tool import Iptables
from svcc.apply.system.tools import Result, run_tool
from svcc.compiler.pipeline import Compiled
from svcc.grammar.address import Family
from tests.kernel.ipvs.apply.shop import compiled, put, service
from tests.support.kernel.namespace import Namespace, connect, namespace
from tests.support.kernel.wire import Wire

pytestmark = pytest.mark.ipvs

HANGS = 600.0
"""Seconds after which what must come counts as lost."""
VIP, FIRST, SECOND = "10.96.0.10", "10.244.1.5", "10.244.1.6"


class Lines:
    """A TCP client beyond the node, and two backends that answer with their address."""

    def __init__(self, node: Namespace, stack: ExitStack) -> None:
        self.client_side = stack.enter_context(namespace())
        backends = stack.enter_context(namespace())
        for wire, far, near, addresses in (
            ("cli", self.client_side, "192.0.2.1", ["192.0.2.2"]),
            ("pod", backends, "10.244.1.1", [FIRST, SECOND]),
        ):
            connect(node, far, wire)
            node.run("ip", "address", "add", f"{near}/24", "dev", wire)
            for address in addresses:
                far.run("ip", "address", "add", f"{address}/24", "dev", wire)
            far.run("ip", "route", "add", "default", "via", near)
        for address in (FIRST, SECOND):
            with backends.entered():
                listener = stack.enter_context(socket.create_server((address, 80)))
            threading.Thread(target=self._serve, args=(listener, address), daemon=True).start()

    def _serve(self, listener: socket.socket, address: str) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(accepted, address), daemon=True).start()

    def _answer(self, accepted: socket.socket, address: str) -> None:
        with accepted:
            while accepted.recv(64):
                accepted.sendall(address.encode())

    def dial(self) -> socket.socket:
        with self.client_side.entered():
            return socket.create_connection((VIP, 80), timeout=HANGS)

    def ask(self, connection: socket.socket) -> str:
        connection.sendall(b"who")
        return connection.recv(64).decode()


@pytest.fixture
def lines(node: Namespace) -> Iterator[Lines]:
    node.run("ip", "address", "delete", "10.244.1.1/24", "dev", "ext0")
    with ExitStack() as stack:
        yield Lines(node, stack)


def shop(*backends: str, mode: str = "ipvs") -> Compiled:
    return compiled(service("web", VIP, ["80"], backends), mode)


@pytest.mark.parametrize("mode", ["ipvs", "iptables"])
def test_a_connection_may_end(lines: Lines, mode: str) -> None:
    put(shop(FIRST))
    connection = lines.dial()
    assert lines.ask(connection) == FIRST
    seen: list[str] = []
    draining = threading.Event()

    def run(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        result = run_tool(arguments, text, keep_open)
        if text is not None and " -w 0" in text:
            draining.set()
        return result

    def go_on() -> None:
        assert draining.wait(HANGS)
        seen.append(lines.ask(connection))
        with lines.dial() as fresh:
            seen.append(lines.ask(fresh))
        connection.close()

    other = threading.Thread(target=go_on)
    other.start()
    started = time.monotonic()
    put(shop(SECOND, mode=mode), Iptables("legacy", run=run), drain=HANGS)
    took = time.monotonic() - started
    other.join()
    assert seen == [FIRST, SECOND]
    assert took < HANGS


def test_no_connection_may_last_for_ever(lines: Lines) -> None:
    put(shop(FIRST))
    with lines.dial() as connection:
        assert lines.ask(connection) == FIRST
        started = time.monotonic()
        put(shop(SECOND), drain=2)
        assert time.monotonic() - started > 2
        connection.settimeout(1)
        with pytest.raises(OSError, match=r"timed out|reset"):
            lines.ask(connection)


def test_nothing_to_wait_for(lines: Lines) -> None:
    put(shop(FIRST))
    with lines.dial() as connection:
        assert lines.ask(connection) == FIRST
    started = time.monotonic()
    put(shop(SECOND), drain=HANGS)
    assert time.monotonic() - started < HANGS


def test_zero_is_at_once(lines: Lines) -> None:
    put(shop(FIRST))
    with lines.dial() as connection:
        assert lines.ask(connection) == FIRST
        outcome = put(shop(SECOND), drain=0)
        assert "wait" not in outcome.summary()


# -- UDP -----------------------------------------------------------------------------------


@pytest.fixture(params=list(Family), ids=lambda family: str(family.label))
def wire(request: pytest.FixtureRequest, node: Namespace) -> Iterator[Wire]:
    """The node under test with a client beside it, once for each family."""
    with ExitStack() as stack:
        yield Wire(request.param, node, stack)


def dns(wire: Wire, *backends: str, mode: str = "ipvs") -> Compiled:
    return compiled(service("dns", wire.vip, ["53/UDP"], backends), mode)


def test_a_udp_client_follows_the_modes(wire: Wire) -> None:
    put(dns(wire, wire.first, mode="iptables"))
    assert wire.served_by() == wire.first
    for mode in ("ipvs", "iptables", "ipvs"):
        outcome = put(dns(wire, wire.first, mode=mode))
        assert outcome.warnings == ()
        assert wire.served_by() == wire.first, mode
        assert wire.served_by() == wire.first, mode


def test_a_udp_client_is_released_from_a_backend_that_is_gone(wire: Wire) -> None:
    put(dns(wire, wire.first))
    assert [wire.served_by(), wire.served_by()] == [wire.first, wire.first]
    put(dns(wire, wire.second))
    # The kernel may drop the packet by which it notices.
    wire.served_by()
    assert wire.served_by() == wire.second


def test_a_udp_client_stays_with_a_backend_that_stays(wire: Wire) -> None:
    put(dns(wire, wire.first))
    assert wire.served_by() == wire.first
    outcome = put(dns(wire, wire.second, wire.first))
    assert outcome.released == 0
    assert wire.served_by() == wire.first


def test_a_udp_client_that_came_too_early_is_served(wire: Wire) -> None:
    put(dns(wire))
    put(compiled([]))
    assert wire.served_by() is None
    outcome = put(dns(wire, wire.first))
    assert outcome.released == 1
    assert wire.served_by() == wire.first
