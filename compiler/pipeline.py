"""Objects and node settings to rule programs: the whole compiler in one call."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.compiler.ir import Forwarding
from svcc.compiler.lower.iptables import lower
from svcc.compiler.objects import Objects
from svcc.compiler.resolve import resolve
from svcc.compiler.settings import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.program import Program


@dataclass(frozen=True, slots=True)
class Compiled:
    """What was compiled for one node. ``notes`` are for the person who asked for it."""

    settings: NodeSettings
    forwarding: Forwarding
    programs: dict[Family, Program]
    notes: tuple[str, ...]

    @property
    def route_localnet(self) -> bool:
        """Whether the rules need the sysctl net.ipv4.conf.all.route_localnet."""
        return self.forwarding.loopback_node_ports


def compile_objects(objects: Objects, settings: NodeSettings, *, comments: bool = True) -> Compiled:
    """Compile for the node of ``settings``; ``comments`` False leaves comments out."""
    forwarding = resolve(objects, settings)
    return Compiled(settings, forwarding, lower(forwarding, comments=comments), forwarding.notes)
