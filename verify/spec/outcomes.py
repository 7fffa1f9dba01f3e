"""What may become of a packet, and which packets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from svcc.grammar.address import Network
from svcc.verify.spec.endpoints import Backend
from svcc.verify.spec.packet_conditions import PacketCondition


@dataclass(frozen=True, slots=True)
class Serve:
    """Sent to one of ``backends``, each with the same probability.

    ``masquerade`` says whether the source is rewritten; a backend that sent the packet
    itself (hairpin) always sees a rewritten source. None: either way is right.
    """

    backends: tuple[Backend, ...]
    masquerade: bool | None
    affinity_timeout: int | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answered with an error (REJECT)."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Dropped without an answer."""


@dataclass(frozen=True, slots=True)
class Untouched:
    """As if the service rules were not there; ``mark_may_stay``: but for the masquerade mark and
    what comes of it on a packet that stays on the node. ``masqueraded_sources``: what the node
    itself sends from one of these may have another source."""

    mark_may_stay: bool = False
    masqueraded_sources: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class DroppedByMark:
    """Forwarded as it came, with a mark by which it would be dropped on its way to the node."""

    mark: int


Outcome = Serve | Refuse | Discard | Untouched | DroppedByMark


@dataclass(frozen=True, slots=True)
class Case:
    """Packets that fulfil ``condition`` must see one of ``allowed``.

    Where more than one outcome is allowed, the first is the strict reading and the others
    are what kube-proxy does.
    """

    condition: PacketCondition
    allowed: tuple[Outcome, ...]


def under(condition: PacketCondition, cases: Iterable[Case]) -> list[Case]:
    """The cases for packets that fulfil a condition besides."""
    return [Case((*condition, *case.condition), case.allowed) for case in cases]
