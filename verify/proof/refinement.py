"""Packets that the solver finds in a region but that belong to another one."""

from __future__ import annotations

from collections.abc import Collection

from svcc.verify.confirm.answers import Answer, Violated
from svcc.verify.confirm.replay import packet_of
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Schema

MAX_EXCLUSIONS = 2000


def outside(
    regions: Regions, region: Region, answers: Collection[Answer], schema: Schema
) -> str | None:
    """A constraint that leaves out the packet of an answer that is not of this region, or that
    nobody can send: from a wire with a virtual IP of the node as its source."""
    for answer in answers:
        if isinstance(answer, Violated) and not region.from_node:
            packet = packet_of(region, regions.family, answer)
            if packet.source in regions.virtual_ips:
                width = regions.family.bits
                own = (f"(= src (_ bv{value} {width}))" for value in sorted(regions.virtual_ips))
                return f"(assert (not (or false {' '.join(own)})))"
    if schema.fixed_destination and region.virtual_ip is None:
        return None
    for answer in answers:
        if not isinstance(answer, Violated):
            continue
        packet = packet_of(region, regions.family, answer)
        local = bool(answer.values.get("local", False))
        width = regions.family.bits
        same_address = f"(= dst (_ bv{packet.destination} {width}))"
        ports = (
            f"(= proto (_ bv{packet.protocol} 8))",
            f"(= dport (_ bv{packet.destination_port} 16))",
        )
        if regions.declared(packet.destination, packet.protocol, packet.destination_port):
            if region.frontend is not None:
                return f"(assert (not {same_address}))"
            return f"(assert (not (and {same_address} {' '.join(ports)})))"
        if local and regions.never_local(packet.destination):
            return f"(assert (not (and local {same_address})))"
        if (
            region.frontend is None
            and local
            and (packet.protocol, packet.destination_port) in regions.node_ports
        ):
            return f"(assert (not (and local {' '.join(ports)})))"
    return None
