"""What packets to a node port must see."""

from __future__ import annotations

from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family, Network
from svcc.verify.spec.outcomes import Case, Discard, Outcome, Refuse, Serve, Untouched, under
from svcc.verify.spec.packet_conditions import (
    Condition,
    DestinationIn,
    FromNode,
    SourceIn,
    negation,
)


def node_port_cases(
    external: tuple[Case, ...], settings: NodeSettings, family: Family
) -> tuple[Case, ...]:
    """Cases of a node port, for any destination that is an address of the node."""
    anywhere = DestinationIn((_block(family),))
    loopback = DestinationIn(selected_loopback(settings, family))
    node = FromNode()
    cases: list[Case] = []

    # kube-proxy's refusals of node ports ignore the address selection, and the sender too.
    refusals = tuple(
        dict.fromkeys(o for c in external for o in c.allowed if isinstance(o, Refuse | Discard))
    )

    def elsewhere(condition: Condition, *more: Outcome) -> None:
        cases.append(Case(condition, tuple(dict.fromkeys((Untouched(), *refusals, *more)))))

    if settings.loopback_node_ports(family):
        own_source = SourceIn((_block(family),))
        surely: Condition = (loopback,)
        chosen = settings.node_port_networks
        if chosen is not None and all(n.prefix_length for n in chosen if n.family is family):
            # kube-proxy lists the addresses that interfaces have: 127.0.0.1 of all loopback.
            named = DestinationIn((_FIRST_LOOPBACK,))
            surely = (loopback, named)
            for case in external:
                cases.append(
                    Case(
                        (loopback, negation(named), *case.condition),
                        tuple(dict.fromkeys((*case.allowed, Untouched(), Discard(), *refusals))),
                    )
                )
        cases.extend(under((*surely, node, own_source), external))
        # kube-proxy's guard of 127/8 comes before its refusals.
        for case in external:
            served = any(isinstance(outcome, Serve) for outcome in case.allowed)
            allowed = case.allowed if served else (*case.allowed, Discard())
            cases.append(Case((*surely, node, negation(own_source), *case.condition), allowed))
        for case in external:
            cases.append(
                Case(
                    (*surely, negation(node), *case.condition),
                    (Discard(), *case.allowed),
                )
            )
        if loopback != anywhere:
            beside = (anywhere, negation(loopback))
            elsewhere((*beside, node, own_source))
            elsewhere((*beside, node, negation(own_source)), Discard())
            for case in external:
                cases.append(
                    Case(
                        (*beside, negation(node), *case.condition),
                        tuple(dict.fromkeys((Untouched(), Discard(), *case.allowed))),
                    )
                )
    elif family is Family.IPV6:
        elsewhere((anywhere,))
    else:
        # A kubelet guards 127.0.0.0/8 whatever the node ports do.
        from_loopback = SourceIn((_block(family),))
        elsewhere((anywhere, from_loopback))
        elsewhere((anywhere, negation(from_loopback)), Discard())
    not_loopback = negation(anywhere)
    networks = settings.node_port_networks
    if networks is None:
        cases.extend(under((not_loopback,), external))
        return tuple(cases)
    selected = DestinationIn(tuple(n for n in networks if n.family == family))
    known = DestinationIn(
        tuple(
            Network(family, own.value, family.bits)
            for own in settings.addresses
            if own.family is family
        )
    )
    cases.extend(under((not_loopback, selected, known), external))
    for case in external:
        # Rules that list the selected addresses one by one cannot name those that only
        # the node itself knows of.
        cases.append(
            Case(
                (not_loopback, selected, negation(known), *case.condition),
                (*case.allowed, Untouched()),
            )
        )
    elsewhere((not_loopback, negation(selected)))
    return tuple(cases)


_FIRST_LOOPBACK = Network(Family.IPV4, (127 << 24) + 1, 32)


def selected_loopback(settings: NodeSettings, family: Family) -> tuple[Network, ...]:
    """The part of loopback that ``nodePortAddresses`` selects."""
    block, networks = _block(family), settings.node_port_networks
    if networks is None:
        return (block,)
    return tuple(
        sorted(
            {max(n, block, key=lambda m: m.prefix_length) for n in networks if n.overlaps(block)}
        )
    )


def _block(family: Family) -> Network:
    if family is Family.IPV4:
        return Network(family, 127 << 24, 8)
    return Network(family, 1, 128)
