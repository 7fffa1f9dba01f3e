"""The local addresses on which node ports answer, as rule conditions."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.matches import TO_LOCAL, loopback_match
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import LOOPBACK, Family, Network
from svcc.grammar.iptables.program import AddressMatch, Jump, Rule


def jump_selected(
    chains: Chains, chain: str, target: str, settings: NodeSettings, *, loopback: bool
) -> None:
    """Send packets for the selected local addresses to ``target``.

    ``loopback`` tells whether loopback addresses are among them if they are selected.
    """
    family = chains.family
    networks = settings.node_port_networks
    if networks is None:
        destination = None if loopback else loopback_match(family, negated=True)
        chains.add(chain, Jump(target), destination=destination, matches=(TO_LOCAL,))
        return
    own = [n for n in networks if n.family is family]
    if not loopback and any(n.overlaps(LOOPBACK[family]) for n in own):
        if any(n.prefix_length == 0 for n in own):
            destination = loopback_match(family, negated=True)
            chains.add(chain, Jump(target), destination=destination, matches=(TO_LOCAL,))
            return
        own = [part for n in own for part in _without_loopback(n)]
    for network in sorted(own):
        destination = None
        if network.prefix_length:
            destination = AddressMatch(network.value, network.mask)
        chains.add(chain, Jump(target), destination=destination, matches=(TO_LOCAL,))


def jump_selected_loopback(chains: Chains, target: str, settings: NodeSettings) -> None:
    """Send what the node's own processes send to selected loopback addresses to ``target``.

    Nobody else reaches node ports there.
    """
    for network in _selected_loopback(settings):
        destination = AddressMatch(network.value, network.mask)
        chains.base(Rule(chain="OUTPUT", destination=destination, target=Jump(target)))


def _selected_loopback(settings: NodeSettings) -> list[Network]:
    """The part of 127.0.0.0/8 on which IPv4 node ports answer."""
    loopback = LOOPBACK[Family.IPV4]
    if not settings.loopback_node_ports(Family.IPV4):
        return []
    if settings.node_port_networks is None:
        return [loopback]
    return sorted(
        max(network, loopback, key=lambda n: n.prefix_length)
        for network in settings.node_port_networks
        if network.overlaps(loopback)
    )


def _without_loopback(network: Network) -> Iterator[Network]:
    """The parts of a network outside loopback, as few prefixes as possible."""
    loopback = LOOPBACK[network.family]
    if not network.overlaps(loopback):
        yield network
        return
    if network.prefix_length >= loopback.prefix_length:
        return
    bits = network.family.bits
    for length in range(network.prefix_length + 1, loopback.prefix_length + 1):
        bit = 1 << (bits - length)
        sibling = (loopback.value ^ bit) & ~(bit - 1)
        yield Network(network.family, sibling, length)
