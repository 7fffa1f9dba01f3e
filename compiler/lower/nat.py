"""The nat table: who is sent where, and whose source is rewritten."""

from __future__ import annotations

from svcc.compiler.ir import Forwarding, ServicePort
from svcc.compiler.lower.balance import Choice
from svcc.compiler.lower.chains import TRANSPORT_NAMES, Chains
from svcc.compiler.lower.dispatch import Entry, dispatch_addresses, dispatch_ports
from svcc.compiler.lower.hairpin import masquerade
from svcc.compiler.lower.names import digest
from svcc.compiler.lower.selection import jump_selected, selected_loopback
from svcc.grammar.address import Family
from svcc.grammar.program import (
    AddressMatch,
    AddrtypeMatch,
    Goto,
    InterfaceMatch,
    Jump,
    Rule,
    SetMark,
)

SERVICES, NODE_PORTS = "SVCC-SERVICES", "SVCC-NODEPORTS"

_FROM_NODE = AddrtypeMatch(source_type="LOCAL")


class NatTable:
    """Writes the nat table of one family."""

    def __init__(self, chains: Chains, forwarding: Forwarding) -> None:
        self._chains = chains
        self._family = chains.family
        self._settings = forwarding.settings
        self._forwarding = forwarding
        mark = self._settings.masquerade_mark
        self._mark = SetMark(mark, mark)
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
        chains.base(Rule("PREROUTING", target=Jump(SERVICES)))
        chains.base(Rule("OUTPUT", target=Jump(SERVICES)))
        self._loopback()
        masquerade(chains, self._settings.masquerade_mark, gates, self._local_node_ports)
        return chains

    def _loopback(self) -> None:
        """Only the node's own processes reach node ports on loopback."""
        if self._family is not Family.IPV4 or not self._forwarding.loopback_node_ports:
            return
        for network in selected_loopback(self._settings):
            destination = AddressMatch(network.value, network.mask)
            self._chains.base(Rule("OUTPUT", destination=destination, target=Jump(NODE_PORTS)))

    # -- service ports -----------------------------------------------------------------

    def _service_port(self, port: ServicePort) -> None:
        identity = f"{port.label}/{TRANSPORT_NAMES[port.protocol]}/{port.family.label}"
        name = digest(identity)
        choice = Choice(self._chains, port.protocol, identity, port.affinity_timeout)
        everywhere, here = f"SVCC-SVC-{name}", f"SVCC-SVL-{name}"
        internal = here if port.internal_local else everywhere
        needs_everywhere = port.has_external or not port.internal_local
        needs_here = (port.external_local and port.has_external) or port.internal_local
        if port.internal:
            self._masquerade_internal(internal, port)
            self._entry(port, port.cluster_ip, internal, "cluster IP")
        if needs_everywhere:
            choice.write(everywhere, port.everywhere)
        if needs_here and port.here:
            choice.write(here, port.here)
        if port.has_external:
            self._external(port, name, everywhere, here)

    def _entry(self, port: ServicePort, address: int, chain: str, kind: str) -> None:
        comment = f"{port.label} {kind}"
        self._addresses.append(Entry(address, port.protocol, port.port, Goto(chain), comment))

    def _masquerade_internal(self, chain: str, port: ServicePort) -> None:
        """Mark what comes to the cluster IP from elsewhere than a pod."""
        settings, chains = self._settings, self._chains
        # External traffic may enter the same chain, and has been judged by then.
        destination = chains.host(port.cluster_ip) if port.has_external else None
        network = settings.pods.networks.get(self._family)
        if settings.masquerade_all:
            chains.add(chain, self._mark, destination=destination)
        elif settings.pods.in_interface:
            interface = InterfaceMatch(settings.pods.in_interface, negated=True)
            rule = Rule(chain, destination=destination, in_interface=interface, target=self._mark)
            chains.append(rule)
        elif network is not None:
            source = AddressMatch(network.value, network.mask, negated=True)
            chains.add(chain, self._mark, source=source, destination=destination)

    def _external(self, port: ServicePort, name: str, everywhere: str, here: str) -> None:
        chains = self._chains
        external = f"SVCC-EXT-{name}"
        chains.declare(external)
        if port.external_local:
            self._external_local(port, external, everywhere, here)
        else:
            chains.add(external, self._mark)
            chains.add(external, Goto(everywhere))
        for address in port.external_addresses:
            self._entry(port, address, external, "external IP")
        guarded = external
        if port.allowed_sources is not None and port.balancer_addresses:
            guarded = f"SVCC-FW-{name}"
            for network in port.allowed_sources:
                source = AddressMatch(network.value, network.mask)
                chains.add(
                    guarded, Goto(external), source=source if network.prefix_length else None
                )
        for address in port.balancer_addresses:
            self._entry(port, address, guarded, "loadbalancer IP")
        if port.node_port:
            self._node_ports.append(
                Entry(
                    None, port.protocol, port.node_port, Goto(external), f"{port.label} node port"
                )
            )
            if port.external_local:
                self._local_node_ports.append((port.protocol, port.node_port))

    def _external_local(self, port: ServicePort, chain: str, everywhere: str, here: str) -> None:
        chains, pods = self._chains, self._settings.pods
        network = pods.networks.get(self._family)
        if pods.in_interface:
            interface = InterfaceMatch(pods.in_interface)
            chains.append(Rule(chain, in_interface=interface, target=Goto(everywhere)))
        elif network is not None:
            source = AddressMatch(network.value, network.mask)
            chains.add(chain, Goto(everywhere), source=source)
        chains.add(chain, self._mark, matches=(_FROM_NODE,))
        chains.add(chain, Goto(everywhere), matches=(_FROM_NODE,))
        if port.here:
            chains.add(chain, Goto(here))
