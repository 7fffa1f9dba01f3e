"""The forwarding of one node: frontends, the backends behind them, and how they are reached.

Everything that depends on the objects and the node is decided here; a lowering only chooses
how the kernel is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network

PROTOCOL_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}


@dataclass(frozen=True, slots=True, order=True)
class Backend:
    """An endpoint's address (as an integer) and port."""

    address: int
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePort:
    """One port of a Service in one family, as this node forwards it.

    ``everywhere`` are the backends under Cluster policy, ``here`` those under Local policy.
    ``usable`` False: no backend anywhere, every frontend is refused.
    ``external_addresses`` and ``balancer_addresses`` have no address twice and not the
    cluster IP. ``node_port`` 0: none, or no address of this node answers it.
    ``allowed_sources`` None: no source ranges for this family. ``affinity_timeout`` in
    seconds, None without affinity.
    """

    family: Family
    label: str
    """``namespace/name:port``, as kube-proxy writes it."""
    protocol: int
    cluster_ip: int
    port: int
    external_addresses: tuple[int, ...]
    balancer_addresses: tuple[int, ...]
    node_port: int
    everywhere: tuple[Backend, ...]
    here: tuple[Backend, ...]
    usable: bool
    internal_local: bool
    external_local: bool
    affinity_timeout: int | None
    allowed_sources: tuple[Network, ...] | None
    scheduler: str | None = None
    """The IPVS scheduler that the Service asks for."""

    @property
    def internal(self) -> tuple[Backend, ...]:
        """The backends of the cluster IP."""
        return self.here if self.internal_local else self.everywhere

    @property
    def has_external(self) -> bool:
        """Whether there is any frontend besides the cluster IP."""
        return bool(self.external_addresses or self.balancer_addresses or self.node_port)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A health check node port (TCP) and the Service that it belongs to.

    ``balancer_addresses`` are the Service's: balancers probe these as well as the node's.
    """

    port: int
    label: str
    balancer_addresses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Everything one node forwards. Service ports are sorted; the order never depends on input."""

    settings: NodeSettings
    service_ports: tuple[ServicePort, ...]
    health_checks: tuple[tuple[Family, HealthCheck], ...]
    notes: tuple[str, ...]
    other_hosts: Mapping[tuple[Family, int], str] = field(default_factory=dict)
    """Addresses of other Nodes and of endpoints, with whose they are."""
    unallocated: tuple[Network, ...] = ()
    """Networks in which an address is nobody's unless it is a Service's cluster IP."""

    def of(self, family: Family) -> tuple[ServicePort, ...]:
        """The service ports of one family."""
        return tuple(port for port in self.service_ports if port.family is family)

    @property
    def loopback_node_ports(self) -> bool:
        """Whether a node port answers on 127.0.0.0/8, which needs route_localnet."""
        return self.settings.loopback_node_ports(Family.IPV4) and any(
            port.node_port for port in self.of(Family.IPV4)
        )
