"""What the compiler knows of the node that it compiles for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from svcc.grammar.address import LOOPBACK, Address, Family, Network

Mode = Literal["iptables", "ipvs", "nftables", "userspace"]


@dataclass(frozen=True, slots=True)
class PodDetection:
    """How a pod's traffic is told from the rest (``detectLocalMode``).

    Exactly one way: by source network of each family (ClusterCIDR and NodeCIDR both end
    here), or by the interface that it comes in on. Both empty: pods cannot be told, and
    nothing is masqueraded on their account.
    """

    networks: dict[Family, Network] = field(default_factory=dict)
    in_interface: str | None = None
    """As ``-i`` takes it: ``cbr0``, or ``veth+`` for a prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsSettings:
    """Settings of ipvs mode only.

    ``exclude_networks``: virtual servers inside them are somebody else's and are left alone.
    Timeouts are seconds after which an idle connection is forgotten, 0 to leave the kernel's.
    """

    scheduler: str = "rr"
    strict_arp: bool = False
    exclude_networks: tuple[Network, ...] = ()
    tcp_timeout: int = 0
    tcp_fin_timeout: int = 0
    udp_timeout: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """One node's settings after flags, environment, file and Node object were merged.

    ``node_port_networks`` None: node ports on every local address; else on the local
    addresses inside these networks (empty tuple: on none). ``primary`` has become the
    node's own first address of each family as a host network.
    ``known_node`` False: no Node object, so the node runs none of the endpoints.
    """

    node_name: str
    known_node: bool = True
    addresses: tuple[Address, ...] = ()
    """The node's addresses, its primary one of each family first."""
    zone: str | None = None
    mode: Mode = "iptables"
    pods: PodDetection = PodDetection()
    service_networks: tuple[Network, ...] = ()
    """Where cluster IPs are taken from, as far as that is known; no pod or node is in them."""
    masquerade_all: bool = False
    masquerade_bit: int = 14
    node_port_networks: tuple[Network, ...] | None = None
    localhost_node_ports: bool = True
    tcp_be_liberal: bool = False
    ipvs: IpvsSettings = IpvsSettings()
    external_ips: bool = True
    """Whether ``spec.externalIPs`` are frontends (feature gate AllowServiceExternalIPs)."""

    def primary_address(self, family: Family) -> Address | None:
        """The node's own address of a family, None if it has none."""
        return next((a for a in self.addresses if a.family == family), None)

    @property
    def masquerade_mark(self) -> int:
        """The packet mark that asks for masquerading, one bit."""
        return 1 << self.masquerade_bit

    def loopback_node_ports(self, family: Family) -> bool:
        """Whether node ports answer on loopback (IPv4 only, as in kube-proxy)."""
        if family is not Family.IPV4 or not self.localhost_node_ports:
            return False
        if self.node_port_networks is None:
            return True
        loopback = LOOPBACK[family]
        return any(network.overlaps(loopback) for network in self.node_port_networks)
