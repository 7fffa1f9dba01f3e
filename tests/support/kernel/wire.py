"""A node that serves a UDP client over a wire, backends included."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import ExitStack

from svcc.grammar.address import Family
from tests.support.kernel.namespace import Namespace, connect, namespace
from tests.support.kernel.testbed import on_one_processor
from tests.support.readings.wanted import Programs, wanted

_ADDRESSES = {
    Family.IPV4: ("10.96.0.10", "10.128.0.9", "10.128.0.16", "192.0.2.1", "192.0.2.2", 24),
    Family.IPV6: ("fd00:96::a", "fd00:128::9", "fd00:128::10", "fd00:c::1", "fd00:c::2", 64),
}
_ROUND_SECONDS, _ROUNDS = 0.1, 100
"""So many sentinels are sent, each when none has arrived for so long."""
_HANGS = 300.0
"""Seconds after which what must arrive counts as lost."""

_SOCKET_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}


class Wire:
    """A client, a node that two backends run on, and the wire between them."""

    def __init__(self, family: Family, node: Namespace, stack: ExitStack) -> None:
        self.family = family
        self.vip, self.first, self.second, near, far, length = _ADDRESSES[family]
        self.far = far
        self.client_side = client = stack.enter_context(namespace())
        connect(node, client, "wire")
        bits = "nodad" if family is Family.IPV6 else ""
        everywhere = "::/0" if family is Family.IPV6 else "0.0.0.0/0"
        client.ip(
            f"address add {far}/{length} dev wire {bits}",
            f"route add {everywhere} via {near}",
        )
        # What is for no Service goes on, and is remembered by conntrack.
        beyond = stack.enter_context(namespace())
        connect(node, beyond, "away")
        node.ip(
            f"address add {near}/{length} dev wire {bits}",
            f"address add {self.first} dev lo {bits}",
            f"address add {self.second} dev lo {bits}",
            f"route add {everywhere} dev away",
        )
        if family is Family.IPV4:
            node.ip(f"neigh add {self.vip} lladdr 02:00:00:00:00:01 dev away")
        node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.backends = [self._socket(stack, address, 53) for address in (self.first, self.second)]
        self._quiet_place = (near, 9)
        self._hears_sentinels = self._socket(stack, *self._quiet_place)
        with client.entered():
            self.client = self._socket(stack, far, 4000)
            self._sends_sentinels = self._socket(stack, far, 4009)

    def _socket(self, stack: ExitStack, address: str, port: int) -> socket.socket:
        made = stack.enter_context(socket.socket(_SOCKET_FAMILY[self.family], socket.SOCK_DGRAM))
        made.bind((address, port))
        made.settimeout(_HANGS)
        return made

    def _reached(self, send: Callable[[], object], *those: socket.socket) -> list[socket.socket]:
        """Send something; which sockets have got anything when all has come to rest.

        A processor handles packets in their order: behind a sentinel nothing is on its way but
        what the packets before it made the node send, and behind the second not even that.
        """
        with on_one_processor():
            send()
            for _ in range(2):
                self._sentinel()
        return select.select(those, [], [], 0)[0]

    def _sentinel(self) -> None:
        for _ in range(_ROUNDS):
            self._sends_sentinels.sendto(b"sentinel", self._quiet_place)
            if select.select([self._hears_sentinels], [], [], _ROUND_SECONDS)[0]:
                self._hears_sentinels.recv(64)
                return
        raise AssertionError("no sentinel arrived")

    def served_by(self) -> str | None:
        """Send a packet to the frontend; which backend's address got it, None if none."""
        frontend = (self.vip, 53)
        for backend in self._reached(
            lambda: self.client.sendto(b"hello", frontend), *self.backends
        ):
            _, client = backend.recvfrom(64)
            backend.sendto(b"answer", client)
            assert self.client.recvfrom(64)[1][0] == self.vip
            return str(backend.getsockname()[0])
        return None

    def fate(self, address: str) -> str:
        """What becomes of a new client's packet: ``served``, ``refused`` or ``lost``."""
        with ExitStack() as stack, self.client_side.entered():
            client = self._socket(stack, self.far, 0)
            client.connect((address, 53))
            for one in self._reached(lambda: client.send(b"hello"), *self.backends, client):
                try:
                    one.recv(64)
                except ConnectionRefusedError:
                    return "refused"
                return "served"
        return "lost"

    def programs(self, *backends: str, refused: bool = False) -> Programs:
        def place(host: str) -> str:
            return f"[{host}]:53" if ":" in host else f"{host}:53"

        frontend = f"{self.vip} 53"
        serving = {frontend: [place(host) for host in backends]} if backends else {}
        none: Programs = {f: wanted({}, family=f) for f in Family}
        program = wanted(serving, [frontend] if refused else [], family=self.family)
        return {**none, self.family: program}
