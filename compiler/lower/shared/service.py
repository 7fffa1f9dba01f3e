"""The chains of a service port in the nat table: whose source is rewritten, and where to."""

from __future__ import annotations

from svcc.compiler.lower.shared.balance import Choice
from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.dispatch import Entry
from svcc.compiler.lower.shared.matches import FROM_NODE, TRANSPORT_NAMES
from svcc.compiler.lower.shared.names import digest
from svcc.compiler.resolve.forwarding import ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.iptables.program import (
    AddressMatch,
    Goto,
    InterfaceMatch,
    Rule,
    SetMark,
)


class ServiceChains:
    """Writes the chains that are asked for, each once, and tells their names."""

    def __init__(self, chains: Chains, settings: NodeSettings) -> None:
        self._chains = chains
        self._settings = settings
        mark = settings.masquerade_mark
        self._mark = SetMark(mark, mark)
        self._filled: set[str] = set()

    def internal(self, port: ServicePort) -> str:
        """Where packets to the cluster IP go; the port must have backends for it."""
        name = _name("SVL" if port.internal_local else "SVC", port)
        self._masquerade_internal(name, port)
        return self._fill(name, port, local=port.internal_local)

    def external(self, port: ServicePort, *, outside: bool = True) -> str:
        """Where packets to the external frontends go, source ranges aside.

        ``outside`` False: under Local policy, packets from outside are returned.
        """
        name = _name("EXT" if outside else "INC", port)
        if name in self._chains:
            return name
        self._chains.declare(name)
        everywhere = self._fill(_name("SVC", port), port, local=False)
        if port.external_local:
            self._external_local(port, name, everywhere, outside=outside)
        else:
            self._chains.add(name, self._mark)
            self._chains.add(name, Goto(everywhere))
        return name

    def guarded(self, port: ServicePort) -> str:
        """Where packets to the balancer's addresses go: the source ranges, if any, come first."""
        external = self.external(port)
        if port.allowed_sources is None:
            return external
        name = _name("FW", port)
        for network in port.allowed_sources:
            source = AddressMatch(network.value, network.mask)
            self._chains.add(name, Goto(external), source=source if network.prefix_length else None)
        return name

    def _fill(self, name: str, port: ServicePort, *, local: bool) -> str:
        if name not in self._filled:
            self._filled.add(name)
            choice = Choice(self._chains, port.protocol, _identity(port), port.affinity_timeout)
            choice.write(name, port.here if local else port.everywhere)
        return name

    def _masquerade_internal(self, chain: str, port: ServicePort) -> None:
        """Mark what comes to the cluster IP from elsewhere than a pod."""
        settings, chains = self._settings, self._chains
        # External traffic may enter the same chain, and has been judged by then.
        destination = chains.host(port.cluster_ip) if port.has_external else None
        network = settings.pods.networks.get(port.family)
        if settings.masquerade_all:
            chains.add(chain, self._mark, destination=destination)
        elif settings.pods.in_interface:
            interface = InterfaceMatch(settings.pods.in_interface, negated=True)
            rule = Rule(
                chain=chain, destination=destination, in_interface=interface, target=self._mark
            )
            chains.append(rule)
        elif network is not None:
            source = AddressMatch(network.value, network.mask, negated=True)
            chains.add(chain, self._mark, source=source, destination=destination)

    def _external_local(
        self, port: ServicePort, chain: str, everywhere: str, *, outside: bool
    ) -> None:
        chains, pods = self._chains, self._settings.pods
        network = pods.networks.get(port.family)
        if pods.in_interface:
            interface = InterfaceMatch(pods.in_interface)
            chains.append(Rule(chain=chain, in_interface=interface, target=Goto(everywhere)))
        elif network is not None:
            source = AddressMatch(network.value, network.mask)
            chains.add(chain, Goto(everywhere), source=source)
        chains.add(chain, self._mark, matches=(FROM_NODE,))
        chains.add(chain, Goto(everywhere), matches=(FROM_NODE,))
        if port.here and outside:
            chains.add(chain, Goto(self._fill(_name("SVL", port), port, local=True)))


def address_entry(port: ServicePort, address: int, chain: str, kind: str) -> Entry:
    """A leaf of the tree of addresses."""
    return Entry(address, port.protocol, port.port, Goto(chain), f"{port.label} {kind}")


def node_port_entry(port: ServicePort, chain: str) -> Entry:
    """A leaf of the tree of node ports."""
    return Entry(None, port.protocol, port.node_port, Goto(chain), f"{port.label} node port")


def _identity(port: ServicePort) -> str:
    return f"{port.label}/{TRANSPORT_NAMES[port.protocol]}/{port.family.label}"


def _name(kind: str, port: ServicePort) -> str:
    return f"SVCC-{kind}-{digest(_identity(port))}"
