"""What packets to a node port must see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network
from svcc.verify.spec.outcomes import Case, Discard, Outcome, Refuse, Serve, Untouched
from svcc.verify.spec.packet_conditions import (
    DestinationIn,
    FromNode,
    PacketCondition,
    SourceIn,
    negation,
)


@dataclass(frozen=True, slots=True)
class _Row:
    """What some packets may see: ``first``, then what packets to an external frontend must see
    (unless ``alone``), then ``last``; with ``last_unless_served`` only if that is no backend.
    """

    condition: PacketCondition
    first: tuple[Outcome, ...] = ()
    last: tuple[Outcome, ...] = ()
    alone: bool = False
    last_unless_served: bool = False

    def cases(self, external: Iterable[Case]) -> Iterator[Case]:
        """The row for each kind of sender that external frontends tell apart."""
        if self.alone:
            yield Case(self.condition, tuple(dict.fromkeys((*self.first, *self.last))))
            return
        for case in external:
            served = any(isinstance(outcome, Serve) for outcome in case.allowed)
            last = () if self.last_unless_served and served else self.last
            allowed = tuple(dict.fromkeys((*self.first, *case.allowed, *last)))
            yield Case((*self.condition, *case.condition), allowed)


def node_port_cases(
    external: tuple[Case, ...], settings: NodeSettings, family: Family
) -> tuple[Case, ...]:
    """Cases of a node port, for any destination that is an address of the node."""
    # kube-proxy's refusals of node ports ignore the address selection, and the sender too.
    refusals = tuple(
        dict.fromkeys(o for c in external for o in c.allowed if isinstance(o, Refuse | Discard))
    )
    rows = [*_on_loopback(settings, family, refusals), *_elsewhere(settings, family, refusals)]
    return tuple(case for row in rows for case in row.cases(external))


def _on_loopback(
    settings: NodeSettings, family: Family, refusals: tuple[Outcome, ...]
) -> Iterator[_Row]:
    """Packets to 127.0.0.0/8 or ::1."""
    anywhere = DestinationIn((loopback_network(family),))
    node, own_source = FromNode(), SourceIn((loopback_network(family),))
    not_node, other_source = negation(node), negation(own_source)
    left_alone = (Untouched(), *refusals)
    if not settings.loopback_node_ports(family):
        if family is Family.IPV6:
            yield _Row((anywhere,), left_alone, alone=True)
            return
        # A kubelet guards 127.0.0.0/8 whatever the node ports do.
        yield _Row((anywhere, own_source), left_alone, alone=True)
        yield _Row((anywhere, other_source), left_alone, (Discard(),), alone=True)
        return
    loopback = DestinationIn(selected_loopback(settings, family))
    surely: PacketCondition = (loopback,)
    chosen = settings.node_port_networks
    if chosen is not None and all(n.prefix_length for n in chosen if n.family is family):
        # kube-proxy lists the addresses that interfaces have: 127.0.0.1 of all loopback.
        named = DestinationIn((_FIRST_LOOPBACK,))
        surely = (loopback, named)
        yield _Row((loopback, negation(named)), (), (Untouched(), Discard(), *refusals))
    yield _Row((*surely, node, own_source))
    # kube-proxy's guard of 127/8 comes before its refusals.
    yield _Row((*surely, node, other_source), (), (Discard(),), last_unless_served=True)
    yield _Row((*surely, not_node), (Discard(),))
    if loopback != anywhere:
        beside = (anywhere, negation(loopback))
        yield _Row((*beside, node, own_source), left_alone, alone=True)
        yield _Row((*beside, node, other_source), left_alone, (Discard(),), alone=True)
        yield _Row((*beside, not_node), (Untouched(), Discard()))


def _elsewhere(
    settings: NodeSettings, family: Family, refusals: tuple[Outcome, ...]
) -> Iterator[_Row]:
    """Packets to all other addresses of the node."""
    not_loopback = negation(DestinationIn((loopback_network(family),)))
    networks = settings.node_port_networks
    if networks is None:
        yield _Row((not_loopback,))
        return
    selected = DestinationIn(tuple(n for n in networks if n.family == family))
    known = DestinationIn(
        tuple(
            Network(family, own.value, family.bits)
            for own in settings.addresses
            if own.family is family
        )
    )
    yield _Row((not_loopback, selected, known))
    # Rules that list the selected addresses one by one cannot name those that only the node
    # itself knows of; refusals hold there as on any other address.
    yield _Row((not_loopback, selected, negation(known)), (), (Untouched(), *refusals))
    yield _Row((not_loopback, negation(selected)), (Untouched(), *refusals), alone=True)


_FIRST_LOOPBACK = Network(Family.IPV4, (127 << 24) + 1, 32)


def selected_loopback(settings: NodeSettings, family: Family) -> tuple[Network, ...]:
    """The part of loopback that ``nodePortAddresses`` selects."""
    block, networks = loopback_network(family), settings.node_port_networks
    if networks is None:
        return (block,)
    return tuple(
        sorted(
            {max(n, block, key=lambda m: m.prefix_length) for n in networks if n.overlaps(block)}
        )
    )


def loopback_network(family: Family) -> Network:
    """The loopback addresses."""
    if family is Family.IPV4:
        return Network(family, 127 << 24, 8)
    return Network(family, 1, 128)
