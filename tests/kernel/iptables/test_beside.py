"""What comes with the service rules: filter rules, replies, and real sockets of the node."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from svcc.cli import main
from tests.support.clusters.cases import read_case
from tests.support.kernel import packets
from tests.support.kernel.packets import Flow
from tests.support.kernel.testbed import Delivered, Lost, Sent, Testbed, Variant

pytestmark = pytest.mark.kernel

HANGS = 300
"""Seconds after which what must come counts as lost."""


def apply(
    testbed: Testbed, variant: Variant, folder: Path, name: str, **configuration: Any
) -> None:
    """Load the objects of a behaviour case."""
    case = read_case(name)
    objects, config = case.write(folder)
    config.write_text(yaml.safe_dump({**case.configuration, **configuration}))
    arguments = ["-f", str(objects), "--config", str(config), "--iptables", variant]
    with testbed.node.entered():
        assert main(["apply", *arguments, "--no-verify"]) == 0


def close(testbed: Testbed, variant: Variant, hook: str) -> None:
    """Let the hook's policy drop all but the testbed's own traffic."""
    tool = f"iptables-{variant}"
    testbed.node.run(tool, "-P", hook, "DROP")
    testbed.node.run(tool, "-A", hook, "-p", "udp", "--dport", "9", "-j", "ACCEPT")


def tcp(testbed: Testbed, source: str, destination: str, port: int) -> Flow:
    """A new TCP connection."""
    return Flow(source, testbed.fresh_port(), destination, port, packets.TCP)


def test_health_check_port_is_open(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    apply(testbed, variant, tmp_path, "health-check-node-port")
    close(testbed, variant, "INPUT")
    check = tcp(testbed, "203.0.113.7", "192.168.7.10", 32000)
    assert testbed.send("ext0", check) == Delivered(check)
    other = tcp(testbed, "203.0.113.7", "192.168.7.10", 32001)
    assert testbed.send("ext0", other) == Lost()


def test_marked_packets_and_replies_are_forwarded(
    testbed: Testbed, variant: Variant, tmp_path: Path
) -> None:
    apply(testbed, variant, tmp_path, "load-balancer-without-node-ports")
    close(testbed, variant, "FORWARD")
    # Masqueraded, hence marked.
    marked = tcp(testbed, "203.0.113.7", "198.51.100.20", 80)
    sent = testbed.send("ext0", marked)
    assert isinstance(sent, Sent)
    assert sent.flow.destination == "10.244.1.5"
    unmarked = tcp(testbed, "10.244.2.77", "10.96.0.12", 80)
    assert testbed.send("ext0", unmarked) == Lost()
    answer = Flow(
        sent.flow.destination,
        sent.flow.destination_port,
        sent.flow.source,
        sent.flow.source_port,
        packets.TCP,
    )
    turned = Flow(
        marked.destination,
        marked.destination_port,
        marked.source,
        marked.source_port,
        packets.TCP,
    )
    flags = packets.SYN | packets.ACK
    assert testbed.send("pod0", answer, tcp_flags=flags) == Sent("ext0", turned)


@pytest.mark.parametrize("liberal", [False, True])
def test_invalid_packets(testbed: Testbed, variant: Variant, tmp_path: Path, liberal: bool) -> None:
    apply(testbed, variant, tmp_path, "cluster-ip", conntrack={"tcpBeLiberal": liberal})
    stray = tcp(testbed, "203.0.113.7", "10.244.1.5", 8080)
    outcome = testbed.send("ext0", stray, tcp_flags=packets.SYN | packets.ACK)
    assert outcome == (Sent("pod0", stray) if liberal else Lost())


@pytest.mark.parametrize(
    ("address", "port"),
    [("10.96.0.18", 80), ("198.51.100.20", 80), ("192.168.7.10", 30080), ("127.0.0.1", 30080)],
)
def test_sockets_are_refused(
    testbed: Testbed, variant: Variant, tmp_path: Path, address: str, port: int
) -> None:
    apply(testbed, variant, tmp_path, "no-endpoints")
    with testbed.node.entered(), socket.socket() as listener, socket.socket() as client:
        # Even where somebody listens at the very address.
        if address in ("192.168.7.10", "127.0.0.1"):
            listener.bind((address, port))
            listener.listen()
        client.settimeout(HANGS)
        with pytest.raises(ConnectionRefusedError):
            client.connect((address, port))


def test_udp_sockets_are_refused(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    apply(testbed, variant, tmp_path, "no-endpoints")
    with (
        testbed.node.entered(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(HANGS)
        client.connect(("10.96.0.18", 53))
        # What sendto(2) says of a packet that the firewall refuses.
        with suppress(PermissionError):
            client.send(b"question")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


def test_a_whole_conversation(testbed: Testbed, variant: Variant, tmp_path: Path) -> None:
    """A process of the node talks to a backend on the node, through a frontend."""
    apply(testbed, variant, tmp_path, "backend-that-is-a-node-port")
    with testbed.node.entered(), socket.socket() as listener, socket.socket() as client:
        listener.bind(("192.168.7.10", 30080))
        listener.listen()
        listener.settimeout(HANGS)
        client.settimeout(HANGS)
        client.connect(("10.96.0.39", 80))
        server, _ = listener.accept()
        with server:
            client.sendall(b"question")
            assert server.recv(100) == b"question"
            server.sendall(b"answer")
            assert client.recv(100) == b"answer"
