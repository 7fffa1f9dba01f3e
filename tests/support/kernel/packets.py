"""IP packets as bytes: first packets of connections built, whatever leaves a node read.

Each packet carries a token by which it is known again after address translation: the
payload of a UDP packet, the sequence number of a TCP SYN, the initiate tag of an SCTP INIT.
An ICMP error quotes enough of a packet to show its token.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from functools import cache

TCP, UDP, SCTP, ICMP, ICMPV6 = 6, 17, 132, 1, 58
FIN, SYN, RST, ACK = 1, 2, 4, 16
PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP}

_ICMP_UNREACHABLE = {ICMP: 3, ICMPV6: 1}
PORT_UNREACHABLE = {ICMP: 3, ICMPV6: 4}
"""Codes of "port unreachable" (RFC 792, RFC 4443)."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a packet comes from and where it goes; ``protocol`` is the IANA number."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    protocol: int

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.destination else 4

    def __str__(self) -> str:
        name = next((n for n, number in PROTOCOLS.items() if number == self.protocol), "ip")
        shown = [
            f"[{address}]:{port}" if self.version == 6 else f"{address}:{port}"
            for address, port in (
                (self.source, self.source_port),
                (self.destination, self.destination_port),
            )
        ]
        return f"{name} {shown[0]} -> {shown[1]}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet that was read. ``refusal`` is the ICMP code if it is an "unreachable" error;
    ``flow`` and ``token`` are then those of the packet that the error quotes.
    """

    flow: Flow
    token: int | None
    refusal: int | None = None


def build(flow: Flow, token: int, *, tcp_flags: int = SYN) -> bytes:
    """A whole IP packet with right checksums.

    TCP packets carry ``tcp_flags``, a SYN by default; SCTP packets are an INIT.
    """
    version = flow.version
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    source = socket.inet_pton(family, flow.source)
    destination = socket.inet_pton(family, flow.destination)
    ports = struct.pack("!HH", flow.source_port, flow.destination_port)
    if flow.protocol == TCP:
        acknowledged = 1 if tcp_flags & ACK else 0
        rest = struct.pack("!IIBBHHH", token, acknowledged, 5 << 4, tcp_flags, 64240, 0, 0)
        body = _with_checksum(ports + rest, 16, source, destination, TCP)
    elif flow.protocol == UDP:
        body = ports + struct.pack("!HHI", 12, 0, token)
        body = _with_checksum(body, 6, source, destination, UDP)
    elif flow.protocol == SCTP:
        init = struct.pack("!BBHIIHHI", 1, 0, 20, token, 65536, 1, 1, token)
        body = ports + struct.pack("!II", 0, 0) + init
        body = body[:8] + struct.pack("<I", _crc32c(body)) + body[12:]
    else:
        raise ValueError(f"protocol {flow.protocol} is none of TCP, UDP and SCTP")
    if version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(body), flow.protocol, 64)
        return head + source + destination + body
    size = 20 + len(body)
    head = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0x4000, 64, flow.protocol, 0)
    head += source + destination
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def read(packet: bytes) -> Seen | None:
    """Read an IP packet; None if it is not one of TCP, UDP, SCTP or an unreachable error."""
    if not packet:
        return None
    if packet[0] >> 4 == 4:
        if len(packet) < 20:
            return None
        length = (packet[0] & 15) * 4
        protocol, family, addresses = packet[9], socket.AF_INET, (packet[12:16], packet[16:20])
    else:
        if len(packet) < 40:
            return None
        length, protocol, family = 40, packet[6], socket.AF_INET6
        addresses = (packet[8:24], packet[24:40])
    body = packet[length:]
    if protocol in _ICMP_UNREACHABLE:
        quoted = read_refusal(protocol, body)
        return quoted
    source, destination = (socket.inet_ntop(family, address) for address in addresses)
    return read_transport(protocol, body, source, destination)


def read_refusal(protocol: int, body: bytes) -> Seen | None:
    """Read an ICMP or ICMPv6 message; None if it is no "destination unreachable"."""
    if len(body) < 8 or body[0] != _ICMP_UNREACHABLE[protocol]:
        return None
    quoted = read(body[8:])
    return None if quoted is None else Seen(quoted.flow, quoted.token, body[1])


def read_transport(protocol: int, body: bytes, source: str, destination: str) -> Seen | None:
    """Read what follows the IP header."""
    if protocol not in (TCP, UDP, SCTP) or len(body) < 8:
        return None
    source_port, destination_port = struct.unpack_from("!HH", body)
    offset = {TCP: 4, UDP: 8, SCTP: 16}[protocol]
    token = None
    if len(body) >= offset + 4:
        (token,) = struct.unpack_from("!I", body, offset)
    return Seen(Flow(source, source_port, destination, destination_port, protocol), token)


def _with_checksum(
    body: bytes, offset: int, source: bytes, destination: bytes, protocol: int
) -> bytes:
    """Fill in the checksum over the pseudo header (RFC 768, RFC 9293, RFC 8200)."""
    pseudo = source + destination + struct.pack("!II", len(body), protocol)
    value = _checksum(pseudo + body) or (0xFFFF if protocol == UDP else 0)
    return body[:offset] + struct.pack("!H", value) + body[offset + 2 :]


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@cache
def _crc32c_table() -> tuple[int, ...]:
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _crc32c(data: bytes) -> int:
    """CRC-32C, as SCTP has it (RFC 9260, appendix A)."""
    table = _crc32c_table()
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
