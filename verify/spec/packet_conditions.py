"""Conditions on who sends a packet and where to: the vocabulary of expectations.

Four kinds of sender matter (pod, this node, outside, and a backend talking to itself); each
is a predicate that both the plain simulator and the solver can evaluate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from svcc.grammar.address import Network


@dataclass(frozen=True, slots=True)
class SourceIn:
    """The source address lies in one of the networks."""

    networks: tuple[Network, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class DestinationIn:
    """The destination address, as the client wrote it, lies in one of the networks."""

    networks: tuple[Network, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FromPod:
    """The packet came in on a pod's interface (``+`` at the end matches any suffix)."""

    interface: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FromNode:
    """A process of the node itself sent the packet."""

    negated: bool = False


@dataclass(frozen=True, slots=True)
class ProtocolIn:
    """The protocol (IANA number) is one of these."""

    numbers: tuple[int, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class PortIn:
    """The destination port, as the client wrote it, is one of these."""

    numbers: tuple[int, ...]
    negated: bool = False


Atom = SourceIn | DestinationIn | FromPod | FromNode | ProtocolIn | PortIn
PacketCondition = tuple[Atom, ...]
"""All of them hold; the empty condition always does."""

ANYONE: PacketCondition = ()


def negation(atom: Atom) -> Atom:
    """The opposite condition."""
    return replace(atom, negated=not atom.negated)
