"""The nat table: who is sent where, and whose source is rewritten."""

from __future__ import annotations

from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.dispatch import Entry, dispatch_addresses, dispatch_ports
from svcc.compiler.lower.shared.hairpin import masquerade
from svcc.compiler.lower.shared.selection import jump_selected, jump_selected_loopback
from svcc.compiler.lower.shared.service import ServiceChains, address_entry, node_port_entry
from svcc.compiler.resolve.forwarding import Forwarding, ServicePort
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Jump, Rule

SERVICES, NODE_PORTS = "SVCC-SERVICES", "SVCC-NODEPORTS"


class NatTable:
    """Writes the nat table of one family."""

    def __init__(self, chains: Chains, forwarding: Forwarding) -> None:
        self._chains = chains
        self._family = chains.family
        self._settings = forwarding.settings
        self._forwarding = forwarding
        self._services = ServiceChains(chains, self._settings)
        self._addresses: list[Entry] = []
        self._node_ports: list[Entry] = []
        self._local_node_ports: list[tuple[int, int]] = []

    def write(self) -> Chains:
        """Fill the table."""
        chains = self._chains
        for name in (SERVICES, NODE_PORTS):
            chains.declare(name)
        for port in self._forwarding.of(self._family):
            if port.usable:
                self._service_port(port)
        gates = dispatch_addresses(chains, SERVICES, self._addresses, stem="SVCC-T")
        if self._node_ports:
            dispatch_ports(chains, NODE_PORTS, self._node_ports, stem="SVCC-NP")
            jump_selected(chains, SERVICES, NODE_PORTS, self._settings, loopback=False)
        chains.base(Rule(chain="PREROUTING", target=Jump(SERVICES)))
        chains.base(Rule(chain="OUTPUT", target=Jump(SERVICES)))
        if self._family is Family.IPV4 and self._forwarding.loopback_node_ports:
            jump_selected_loopback(chains, NODE_PORTS, self._settings)
        masquerade(chains, self._settings.masquerade_mark, gates, self._local_node_ports)
        return chains

    # -- service ports -----------------------------------------------------------------

    def _service_port(self, port: ServicePort) -> None:
        if port.internal:
            self._entry(port, port.cluster_ip, self._services.internal(port), "cluster IP")
        if not port.has_external:
            return
        external = self._services.external(port)
        for address in port.external_addresses:
            self._entry(port, address, external, "external IP")
        if port.balancer_addresses:
            guarded = self._services.guarded(port)
            for address in port.balancer_addresses:
                self._entry(port, address, guarded, "loadbalancer IP")
        if port.node_port:
            self._node_ports.append(node_port_entry(port, external))
            if port.external_local:
                self._local_node_ports.append((port.protocol, port.node_port))

    def _entry(self, port: ServicePort, address: int, chain: str, kind: str) -> None:
        self._addresses.append(address_entry(port, address, chain, kind))
