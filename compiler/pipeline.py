"""Objects and node settings to rule programs: the whole compiler in one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from svcc.compiler.lower.iptables import lowering as iptables_mode
from svcc.compiler.lower.ipvs import lowering as ipvs_mode
from svcc.compiler.lower.nftables import lowering as nftables_mode
from svcc.compiler.lower.userspace import lowering as userspace_mode
from svcc.compiler.model.objects import Objects
from svcc.compiler.resolve.forwarding import Forwarding
from svcc.compiler.resolve.resolver import resolve
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Program
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.nftables.program import Ruleset
from svcc.grammar.nginx.state import Proxy


@dataclass(frozen=True, slots=True)
class Compiled:
    """What was compiled for one node. ``notes`` are for the person who asked for it.

    ``ipvs`` None: not in ipvs mode. In nftables mode there are no ``programs`` but ``tables``,
    in userspace mode but ``proxy``.
    """

    settings: NodeSettings
    forwarding: Forwarding
    programs: dict[Family, Program]
    notes: tuple[str, ...]
    ipvs: Ipvs | None = None
    tables: Ruleset | None = None
    proxy: Proxy | None = None

    @property
    def route_localnet(self) -> bool:
        """Whether the rules need the sysctl net.ipv4.conf.all.route_localnet."""
        return self.proxy is None and self.forwarding.loopback_node_ports


def compile_objects(objects: Objects, settings: NodeSettings, *, comments: bool = True) -> Compiled:
    """Compile for the node of ``settings``; ``comments`` False leaves comments out."""
    forwarding = resolve(objects, settings)
    notes = (*forwarding.notes, *_of_unknown_pods(forwarding))
    match settings.mode:
        case "ipvs":
            programs, ipvs, more = ipvs_mode.lower(forwarding, comments=comments)
            return Compiled(settings, forwarding, programs, (*notes, *more), ipvs)
        case "nftables":
            tables = nftables_mode.lower(forwarding, comments=comments)
            return Compiled(settings, forwarding, {}, notes, tables=tables)
        case "userspace":
            proxy, more = userspace_mode.lower(forwarding, comments=comments)
            # Who is masqueraded is no question there: everybody is.
            return Compiled(settings, forwarding, {}, (*forwarding.notes, *more), proxy=proxy)
        case "iptables":
            programs = iptables_mode.lower(forwarding, comments=comments)
            return Compiled(settings, forwarding, programs, notes)
        case _:
            assert_never(settings.mode)


def _of_unknown_pods(forwarding: Forwarding) -> Iterator[str]:
    """What follows where nobody said who is a pod."""
    settings = forwarding.settings
    if settings.pods.in_interface:
        return
    families = [f for f in Family if forwarding.of(f) and f not in settings.pods.networks]
    follows = []
    if not settings.masquerade_all:
        follows.append(
            "nobody is masqueraded to a cluster IP, so that nodes and outside clients may get no "
            "answer from there"
        )
    if any(port.external_local for family in families for port in forwarding.of(family)):
        follows.append("pods are outside clients to Services with externalTrafficPolicy Local")
    if families and follows:
        labels = " and ".join(family.label for family in families)
        yield (
            f"no cluster CIDR of {labels} is known (--cluster-cidr, or clusterCIDR or "
            f"detectLocalMode in --config): {'; '.join(follows)}"
        )
