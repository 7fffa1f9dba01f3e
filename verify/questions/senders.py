"""Packets that the usual senders send to a destination."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import LOOPBACK, Address, Family
from svcc.verify.questions.targets import QuestionError
from svcc.verify.questions.words import KINDS, Question, SenderKind
from svcc.verify.simulator.packet import DOCUMENTATION_SOURCE, EPHEMERAL_PORT, Packet
from svcc.verify.spec.expectation import Frontend


@dataclass(frozen=True, slots=True)
class Destination:
    """Where packets are sent; ``address`` None: to the node's own first address."""

    family: Family
    address: int | None
    port: int
    protocol: int


def destination_of(frontend: Frontend) -> Destination:
    """Where clients of a frontend send packets."""
    return Destination(frontend.family, frontend.address, frontend.port, frontend.protocol)


def usual_packets(settings: NodeSettings, to: Destination) -> Iterator[tuple[SenderKind, Packet]]:
    """A packet from outside, from a pod and from the node itself, as far as each can be told."""
    for kind in KINDS:
        try:
            yield kind, packet_from(settings, kind, to)
        except QuestionError:
            continue


def packet_from(settings: NodeSettings, sender: SenderKind | Address, to: Destination) -> Packet:
    """A packet of one sender, with a documentation address from outside.

    Raises:
        QuestionError: there is no such sender of this family.
    """
    family = to.family
    # Without an address of the node, one that is surely its own.
    own = settings.primary_address(family) or Address(family, LOOPBACK[family].value | 1)
    packet = Packet(
        family,
        False,
        DOCUMENTATION_SOURCE[family],
        EPHEMERAL_PORT,
        own.value if to.address is None else to.address,
        to.port,
        to.protocol,
        "eth0",
    )
    match sender:
        case "outside":
            return packet
        case "node":
            return replace(packet, source=own.value, from_node=True, in_interface="")
        case "pod":
            return _from_pod(settings, packet)
        case Address():
            if sender.family is not family:
                raise QuestionError("source and destination are of different families")
            return replace(packet, source=sender.value)


def _from_pod(settings: NodeSettings, packet: Packet) -> Packet:
    pods = settings.pods
    if packet.family in pods.networks:
        return replace(packet, source=pods.networks[packet.family].value + 9)
    if pods.in_interface is not None:
        name = pods.in_interface
        return replace(packet, in_interface=f"{name[:-1]}0" if name.endswith("+") else name)
    raise QuestionError(
        f"no {packet.family.label} pod network is known, so no pod can be told; give "
        "--cluster-cidr, or the address of the pod: from 10.1.2.3"
    )


def asked_packet(settings: NodeSettings, question: Question, to: Destination) -> Packet:
    """The packet of a question that says who sends it.

    Raises:
        QuestionError: there is no such sender of this family.
    """
    assert question.sender is not None
    if question.sender == "node" and settings.primary_address(to.family) is None:
        raise QuestionError(f"the node has no {to.family.label} address; give --node-ip")
    packet = packet_from(settings, question.sender, to)
    if question.in_interface is not None:
        packet = replace(packet, in_interface=question.in_interface)
    return replace(packet, source_port=question.source_port, mark=question.mark)
