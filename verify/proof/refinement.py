"""Packets that the solver finds in a region but that belong to another one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from svcc.verify.confirm.answers import Answer, Undecided, Violated
from svcc.verify.confirm.replay import packet_of
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Schema
from svcc.verify.smt.packet_variables import packet_variables
from svcc.verify.smt.term import (
    Term,
    conjunction,
    disjunction,
    has_value,
    negate,
)

MAX_EXCLUSIONS = 2000


def refine(
    regions: Regions,
    region: Region,
    schema: Schema,
    ask: Callable[[Sequence[Term]], dict[str, Answer]],
) -> dict[str, Answer]:
    """The answers about a region: as long as one is a packet of another region, that one is
    excluded and all are asked for again.

    ``ask`` is given what leaves out other regions' packets.
    """
    extra: list[Term] = []
    answers = ask(extra)
    while (excluded := _outside(regions, region, answers.values(), schema)) is not None:
        extra.append(excluded)
        if len(extra) > MAX_EXCLUSIONS:
            return dict.fromkeys(answers, Undecided("solver"))
        answers = ask(extra)
    return answers


def _outside(
    regions: Regions, region: Region, answers: Collection[Answer], schema: Schema
) -> Term | None:
    """A constraint that leaves out the packet of an answer that is not of this region, or that
    nobody can send: from a wire with a virtual IP of the node as its source."""
    width = regions.family.bits
    variables = packet_variables(width)
    for answer in answers:
        if isinstance(answer, Violated) and not region.from_node:
            packet = packet_of(region, regions.family, answer)
            if packet.source in regions.virtual_ips:
                own = [has_value(variables.src, value) for value in sorted(regions.virtual_ips)]
                return negate(disjunction(own))
    if schema.fixed_destination and region.virtual_ip is None:
        return None
    for answer in answers:
        if not isinstance(answer, Violated):
            continue
        packet = packet_of(region, regions.family, answer)
        local = bool(answer.values.get("local", False))
        same_address = has_value(variables.dst, packet.destination)
        same_port = conjunction(
            [
                has_value(variables.proto, packet.protocol),
                has_value(variables.dport, packet.destination_port),
            ]
        )
        if regions.declared(packet.destination, packet.protocol, packet.destination_port):
            if region.frontend is not None:
                return negate(same_address)
            return negate(conjunction([same_address, same_port]))
        if local and regions.never_local(packet.destination):
            return negate(conjunction([variables.local, same_address]))
        if (
            region.frontend is None
            and local
            and (packet.protocol, packet.destination_port) in regions.node_ports
        ):
            return negate(conjunction([variables.local, same_port]))
    return None
