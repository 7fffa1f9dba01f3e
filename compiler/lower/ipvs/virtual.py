"""Lowering to IPVS: virtual servers, sets and addresses; the rules beside them are in lowering.py.

``docs/ipvs.md`` gives the layout and the reasons. Source for what kube-proxy's ipvs mode does:
pkg/proxy/ipvs/proxier.go; for the kernel: net/netfilter/ipvs/ip_vs_core.c.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from svcc.compiler.resolve.forwarding import (
    PROTOCOL_NUMBERS,
    Backend,
    Forwarding,
    HealthCheck,
    ServicePort,
)
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import LOOPBACK, Family, Network
from svcc.grammar.ipvs.ipset import DEFAULT_MAX_ENTRIES, PortOf, Set, Sets, host
from svcc.grammar.ipvs.ipvsadm import RealKey, RealServer, Scheduling, VirtualKey, VirtualServer
from svcc.grammar.ipvs.state import Ipvs

CLUSTER_IPS = "CLUSTER-IP"
"""Frontends whose traffic is masqueraded unless a pod sent it."""
EXTERNAL = "EXTERNAL"
"""Frontends whose traffic is always masqueraded."""
EXTERNAL_LOCAL = "EXTERNAL-LOCAL"
"""Frontends under Local policy: only what the node itself sends is masqueraded."""
NOT_FROM_OUTSIDE = "NOT-OUTSIDE"
"""Frontends under Local policy without an endpoint here: dropped unless from pod or node."""
REFUSED = "REFUSED"
DROPPED = "DROPPED"
GUARDED = "GUARDED"
"""Frontends with source ranges; :data:`ALLOWED` has who may pass."""
ALLOWED = "ALLOWED"
FRONTENDS = "FRONTENDS"
"""Every declared address and port."""
HEALTH_CHECKS = "HEALTH-CHECK"
"""Balancer addresses with the health check node port of their Service."""
VIRTUAL_IPS = "VIP"
"""Addresses of the dummy device."""
MARKS = "FWMARK"
"""Frontends with a virtual server of their own for pods and the node: their firewall marks."""
SERVED = "SERVED"
"""Node ports that IPVS serves."""

MARK_TAGS = (0x53000000, 0x2C000000)
"""What the upper eight bits of our firewall marks are: one that leaves the masquerade bit out."""
MARK_TAG_MASK = 0xFF000000

TCP = PROTOCOL_NUMBERS["TCP"]
_MASQUERADING = RealServer(1, "masquerading")


def mark_tag(settings: NodeSettings) -> int:
    """The tag of this node's firewall marks."""
    return next(tag for tag in MARK_TAGS if not tag & settings.masquerade_mark)


def set_name(family: Family, purpose: str) -> str:
    """``SVCC-PURPOSE``, ``SVCC-6-PURPOSE``, as kube-proxy tells families apart."""
    return f"SVCC-{purpose}" if family is Family.IPV4 else f"SVCC-6-{purpose}"


def node_port_set(family: Family, purpose: str) -> str:
    """``SVCC-NP-PURPOSE``: the node ports of a purpose.

    It is of type hash:net,port, and every port is in it with the two halves of all addresses:
    sets have no shorter prefix, and bitmap:port knows TCP and UDP only
    (net/netfilter/ipset/ip_set_getport.c, ip_set_get_ip_port).
    """
    return set_name(family, f"NP-{purpose}")


def everywhere(family: Family) -> tuple[Network, Network]:
    """The two halves of all addresses."""
    return Network(family, 0, 1), Network(family, 1 << (family.bits - 1), 1)


@dataclass(slots=True, kw_only=True)
class Virtual:
    """One family's part of the lowering.

    ``by_rules`` are service ports whose pods and node processes nat rules serve: with
    affinity, since a persistent firewall-mark virtual server does not translate ports
    (ip_vs_core.c, ip_vs_sched_persist). ``node_ports_by_rules`` are those that no virtual
    server can serve at all. ``node_port_address`` is where the others' virtual servers are.
    ``addresses_by_rules`` are other hosts' addresses: on the dummy device they would cut these off.
    """

    ipvs: Ipvs
    family: Family
    settings: NodeSettings
    node_port_address: int | None
    by_rules: list[ServicePort] = field(default_factory=list)
    node_ports_by_rules: list[ServicePort] = field(default_factory=list)
    addresses_by_rules: list[tuple[ServicePort, int]] = field(default_factory=list)

    def has(self, purpose: str) -> bool:
        """Whether the set of a purpose exists."""
        return set_name(self.family, purpose) in self.ipvs.sets

    def translated_again(self, port: ServicePort) -> bool:
        """Whether what nat rules send to a backend, a virtual server would send on."""
        return any(
            VirtualKey(self.family, port.protocol, backend.address, backend.port)
            in self.ipvs.servers
            for backend in (*port.everywhere, *port.here)
        )

    def has_node_ports(self, purpose: str) -> bool:
        """Whether the set of node ports of a purpose exists."""
        return node_port_set(self.family, purpose) in self.ipvs.sets


def lower_virtual(forwarding: Forwarding, family: Family, ipvs: Ipvs) -> Virtual:
    """Add one family's virtual servers, sets and addresses to ``ipvs``."""
    settings = forwarding.settings
    address = _node_port_address(settings, family)
    result = Virtual(ipvs=ipvs, family=family, settings=settings, node_port_address=address)
    ports = forwarding.of(family)
    hosts = frozenset(value for of, value in forwarding.other_hosts if of is family)
    writer = _Writer(result, _taken(ports), hosts)
    for port in ports:
        writer.service_port(port)
    for of, check in forwarding.health_checks:
        if of is family:
            writer.health_check(check)
    writer.finish()
    return result


def _taken(ports: tuple[ServicePort, ...]) -> frozenset[tuple[int, int, int]]:
    return frozenset(
        (port.protocol, address, port.port)
        for port in ports
        for address in (*port.external_addresses, *port.balancer_addresses)
    )


def _node_port_address(settings: NodeSettings, family: Family) -> int | None:
    """The first of the node's addresses on which node ports answer."""
    networks = settings.node_port_networks
    for address in settings.addresses:
        if LOOPBACK[family].holds(address):
            # Nothing that comes from a wire can be sent there (RFC 1122, 3.2.1.3).
            continue
        if address.family is family and (
            networks is None or any(network.holds(address) for network in networks)
        ):
            return address.value
    return None


class _Writer:
    def __init__(
        self,
        result: Virtual,
        taken: frozenset[tuple[int, int, int]],
        other_hosts: frozenset[int],
    ) -> None:
        self._result = result
        self._family = result.family
        self._settings = result.settings
        self._servers = result.ipvs.servers
        self._sets: Sets = result.ipvs.sets
        self._taken = taken
        self._other_hosts = other_hosts
        self._own = {a.value for a in result.settings.addresses if a.family is result.family}
        self._virtual_ips: set[int] = set()
        self._marks: set[int] = set()

    def finish(self) -> None:
        self._result.ipvs.addresses[self._family] = tuple(sorted(self._virtual_ips))
        for item in self._sets.values():
            while len(item.entries) > item.max_entries:
                item.max_entries *= 2

    # -- sets --------------------------------------------------------------------------

    def _set(self, purpose: str, kind: str, *, marks: bool = False) -> Set:
        name = set_name(self._family, purpose)
        if name not in self._sets:
            self._sets[name] = Set(
                name=name,
                kind=kind,
                family=self._family,
                entries={},
                max_entries=DEFAULT_MAX_ENTRIES,
                maps_marks=marks,
            )
        return self._sets[name]

    def _put(self, purpose: str, port: ServicePort, address: int | None) -> None:
        """Enter a frontend; ``address`` None: its node port."""
        if address is not None:
            parts = (host(self._family, address), PortOf(port.protocol, port.port))
            self._set(purpose, "hash:ip,port").add(*parts)
        else:
            for part in everywhere(self._family):
                self._port_set(purpose).add(part, PortOf(port.protocol, port.node_port))

    def _port_set(self, purpose: str, *, marks: bool = False) -> Set:
        return self._set(f"NP-{purpose}", "hash:net,port", marks=marks)

    def health_check(self, check: HealthCheck) -> None:
        """Let balancers probe their own addresses (kubernetes#117621)."""
        for address in check.balancer_addresses:
            is_frontend = (TCP, address, check.port) in self._taken
            if address in self._virtual_ips and not is_frontend:
                parts = (host(self._family, address), PortOf(TCP, check.port))
                self._set(HEALTH_CHECKS, "hash:ip,port").add(*parts)

    # -- service ports -----------------------------------------------------------------

    def service_port(self, port: ServicePort) -> None:
        self._declare(port, port.cluster_ip)
        if not port.usable:
            self._put(REFUSED, port, port.cluster_ip)
        elif not port.internal:
            self._put(DROPPED, port, port.cluster_ip)
        else:
            self._put(CLUSTER_IPS, port, port.cluster_ip)
            self._serve(port, port.cluster_ip, port.port, port.internal)
        external = [*port.external_addresses, *port.balancer_addresses]
        for address in external:
            self._declare(port, address)
        frontends: list[int | None] = [*external]
        if port.node_port:
            if port.usable and self._cannot_serve_node_port(port):
                self._result.node_ports_by_rules.append(port)
                if port.external_local and not port.here:
                    self._put(NOT_FROM_OUTSIDE, port, None)
            else:
                frontends.append(None)
        if not port.usable:
            for frontend in frontends:
                self._put(REFUSED, port, frontend)
            return
        if port.allowed_sources is not None:
            for address in port.balancer_addresses:
                self._guard(port, address)
        self._external(port, frontends)

    def _cannot_serve_node_port(self, port: ServicePort) -> bool:
        address = self._result.node_port_address
        return address is None or (port.protocol, address, port.node_port) in self._taken

    def _external(self, port: ServicePort, frontends: list[int | None]) -> None:
        if not frontends:
            return
        for address in (*port.external_addresses, *port.balancer_addresses):
            if address in self._other_hosts:
                self._result.addresses_by_rules.append((port, address))
                if port.external_local and not port.here:
                    self._put(NOT_FROM_OUTSIDE, port, address)
        frontends = [frontend for frontend in frontends if frontend not in self._other_hosts]
        backends = port.everywhere
        if port.external_local:
            split = bool(port.here) and set(port.here) != set(port.everywhere)
            backends = port.here or port.everywhere
            if split and port.affinity_timeout is not None:
                self._result.by_rules.append(port)
            elif split:
                self._marked(port, frontends)
        for frontend in frontends:
            self._put(EXTERNAL_LOCAL if port.external_local else EXTERNAL, port, frontend)
            if port.external_local and not port.here:
                self._put(NOT_FROM_OUTSIDE, port, frontend)
            if frontend is not None:
                self._serve(port, frontend, port.port, backends)
            else:
                own = self._result.node_port_address
                assert own is not None
                self._put(SERVED, port, None)
                self._serve(port, own, port.node_port, backends)

    def _marked(self, port: ServicePort, frontends: list[int | None]) -> None:
        """A virtual server for pods and the node, who reach all endpoints under Local policy."""
        mark = self._mark(port)
        key = VirtualKey(self._family, 0, mark, 0)
        self._servers[key] = self._server(port, port.everywhere)
        full = (mark, 0xFFFFFFFF)
        for frontend in frontends:
            if frontend is not None:
                parts = (host(self._family, frontend), PortOf(port.protocol, port.port))
                self._set(MARKS, "hash:ip,port", marks=True).add(*parts, mark=full)
            else:
                node_port = PortOf(port.protocol, port.node_port)
                for part in everywhere(self._family):
                    self._port_set(MARKS, marks=True).add(part, node_port, mark=full)

    def _mark(self, port: ServicePort) -> int:
        """A mark of its own: by its name, so that other Services' coming and going keeps it."""
        identity = f"{port.label}/{port.protocol}/{port.family.label}"
        space = ~(MARK_TAG_MASK | self._settings.masquerade_mark) & 0xFFFFFFFF
        number = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big")
        while True:
            mark = mark_tag(self._settings) | (number & space)
            if mark not in self._marks:
                self._marks.add(mark)
                return mark
            number += 1

    def _serve(
        self, port: ServicePort, address: int, number: int, backends: tuple[Backend, ...]
    ) -> None:
        key = VirtualKey(self._family, port.protocol, address, number)
        self._servers[key] = self._server(port, backends)

    def _server(self, port: ServicePort, backends: tuple[Backend, ...]) -> VirtualServer:
        scheduling = Scheduling(
            scheduler=port.scheduler or self._settings.ipvs.scheduler,
            persistence=port.affinity_timeout,
        )
        servers = {RealKey(b.address, b.port): _MASQUERADING for b in backends}
        return VirtualServer(scheduling, servers)

    def _declare(self, port: ServicePort, address: int) -> None:
        parts = (host(self._family, address), PortOf(port.protocol, port.port))
        self._set(FRONTENDS, "hash:ip,port").add(*parts)
        # An external IP that is the node's own keeps its interface, and the node's own sockets.
        if address in self._own or address in self._other_hosts:
            return
        if address not in self._virtual_ips:
            self._virtual_ips.add(address)
            self._set(VIRTUAL_IPS, "hash:ip").add(host(self._family, address))

    def _guard(self, port: ServicePort, address: int) -> None:
        sources = port.allowed_sources or ()
        if any(not network.prefix_length for network in sources):
            return
        parts = (host(self._family, address), PortOf(port.protocol, port.port))
        self._set(GUARDED, "hash:ip,port").add(*parts)
        for network in sources:
            self._set(ALLOWED, "hash:ip,port,net").add(*parts, network)
