"""Connections through a real nginx: a node in one network namespace, all others in another.

The node has one wire. At its far end are the addresses of clients and backends, with sockets that
answer who they are and who they are talked to by. Connections are whole, with all of TCP: what
becomes of one is told by the answer, an error or the end. A network that nobody has is told of at
once (``unreachable`` routes), so that nothing is waited for.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from svcc.compiler.bundle import ADDRESSES as ADDRESS_FILE
from svcc.compiler.bundle import LOOPBACK_ADDRESSES, NGINX
from svcc.grammar.nginx.state import DEVICE
from tests.support.kernel.namespace import Namespace, connect, namespace
from tests.support.kernel.packets import TCP, UDP
from tests.support.kernel.testbed import ADDRESSES, write_sysctl

OWN = (*ADDRESSES["ext0"], *ADDRESSES["pod0"])
"""The node's own addresses."""
_WIRE = "wire0"
_HANGS = 60
"""Seconds after which something hangs; what comes at all comes at once."""

Where = Literal["node", "far"]
Endpoint = tuple[str, int, int]
"""Address, port and protocol number."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A backend answered: who it is, and whom it saw."""

    address: str
    port: int
    client: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The kernel said that nobody listens there."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection was accepted and closed without a word."""


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The kernel said that there is no such address."""


Result = Answer | Refused | Closed | Unreachable


class Backends:
    """Sockets that answer, served by a thread of their own."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._poll = select.poll()
        self._sockets: dict[int, tuple[socket.socket, Endpoint]] = {}
        ours, self._wake = socket.socketpair()
        self._end = self._stack.enter_context(ours)
        self._stack.enter_context(self._wake)
        self._poll.register(self._end, select.POLLIN)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.heard: Counter[Endpoint] = Counter()
        """How many connections or datagrams each got."""

    def open(self, endpoints: Iterable[Endpoint]) -> None:
        """Listen, in the namespace that this thread is in."""
        for address, port, protocol in endpoints:
            kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
            opened = self._stack.enter_context(socket.socket(_family(address), kind))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((address, port))
            if protocol == TCP:
                opened.listen(128)
            opened.setblocking(False)
            self._sockets[opened.fileno()] = (opened, (address, port, protocol))
            self._poll.register(opened, select.POLLIN)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._wake.send(b"x")
        self._thread.join()
        self._stack.close()

    def _serve(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._end.fileno():
                    return
                self._answer(*self._sockets[descriptor])

    def _answer(self, opened: socket.socket, own: Endpoint) -> None:
        address, port, protocol = own
        try:
            if protocol == UDP:
                _, peer = opened.recvfrom(100)
                self.heard[own] += 1
                opened.sendto(f"{address} {port} {peer[0]}".encode(), peer)
                return
            connection, peer = opened.accept()
            self.heard[own] += 1
        except OSError:
            return
        with connection:
            connection.sendall(f"{address} {port} {peer[0]}".encode())


class ProxyTestbed:
    """The node and everybody else."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self.node = self._stack.enter_context(namespace())
            self.far = self._stack.enter_context(namespace())
            connect(self.node, self.far, _WIRE)
            with self.node.entered():
                write_sysctl("net/ipv4/ip_forward", "1")
                # A refusal that is left out to save on messages would be waited for in vain.
                write_sysctl("net/ipv4/icmp_ratemask", "0")
                write_sysctl("net/ipv4/icmp_ratelimit", "0")
                write_sysctl("net/ipv6/icmp/ratelimit", "0")
            self.node.ip(
                *(_adding(address, _WIRE) for address in OWN),
                "route add unreachable default",
                "route add unreachable ::/0 metric 10",
            )
            self.far.ip(
                _adding("192.0.2.1", _WIRE),
                _adding("2001:db8:77::1", _WIRE),
                f"route add 192.168.7.10/32 dev {_WIRE}",
                f"route add default via 192.168.7.10 dev {_WIRE}",
                f"route add fd00:7::10/128 dev {_WIRE}",
                f"route add ::/0 via fd00:7::10 dev {_WIRE}",
            )
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    @cached_property
    def has_dummy(self) -> bool:
        """Whether this kernel has dummy devices."""
        try:
            self.node.ip("link add svcc-try0 type dummy")
        except RuntimeError:
            return False
        self.node.ip("link del svcc-try0")
        return True

    @contextmanager
    def others(self, addresses: Iterable[str]) -> Iterator[None]:
        """Others have these addresses for a while."""
        wanted = sorted(set(addresses) - set(OWN))
        self.far.ip(*(_adding(address, _WIRE) for address in wanted))
        self.node.ip(*(f"route add {a}{_prefix(a)} dev {_WIRE}" for a in wanted))
        try:
            yield
        finally:
            self.node.ip(*(f"route del {a}{_prefix(a)} dev {_WIRE}" for a in wanted))
            self.far.ip(*(f"address del {a}{_prefix(a)} dev {_WIRE}" for a in wanted))

    @contextmanager
    def backends(self, endpoints: Iterable[Endpoint]) -> Iterator[Backends]:
        """Backends, those with one of the node's addresses on the node."""
        made, wanted = Backends(), set(endpoints)
        for where, here in ((self.node, True), (self.far, False)):
            with where.entered():
                made.open(sorted(e for e in wanted if (e[0] in OWN) is here))
        with made:
            yield made

    @contextmanager
    def proxy(self, folder: Path, *, on_loopback: bool | None = None) -> Iterator[None]:
        """nginx with what ``svcc compile -o`` wrote into a folder, as its first lines say. By
        default virtual IPs are on a dummy device, and on loopback where the kernel has none.
        """
        on_loopback = not self.has_dummy if on_loopback is None else on_loopback
        batch = folder / (LOOPBACK_ADDRESSES if on_loopback else ADDRESS_FILE)
        self.node.run("ip", "-batch", str(batch))
        try:
            with self.node.entered():
                _nginx(folder)
            try:
                yield
            finally:
                stop(folder)
        finally:
            if on_loopback:
                self.node.ip("address flush dev lo scope global")
            elif "link add" in batch.read_text():
                self.node.ip(f"link del {DEVICE}")

    def reload(self, folder: Path) -> None:
        """Have nginx take the configuration again."""
        with self.node.entered():
            _nginx(folder, "-s", "reload")

    def connect(
        self, where: Where, source: str | None, to: str, port: int, protocol: int
    ) -> Result:
        """Connect once, from a new port."""
        place: Namespace = self.node if where == "node" else self.far
        kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
        with place.entered():
            opened = socket.socket(_family(to), kind)
        with opened:
            opened.settimeout(_HANGS)
            if source is not None:
                opened.bind((source, 0))
            try:
                opened.connect((to, port))
                if protocol == UDP:
                    opened.send(b"who")
                said = opened.recv(100)
            except ConnectionRefusedError:
                return Refused()
            except ConnectionResetError:
                return Closed()
            except TimeoutError:
                raise AssertionError(f"nothing came of {source} to {to}:{port}") from None
            except OSError:
                return Unreachable()
        if not said:
            return Closed()
        address, number, client = said.decode().split()
        return Answer(address, int(number), client)


def stop(folder: Path) -> None:
    """End the nginx of a folder and wait until it has."""
    pid = int((folder / "svcc-nginx.pid").read_text())
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def _nginx(folder: Path, *arguments: str) -> None:
    """Run it as the first lines of the configuration say; it goes on by itself."""
    log = folder / "nginx.log"
    given = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / NGINX), *arguments]
    with log.open("a") as said:
        done = subprocess.run(given, stderr=said, check=False)
    assert done.returncode == 0, log.read_text()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _prefix(address: str) -> str:
    return "/128" if ":" in address else "/32"


def _adding(address: str, device: str) -> str:
    nodad = " nodad" if ":" in address else ""
    return f"address add {address}{_prefix(address)} dev {device}{nodad}"
