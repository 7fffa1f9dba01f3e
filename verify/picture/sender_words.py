"""Whose packets a condition is about, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

from svcc.grammar.address import Network
from svcc.verify.questions.wording import named, protocol_name
from svcc.verify.spec.packet_conditions import (
    Atom,
    DestinationIn,
    FromNode,
    FromPod,
    PacketCondition,
    PortIn,
    ProtocolIn,
    SourceIn,
    negation,
)

EVERYONE = "everyone"


def merged(conditions: Iterable[PacketCondition]) -> list[frozenset[Atom]]:
    """The same packets in fewer conditions: without those that no packet fulfils, and two that
    differ in one atom, which one has and the other has negated, are one without it.
    """
    possible = (frozenset(each) for each in conditions if _is_possible(each))
    return _joined(map(_plain, _joined(possible)))


def _joined(conditions: Iterable[frozenset[Atom]]) -> list[frozenset[Atom]]:
    found = list(dict.fromkeys(conditions))
    while (pair := _pair(found)) is not None:
        one, other = pair
        found[found.index(one)] = one & other
        found.remove(other)
        found = list(dict.fromkeys(found))
    return found


def _is_possible(condition: PacketCondition) -> bool:
    """Whether a packet may fulfil a condition, as far as its atoms tell two by two."""
    return not any(_exclude(one, other) for one in condition for other in condition)


def _exclude(one: Atom, other: Atom) -> bool:
    if negation(one) == other:
        return True
    match one, other:
        case (SourceIn(ours, False), SourceIn(theirs, True)) | (
            DestinationIn(ours, False),
            DestinationIn(theirs, True),
        ):
            return all(any(_is_inside(net, wide) for wide in theirs) for net in ours)
        case (SourceIn(ours, False), SourceIn(theirs, False)) | (
            DestinationIn(ours, False),
            DestinationIn(theirs, False),
        ):
            return not any(net.overlaps(other_net) for net in ours for other_net in theirs)
        case (FromNode(False), FromPod(_, False)):
            return True
    return False


def _is_inside(network: Network, wide: Network) -> bool:
    return network.prefix_length >= wide.prefix_length and wide.overlaps(network)


def _plain(condition: frozenset[Atom]) -> frozenset[Atom]:
    """Without what another atom says already: who is in one network is in no other."""
    left = condition
    for atom in condition:
        # One at a time, since two atoms may say each other.
        if any(other != atom and _exclude(other, negation(atom)) for other in left):
            left -= {atom}
    return left


def _pair(
    conditions: Sequence[frozenset[Atom]],
) -> tuple[frozenset[Atom], frozenset[Atom]] | None:
    for number, one in enumerate(conditions):
        for other in conditions[number + 1 :]:
            ours, theirs = one - other, other - one
            if len(ours) == len(theirs) == 1 and negation(*ours) in theirs:
                return one, other
    return None


def words(condition: frozenset[Atom], pod: Atom | None) -> str:
    """Whose packets fulfil a condition; ``pod`` is how the node tells pods, None: it cannot."""
    rest = set(condition)
    who = ""
    node = FromNode()
    if pod is not None and {pod, node} <= rest:
        who = f"the node itself with an address of pods ({_how(pod)})"
    elif pod is not None and pod in rest:
        who = f"pods ({_how(pod)})"
        rest.discard(negation(node))
    elif node in rest:
        who = "the node itself"
        if pod is not None and negation(pod) in rest:
            rest.discard(negation(pod))
    elif pod is not None and {negation(pod), negation(node)} <= rest:
        who = "outside (neither pods nor the node)"
        rest -= {negation(pod), negation(node)}
    elif pod is not None and negation(pod) in rest:
        who = "everyone but pods"
        rest.discard(negation(pod))
    elif negation(node) in rest:
        who = "everyone but the node itself"
    if pod is not None:
        rest.discard(pod)
    rest -= {node, negation(node)}
    parts = [_atom(atom) for atom in sorted(rest, key=_order)]
    if not who and parts:
        return ", ".join([f"{EVERYONE} {parts[0]}", *parts[1:]])
    return ", ".join([who or EVERYONE, *parts])


def _order(atom: Atom) -> tuple[int, str]:
    return (0 if isinstance(atom, SourceIn | FromPod) else 1, repr(atom))


def _how(pod: Atom) -> str:
    if isinstance(pod, FromPod):
        return f"interface {pod.interface}"
    assert isinstance(pod, SourceIn)
    return _networks(pod.networks)


def _networks(networks: Sequence[Network]) -> str:
    return named([str(network) for network in networks], "and")


def _atom(atom: Atom) -> str:
    match atom:
        case SourceIn(networks, negated):
            return f"from {'elsewhere than ' if negated else ''}{_networks(networks)}"
        case DestinationIn(networks, negated):
            return f"{'not ' if negated else ''}to {_networks(networks)}"
        case FromPod(interface, negated):
            return f"{'not ' if negated else ''}from interface {interface}"
        case FromNode(negated):
            return f"{'not ' if negated else ''}from the node itself"
        case ProtocolIn(numbers, negated):
            shown = named([protocol_name(number) for number in numbers], "or")
            return f"{'not ' if negated else ''}{shown}"
        case PortIn(numbers, negated):
            shown = named([str(number) for number in numbers], "or")
            return f"{'not ' if negated else ''}to port {shown}"
        case _:
            assert_never(atom)
