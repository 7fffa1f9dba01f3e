"""The filter table: what is refused, and what kube-proxy's filter rules do besides."""

from __future__ import annotations

from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.dispatch import Entry, dispatch_addresses, dispatch_ports
from svcc.compiler.lower.shared.filter_rules import (
    INPUT,
    OUTPUT,
    REFUSE,
    REFUSE_NODE_PORTS,
    REJECT,
    base_jumps,
    forward_rules,
    health_checks,
    loopback_guard,
)
from svcc.compiler.lower.shared.matches import NEW, TRANSLATED
from svcc.compiler.lower.shared.names import digest
from svcc.compiler.lower.shared.selection import jump_selected
from svcc.compiler.resolve.forwarding import Backend, Forwarding, ServicePort
from svcc.grammar.iptables.program import (
    AddressMatch,
    Goto,
    InterfaceMatch,
    Jump,
    Rule,
    Target,
    Verdict,
)

_DROP = Verdict("DROP")


class FilterTable:
    """Writes the filter table of one family."""

    def __init__(self, chains: Chains, forwarding: Forwarding) -> None:
        self._chains = chains
        self._family = chains.family
        self._forwarding = forwarding
        self._settings = forwarding.settings
        self._addresses: list[Entry] = []
        self._node_ports: list[Entry] = []

    def write(self) -> Chains:
        """Fill the table."""
        chains = self._chains
        base_jumps(chains)
        loopback_guard(chains, self._forwarding)
        health_checks(chains, self._forwarding)
        chains.add(INPUT, Jump(REFUSE), matches=(NEW,))
        forward_rules(chains, self._settings, refuse=REFUSE)
        chains.add(OUTPUT, Jump(REFUSE), matches=(NEW,))
        self._refuse()
        return chains

    def _refuse(self) -> None:
        chains = self._chains
        for port in self._forwarding.of(self._family):
            self._service_port(port)
        # A backend whose address and port are those of a refused frontend is not that frontend.
        chains.add(REFUSE, Verdict("RETURN"), matches=(TRANSLATED,))
        dispatch_addresses(chains, REFUSE, self._addresses, stem="SVCC-R")
        if self._node_ports:
            dispatch_ports(chains, REFUSE_NODE_PORTS, self._node_ports, stem="SVCC-RNP")
            jump_selected(
                chains,
                REFUSE,
                REFUSE_NODE_PORTS,
                self._settings,
                loopback=self._settings.loopback_node_ports(self._family),
            )

    def _service_port(self, port: ServicePort) -> None:
        if not port.usable:
            self._refuse_all(port, REJECT[self._family], "has no endpoints")
            return
        nowhere = "has no local endpoints"
        if not port.internal:
            self._address(port, port.cluster_ip, _DROP, nowhere)
        if port.external_local and not port.here:
            self._refuse_external(port, _DROP, nowhere)
        elif port.allowed_sources is not None:
            for address in port.balancer_addresses:
                self._address(port, address, self._outside(port, address), "is not for this source")

    def _outside(self, port: ServicePort, address: int) -> Target:
        """What becomes of packets from outside the source ranges.

        Those from inside are translated and so not seen here, unless a backend is the
        balancer's address itself: that DNAT changes nothing, and the ranges decide again.
        """
        if Backend(address, port.port) not in (*port.everywhere, *port.here):
            return _DROP
        chain = f"SVCC-DENY-{digest(port.label + str(port.protocol))}"
        if chain not in self._chains:
            # What the node sent to itself was judged on OUTPUT, before its source was rewritten.
            lo = InterfaceMatch("lo")
            self._chains.append(Rule(chain=chain, in_interface=lo, target=Verdict("RETURN")))
            for network in port.allowed_sources or ():
                source = AddressMatch(network.value, network.mask)
                self._chains.add(
                    chain, Verdict("RETURN"), source=source if network.prefix_length else None
                )
            self._chains.add(chain, _DROP)
        return Goto(chain)

    def _refuse_all(self, port: ServicePort, target: Target, why: str) -> None:
        self._address(port, port.cluster_ip, target, why)
        self._refuse_external(port, target, why)

    def _refuse_external(self, port: ServicePort, target: Target, why: str) -> None:
        for address in (*port.external_addresses, *port.balancer_addresses):
            self._address(port, address, target, why)
        if port.node_port:
            comment = f"{port.label} {why}"
            self._node_ports.append(Entry(None, port.protocol, port.node_port, target, comment))

    def _address(self, port: ServicePort, address: int, target: Target, why: str) -> None:
        comment = f"{port.label} {why}"
        self._addresses.append(Entry(address, port.protocol, port.port, target, comment))
