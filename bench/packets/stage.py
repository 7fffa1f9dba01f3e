"""A client, a node and a backend in network namespaces, and the processor time of what they send.

Everything is sent and received by one thread on one processor: what the kernel does for a packet,
on its way through all three namespaces too, it does in the sender's system call (veth hands a
packet over by a soft interrupt, which runs when the call leaves its critical section), so the
thread's own processor time is what the packet costs. What is left to ``ksoftirqd`` instead is
added (sched-stats: Documentation/scheduler/sched-stats.rst).
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.kernel.namespace import Namespace, connect, namespace
from tests.support.kernel.packets import TCP, Flow, build
from tests.support.kernel.testbed import on_one_processor, write_sysctl

NODE_IP, POD_IP = "192.168.7.10", "10.255.255.2"
BACKENDS = "10.128.0.0/12"
"""Where :mod:`bench.generate` has the endpoints; the client's address is a pod's, outside."""
BACKEND_PORT = 8080
_GATEWAY, _NOBODY = "192.0.2.1", "192.0.2.2"
_AT_ONCE = 1024
"""Messages of one sendmmsg(2): UIO_MAXIOV."""
_MOST_YIELDS = 20_000

_libc = ctypes.CDLL(None, use_errno=True)


class StageError(Exception):
    """Packets did not go where they must, so their cost says nothing."""


class Frontend(NamedTuple):
    """What is sent to."""

    address: str
    port: int


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_Vector)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("sent", ctypes.c_uint))


class Burst:
    """SYNs from one address, each with a source port of its own, as sendmmsg(2) takes them."""

    def __init__(self, source: str, frontends: Sequence[Frontend]) -> None:
        self.count = len(frontends)
        self._messages = (_Message * self.count)()
        self._kept: list[object] = []
        for number, (frontend, message) in enumerate(zip(frontends, self._messages, strict=True)):
            flow = Flow(source, 1024 + number, frontend.address, frontend.port, TCP)
            packet = ctypes.create_string_buffer(build(flow, number), 40)
            # sockaddr_in, ip(7); the port is of no use to a raw socket.
            name = ctypes.create_string_buffer(
                struct.pack("=HH", socket.AF_INET, 0) + socket.inet_aton(frontend.address), 16
            )
            vector = _Vector(ctypes.addressof(packet), 40)
            self._kept += [packet, name, vector]
            message.header.name, message.header.name_length = ctypes.addressof(name), 16
            message.header.vectors, message.header.count = ctypes.pointer(vector), 1

    def send(self, raw: socket.socket) -> None:
        """All of them.

        Raises:
            StageError: the kernel refused one.
        """
        sent = 0
        while sent < self.count:
            now = min(_AT_ONCE, self.count - sent)
            done = _libc.sendmmsg(raw.fileno(), ctypes.byref(self._messages[sent]), now, 0)
            if done < 0:
                raise StageError(f"sendmmsg: {os.strerror(ctypes.get_errno())}")
            sent += done


class Stage:
    """One node with its neighbours. What is loaded into ``node`` is what is measured."""

    def __init__(self, client: Namespace, node: Namespace, backend: Namespace) -> None:
        self.client, self.node, self.backend = client, node, backend
        _wire(client, node, backend)
        self._raw = {node: _raw_socket(node), client: _raw_socket(client)}
        with node.entered():
            # It stays that namespace's (fs/proc/proc_net.c): no entering each time.
            self._devices = open("/proc/thread-self/net/dev", encoding="ascii")  # noqa: SIM115
        with backend.entered():
            self._listener = socket.create_server(("0.0.0.0", BACKEND_PORT), backlog=128)

    def close(self) -> None:
        """Let go of sockets and files."""
        for raw in self._raw.values():
            raw.close()
        self._devices.close()
        self._listener.close()

    def to_sink(self) -> None:
        """What leaves the node is for no host on the wire, and is dropped at its end unread."""
        self.node.ip(f"route replace {BACKENDS} via {_NOBODY} dev backend onlink")

    def to_backends(self) -> None:
        """What leaves the node for a backend arrives there."""
        self.node.ip(f"route replace {BACKENDS} via {_GATEWAY} dev backend onlink")

    def burst(self, sender: Namespace, packets: Burst) -> float:
        """Send each packet of a burst as the first of its connection.

        Returns:
            Processor time in seconds for one packet.

        Raises:
            StageError: not every packet left the node, or they took no time that the kernel's
                clock shows.
        """
        wanted = self._left() + packets.count
        with _clock() as clock:
            packets.send(self._raw[sender])
            yields = 0
            while self._left() < wanted and yields < _MOST_YIELDS:
                os.sched_yield()
                yields += 1
        if (left := self._left()) != wanted:
            raise StageError(f"{wanted - left} of {packets.count} packets did not leave the node")
        return clock() / packets.count

    def connections(self, frontends: Sequence[Frontend]) -> float:
        """Connect to each frontend from the client, accept, and close both ends.

        Returns:
            Processor time in seconds for one connection, of client, node and backend together.

        Raises:
            StageError: they took no time that the kernel's clock shows.
        """
        abort = struct.pack("ii", 1, 0)
        with self.client.entered(), _clock() as clock:
            for frontend in frontends:
                with socket.socket() as ours:
                    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abort)
                    ours.connect(frontend)
                    self._listener.accept()[0].close()
        return clock() / len(frontends)

    def translated(self) -> int:
        """Connections whose destination is rewritten now."""
        listed = self.node.run("conntrack", "-L", "--dst-nat", "-p", "tcp")
        return sum(1 for line in listed.splitlines() if line.startswith("tcp"))

    def forget(self) -> None:
        """Forget all connections."""
        self.node.run("conntrack", "-F")

    def _left(self) -> int:
        self._devices.seek(0)
        for line in self._devices:
            name, _, counters = line.partition(":")
            if name.strip() == "backend":
                return int(counters.split()[9])
        raise StageError("the node has no device that leads to backends")


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage that is gone afterwards; the thread stays on one processor."""
    with namespace() as client, namespace() as node, namespace() as backend:
        made = Stage(client, node, backend)
        try:
            yield made
        finally:
            made.close()


def _wire(client: Namespace, node: Namespace, backend: Namespace) -> None:
    for inside in (client, node, backend):
        with inside.entered():
            for scope in ("all", "default"):
                write_sysctl(f"net/ipv4/conf/{scope}/rp_filter", "0")
                # Or neighbours and routers would be asked for in the middle of a burst.
                write_sysctl(f"net/ipv6/conf/{scope}/disable_ipv6", "1")
            write_sysctl("net/ipv4/ip_forward", "1")
    connect(client, node, "client")
    connect(node, backend, "backend")
    near, far, nobody = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
    node.ip(
        f"link set client address {near}",
        f"link set backend address {near}",
        f"address add {NODE_IP}/32 dev backend",
        f"neighbour add {_NOBODY} lladdr {nobody} dev backend nud permanent",
        f"route add default via {_NOBODY} dev backend onlink",
        f"route add {POD_IP}/32 dev client",
        f"neighbour add {POD_IP} lladdr {far} dev client nud permanent",
        f"neighbour add {_GATEWAY} lladdr {far} dev backend nud permanent",
    )
    client.ip(
        f"link set client address {far}",
        f"address add {POD_IP}/32 dev client",
        f"neighbour add {NODE_IP} lladdr {near} dev client nud permanent",
        f"route add default via {NODE_IP} dev client onlink",
    )
    backend.ip(
        f"link set backend address {far}",
        f"neighbour add {NODE_IP} lladdr {near} dev backend nud permanent",
        f"route add default via {NODE_IP} dev backend onlink",
        f"route add local {BACKENDS} dev lo",
    )


def _raw_socket(inside: Namespace) -> socket.socket:
    with inside.entered():
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """The processor time of this thread and its processor's ksoftirqd, in seconds."""
    spent = 0

    def read() -> float:
        return spent / 1e9

    with on_one_processor():
        (processor,) = os.sched_getaffinity(0)
        threads = _schedstat(processor)
        before = time.thread_time_ns() + _run_time(threads)
        yield read
        spent = time.thread_time_ns() + _run_time(threads) - before
    if spent <= 0:
        # That of User Mode Linux counts in steps of 10 ms.
        raise StageError("that few take no time by this kernel's clock: send more of them")


@cache
def _schedstat(processor: int) -> Path | None:
    for name in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if name.read_text().strip() == f"ksoftirqd/{processor}":
                return name.with_name("schedstat")
    return None


def _run_time(path: Path | None) -> int:
    return int(path.read_text().split()[0]) if path is not None else 0
