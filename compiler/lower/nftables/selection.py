"""The local addresses on which node ports answer, as conditions of rules."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.lower.nftables.terms import TO_NODE, Terms
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import LOOPBACK, Network
from svcc.grammar.nftables.program import AnonymousSet, Element, Match


def selected(
    terms: Terms, settings: NodeSettings, *, loopback: bool
) -> Iterator[tuple[Match, ...]]:
    """Conditions for the selected addresses: those on loopback, or all others."""
    here = terms.to_loopback if loopback else terms.not_to_loopback
    networks = settings.node_port_networks
    if networks is None or any(n.prefix_length == 0 for n in networks if n.family is terms.family):
        yield here, TO_NODE
        return
    own = {n for n in networks if n.family is terms.family}
    if loopback:
        own = {_narrower(n, LOOPBACK[terms.family]) for n in own if n.overlaps(LOOPBACK[n.family])}
    else:
        own = {n for n in own if not _lies_in(n, LOOPBACK[n.family])}
    if not own:
        return
    disjoint = sorted(n for n in own if not any(m != n and _lies_in(n, m) for m in own))
    elements = tuple(Element(terms.network(network)) for network in disjoint)
    if len(elements) == 1:
        among = Match(terms.destination, "==", elements[0].key)
    else:
        among = Match(terms.destination, "==", AnonymousSet(elements))
    if any(n.overlaps(LOOPBACK[n.family]) for n in disjoint):
        yield among, here, TO_NODE
    else:
        yield among, TO_NODE


def _lies_in(network: Network, other: Network) -> bool:
    return other.prefix_length <= network.prefix_length and other.overlaps(network)


def _narrower(one: Network, other: Network) -> Network:
    return max(one, other, key=lambda network: network.prefix_length)
