"""UDP clients that keep their port are not left with backends that are gone."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from svcc.apply.engine import apply, cleanup
from svcc.apply.iptables import Iptables
from svcc.grammar.address import Family
from tests.support.namespace import Namespace, connect, missing, namespace
from tests.support.wanted import Programs, wanted

pytestmark = pytest.mark.kernel

PROGRAMS = {
    Family.IPV4: ("10.96.0.10", "10.128.0.9", "10.128.0.16", "192.0.2.1", "192.0.2.2", 24),
    Family.IPV6: ("fd00:96::a", "fd00:128::9", "fd00:128::10", "fd00:c::1", "fd00:c::2", 64),
}
SOCKET_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


class Wire:
    """A client, a node that two backends run on, and the wire between them."""

    def __init__(self, family: Family, node: Namespace, stack: ExitStack) -> None:
        self.family = family
        self.vip, self.first, self.second, near, far, length = PROGRAMS[family]
        client = stack.enter_context(namespace())
        connect(node, client, "wire")
        bits = "nodad" if family is Family.IPV6 else ""
        for where, address, device in (
            (node, f"{near}/{length}", "wire"),
            (client, f"{far}/{length}", "wire"),
            (node, self.first, "lo"),
            (node, self.second, "lo"),
        ):
            where.run(*f"ip addr add {address} dev {device} {bits}".split())
        client.run(*f"ip -{int(family)} route add default via {near}".split())
        # What is for no Service goes on, and is remembered by conntrack.
        beyond = stack.enter_context(namespace())
        connect(node, beyond, "away")
        node.run(*f"ip -{int(family)} route add default dev away".split())
        if family is Family.IPV4:
            node.run(*f"ip neigh add {self.vip} lladdr 02:00:00:00:00:01 dev away".split())
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.backends = [self._socket(stack, address, 53) for address in (self.first, self.second)]
        with client.entered():
            self.client = self._socket(stack, far, 4000)

    def _socket(self, stack: ExitStack, address: str, port: int) -> socket.socket:
        made = stack.enter_context(socket.socket(SOCKET_FAMILY[self.family], socket.SOCK_DGRAM))
        made.bind((address, port))
        made.settimeout(0.3)
        return made

    def served_by(self) -> str | None:
        """Send a packet to the frontend; which backend's address got it, None if none."""
        self.client.sendto(b"hello", (self.vip, 53))
        for backend in self.backends:
            try:
                _, client = backend.recvfrom(64)
            except TimeoutError:
                continue
            backend.sendto(b"answer", client)
            assert self.client.recvfrom(64)[1][0] == self.vip
            return str(backend.getsockname()[0])
        return None

    def programs(self, *backends: str, refused: bool = False) -> Programs:
        def place(host: str) -> str:
            return f"[{host}]:53" if ":" in host else f"{host}:53"

        frontend = f"{self.vip} 53"
        serving = {frontend: [place(host) for host in backends]} if backends else {}
        none: Programs = {f: wanted({}, family=f) for f in Family}
        program = wanted(serving, [frontend] if refused else [], family=self.family)
        return {**none, self.family: program}


@pytest.fixture(params=list(Family), ids=lambda family: str(family.label))
def wire(request: pytest.FixtureRequest, node: Namespace) -> Iterator[Wire]:
    """The node under test with a client beside it."""
    if reason := missing():
        pytest.skip(reason)
    with ExitStack() as stack:
        yield Wire(request.param, node, stack)


def test_a_client_is_released_from_a_backend_that_is_gone(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    assert [wire.served_by(), wire.served_by()] == [wire.first, wire.first]
    outcome = apply(wire.programs(wire.second), route_localnet=False, tools=tools, wait=5)
    assert outcome.warnings == ()
    assert outcome.released == 1
    assert wire.served_by() == wire.second


def test_a_client_stays_with_a_backend_that_stays(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    assert wire.served_by() == wire.first
    both = wire.programs(wire.second, wire.first)
    outcome = apply(both, route_localnet=False, tools=tools, wait=5)
    assert outcome.released == 0
    assert wire.served_by() == wire.first


def test_a_client_that_came_too_early_is_served(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(), route_localnet=False, tools=tools, wait=5)
    assert wire.served_by() is None
    outcome = apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    assert outcome.released == 1
    assert wire.served_by() == wire.first


def test_a_client_of_a_frontend_without_backends_is_refused(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    assert wire.served_by() == wire.first
    outcome = apply(wire.programs(refused=True), route_localnet=False, tools=tools, wait=5)
    assert outcome.released == 1
    assert wire.served_by() is None


def test_cleanup_releases_clients(wire: Wire, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    assert wire.served_by() == wire.first
    assert cleanup(tools=tools).released == 1
    assert wire.served_by() is None


def test_flows_of_others_are_left_alone(wire: Wire, node: Namespace, tools: Iptables) -> None:
    apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    wire.client.sendto(b"hello", (wire.second, 53))
    wire.backends[1].recvfrom(64)
    apply(wire.programs(wire.second), route_localnet=False, tools=tools, wait=5)
    flows = node.run("conntrack", "-L", "-p", "udp", "-f", wire.family.label)
    assert f"dst={wire.second} sport=4000 dport=53" in flows


def test_without_conntrack_the_operator_is_warned(
    wire: Wire, tools: Iptables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svcc.apply.conntrack.find_tool", lambda name: None)
    outcome = apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    assert ["conntrack is not installed" in warning for warning in outcome.warnings] == [True]
    again = apply(wire.programs(wire.first), route_localnet=False, tools=tools, wait=5)
    assert not again.changed
