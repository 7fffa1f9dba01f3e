"""A node in a network namespace, with wires on which any sender can be played.

The node has two wires: ``pod0`` to its own pods, ``ext0`` to everything else (pods of other
nodes too). Their far ends lie in a second namespace that has no addresses and is silent;
tests write and read raw frames there. Packets of the node's own processes come from raw
sockets, so that they pass OUTPUT as any other.

What becomes of a packet is known without waiting: after it a sentinel is sent that no
Service rule may touch. A processor handles packets in their order and the testbed sends from
one processor only, so when the sentinel has arrived, so has everything before it. On a busy
machine that may take long: sentinels are sent again and again, and what counts is how many.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, Self

from tests.support.kernel import packets
from tests.support.kernel.namespace import Namespace, namespace
from tests.support.kernel.packets import Flow, Seen

Wire = Literal["pod0", "ext0"]
Sender = Wire | Literal["node"]
Variant = Literal["legacy", "nft"]

ADDRESSES: Mapping[str, tuple[str, ...]] = {
    "lo": ("127.0.0.1", "::1"),
    "ext0": (
        "192.168.7.10",
        "192.168.7.11",
        "172.16.5.10",
        "198.51.100.99",
        "fd00:7::10",
        "fd00:16:5::10",
        "2001:db8:1::99",
    ),
    "pod0": ("10.244.1.1", "fd00:244:1::1"),
}
"""All of the node's own addresses. The first of each family on ``ext0`` are the primary ones."""
LOCAL = frozenset(itertools.chain.from_iterable(ADDRESSES.values()))

_ROUTES: Mapping[Wire, tuple[str, ...]] = {
    "pod0": ("10.244.1.0/24", "fd00:244:1::/64"),
    "ext0": ("0.0.0.0/0", "::/0"),
}
_NODE_MAC, _FAR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    # Senders are played on wires that are not the way back to them.
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/pod0/rp_filter": "0",
    "net/ipv4/conf/ext0/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/pod0/send_redirects": "0",
    "net/ipv4/conf/ext0/send_redirects": "0",
    # Every refusal must be seen: no limit per receiver, and of all kinds of message only some
    # that nobody sends count for the limit of the whole host.
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv4/icmp_ratemask": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv6/icmp/ratemask": "127",
}
_SENTINEL_PORT = 9
SENTINELS: Mapping[tuple[Sender, int], tuple[str, str]] = {
    ("pod0", 4): ("10.244.1.254", "203.0.113.254"),
    ("ext0", 4): ("203.0.113.254", "10.244.1.254"),
    ("node", 4): ("192.168.7.10", "203.0.113.254"),
    ("pod0", 6): ("fd00:244:1::fffe", "2001:db8:ff::fffe"),
    ("ext0", 6): ("2001:db8:ff::fffe", "fd00:244:1::fffe"),
    ("node", 6): ("fd00:7::10", "2001:db8:ff::fffe"),
}
_ROUND_MILLISECONDS = 100
_ROUNDS = 50
"""So many sentinels are sent, each when for so long nothing was heard: one of them arrives. The
kernel's queues and this process get the processor in turns, however many others want it."""
_ROUNDS_UNTIL_READY = 600
_IGNORE_OUTGOING = 23
_ALL_FRAMES = 3
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_IPV6_HEADER_INCLUDED = 36
_SOCKET_BUFFER = 1 << 20


class TestbedError(Exception):
    """The testbed does not work, or the rules break traffic that has nothing to do with them."""

    __test__ = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The packet left the node on ``wire`` with the addresses of ``flow``."""

    wire: Wire
    flow: Flow


@dataclass(frozen=True, slots=True)
class Delivered:
    """The packet reached the node's own sockets with the addresses of ``flow``."""

    flow: Flow


@dataclass(frozen=True, slots=True)
class Refused:
    """The sender was told "port unreachable"."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Nothing came of the packet."""


Outcome = Sent | Delivered | Refused | Lost


@dataclass(slots=True)
class Ear:
    """A socket that hears packets; ``wire`` None: those that are for the node itself."""

    socket: socket.socket
    wire: Wire | None
    version: int = 4
    protocol: int = 0

    def hear(self) -> Seen | None:
        """Read one packet; None if it is of no interest."""
        if self.wire is not None:
            frame = self.socket.recv(65536)
            return packets.read(frame[14:]) if len(frame) > 14 else None
        if self.version == 4:
            return packets.read(self.socket.recv(65536))
        data, ancillary, _, source = self.socket.recvmsg(65536, 256)
        if self.protocol == packets.ICMPV6:
            return packets.read_refusal(self.protocol, data)
        for level, kind, value in ancillary:
            if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                destination = socket.inet_ntop(socket.AF_INET6, value[:16])
                return packets.read_transport(self.protocol, data, source[0], destination)
        return None


class Testbed:
    """The node and its wires; use it as a context manager."""

    __test__ = False

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._tokens = itertools.count(0x10000000)
        self._ports = itertools.cycle(range(20000, 60000))
        self._ears: dict[int, Ear] = {}
        self._wires: dict[str, socket.socket] = {}
        self._own: dict[int, socket.socket] = {}
        self._natural: dict[tuple[int, str], str | None] = {}
        self._poll = select.poll()

    def __enter__(self) -> Self:
        try:
            self.node = self._stack.enter_context(namespace())
            far = self._stack.enter_context(namespace())
            self._lay_wires(far)
            self._addresses()
            with self.node.entered():
                for name, value in _SYSCTLS.items():
                    write_sysctl(name, value)
                self._open_node_sockets()
            with far.entered():
                for wire in _ROUTES:
                    self._open_wire(wire)
            self._wait_until_ready()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    # -- making it ---------------------------------------------------------------------

    def _lay_wires(self, far: Namespace) -> None:
        with far.entered():
            write_sysctl("net/ipv6/conf/default/disable_ipv6", "1")
        # Without address resolution whatever the node sends is on the wire at once.
        self.node.ip(
            *(f"link add {wire} type veth peer name {wire} netns {far.name}" for wire in _ROUTES),
            *(f"link set {wire} address {_NODE_MAC} arp off up" for wire in _ROUTES),
        )
        far.ip(*(f"link set {wire} address {_FAR_MAC} arp off up" for wire in _ROUTES))

    def _addresses(self) -> None:
        commands = [
            f"address add {address}/128 dev {device} nodad"
            if ":" in address
            else f"address add {address}/32 dev {device}"
            for device, addresses in ADDRESSES.items()
            for address in addresses
            if device != "lo"
        ]
        for wire, (ipv4, ipv6) in _ROUTES.items():
            commands += [
                f"route add {ipv4} dev {wire} scope global",
                f"route add {ipv6} dev {wire}",
            ]
        self.node.ip(*commands)

    def _open_node_sockets(self) -> None:
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            sender = self._socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            if version == 6:
                sender.setsockopt(socket.IPPROTO_IPV6, _IPV6_HEADER_INCLUDED, 1)
            self._own[version] = sender
            refusals = packets.ICMP if version == 4 else packets.ICMPV6
            for protocol in (*packets.PROTOCOLS.values(), refusals):
                ear = self._socket(family, socket.SOCK_RAW, protocol)
                if version == 6:
                    ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                self._listen(Ear(ear, None, version, protocol))

    def _open_wire(self, wire: Wire) -> None:
        opened = self._socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        opened.setsockopt(263, _IGNORE_OUTGOING, 1)
        opened.bind((wire, _ALL_FRAMES))
        self._wires[wire] = opened
        self._listen(Ear(opened, wire))

    def _socket(self, family: int, kind: int, protocol: int) -> socket.socket:
        opened = self._stack.enter_context(socket.socket(family, kind, protocol))
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER)
        return opened

    def _listen(self, ear: Ear) -> None:
        self._ears[ear.socket.fileno()] = ear
        self._poll.register(ear.socket, select.POLLIN)

    def _wait_until_ready(self) -> None:
        """IPv6 routes of a device work only some time after it went up."""
        for kind in SENTINELS:
            for left in reversed(range(_ROUNDS_UNTIL_READY)):
                try:
                    for _ in self._until_sentinels([kind], rounds=1):
                        pass
                    break
                except TestbedError:
                    if not left:
                        raise
                except OSError:
                    if not left:
                        raise
                    time.sleep(_ROUND_MILLISECONDS / 1000)

    # -- using it ----------------------------------------------------------------------

    def fresh_port(self) -> int:
        """A source port that was not used for a while."""
        return next(self._ports)

    def natural_source(self, destination: str) -> str | None:
        """The address from which the node's own processes send there; None without a route."""
        version = 6 if ":" in destination else 4
        if (version, destination) not in self._natural:
            with self.node.entered():
                family = socket.AF_INET6 if version == 6 else socket.AF_INET
                with socket.socket(family, socket.SOCK_DGRAM) as probe:
                    try:
                        probe.connect((destination, _SENTINEL_PORT))
                        source = str(probe.getsockname()[0])
                    except OSError:
                        source = None
            self._natural[version, destination] = source
        return self._natural[version, destination]

    def send(self, sender: Sender, flow: Flow, *, tcp_flags: int = packets.SYN) -> Outcome:
        """Send one packet and tell what became of it.

        Raises:
            TestbedError: the sentinel behind it got lost, or the packet came out twice.
        """
        token = next(self._tokens)
        with on_one_processor():
            self._drain()
            self._write(sender, flow, packets.build(flow, token, tcp_flags=tcp_flags))
            outcomes = {
                _outcome(ear, seen)
                for ear, seen in self._until_sentinels([(sender, flow.version)])
                if seen.token == token
            }
        # A socket's own "port unreachable", where nobody listens, is no refusal by rules.
        outcomes = {o for o in outcomes if not isinstance(o, Refused)} or outcomes
        if len(outcomes) > 1:
            raise TestbedError(f"{flow} came out more than once: {outcomes}")
        return outcomes.pop() if outcomes else Lost()

    def _write(self, sender: Sender, flow: Flow, packet: bytes) -> None:
        if sender != "node":
            head = bytes.fromhex((_NODE_MAC + _FAR_MAC).replace(":", ""))
            frame = head + struct.pack("!H", _ETHERTYPES[flow.version]) + packet
            self._wires[sender].send(frame)
            return
        try:
            # The port of a raw socket's address names a protocol for IPv6 (raw(7)): none.
            self._own[flow.version].sendto(packet, (flow.destination, 0))
        except PermissionError:
            # What the firewall answers for a packet that it drops or refuses in OUTPUT.
            return

    def _until_sentinels(
        self, kinds: Iterable[tuple[Sender, int]], *, rounds: int = _ROUNDS
    ) -> Iterator[tuple[Ear, Seen]]:
        """All that is heard until a sentinel of each kind, by sender and version, has arrived.

        Raises:
            TestbedError: none arrives.
        """
        missing = set(kinds)
        marks: dict[int, tuple[Sender, int]] = {}
        for _ in range(rounds):
            for kind in missing:
                source, destination = SENTINELS[kind]
                flow = Flow(source, self.fresh_port(), destination, _SENTINEL_PORT, packets.UDP)
                mark = next(self._tokens)
                marks[mark] = kind
                self._write(kind[0], flow, packets.build(flow, mark))
            while missing and (heard := list(self._listen_for(_ROUND_MILLISECONDS))):
                for ear, seen in heard:
                    if ear.wire is not None and seen.token in marks:
                        missing.discard(marks[seen.token])
                    else:
                        yield ear, seen
            if not missing:
                yield from self._listen_for(0)
                return
        raise TestbedError(f"sentinels from {sorted(missing)} did not arrive")

    def _listen_for(self, milliseconds: int) -> Iterator[tuple[Ear, Seen]]:
        for descriptor, _ in self._poll.poll(milliseconds):
            ear = self._ears[descriptor]
            while True:
                try:
                    seen = ear.hear()
                except BlockingIOError:
                    break
                if seen is not None:
                    yield ear, seen

    def _drain(self) -> None:
        for _ in self._listen_for(0):
            pass

    # -- rules -------------------------------------------------------------------------

    def reset(self, variant: Variant) -> None:
        """Take all rules, connections and affinities away."""
        tables = "".join(
            f"*{table}\n{''.join(f':{hook} ACCEPT [0:0]{chr(10)}' for hook in hooks)}COMMIT\n"
            for table, hooks in _HOOKS.items()
        )
        for version in (4, 6):
            self.restore(variant, version, tables)
        self.node.run("conntrack", "-F")
        with self.node.entered():
            write_sysctl("net/ipv4/conf/all/route_localnet", "0")

    def restore(self, variant: Variant, version: int, text: str, *extra: str) -> None:
        """Load a restore script of one IP version."""
        prefix = "iptables" if version == 4 else "ip6tables"
        self.node.run(f"{prefix}-{variant}-restore", *extra, text=text)

    def route_localnet(self, on: bool) -> None:
        """Let 127.0.0.0/8 be routed, as loopback node ports need it."""
        with self.node.entered():
            write_sysctl("net/ipv4/conf/all/route_localnet", "1" if on else "0")


_HOOKS = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}


def _outcome(ear: Ear, seen: Seen) -> Outcome:
    if seen.refusal is not None:
        unreachable = packets.PORT_UNREACHABLE.values()
        if seen.refusal not in unreachable:
            raise TestbedError(f"{seen.flow}: unreachable, code {seen.refusal}")
        return Refused()
    return Delivered(seen.flow) if ear.wire is None else Sent(ear.wire, seen.flow)


@contextmanager
def on_one_processor() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def write_sysctl(name: str, value: str) -> None:
    """Set a kernel variable of the namespace that this thread is in."""
    with open(f"/proc/sys/{name}", "w") as file:
        file.write(value)
