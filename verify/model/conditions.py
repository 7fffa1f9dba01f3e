"""What rules ask of packets, as the symbolic model takes it.

Each condition is a value of a class of its own; :data:`Condition` is all that a rule can ask.
Who tells them apart does so by ``match`` and ``assert_never``, so that mypy names every place
that a new one has to go. A match outside the model becomes :class:`Unknown`: true or false, the
proof has to hold both ways. Addresses, masks, marks and ports are plain integers, protocols IANA
numbers; ``negated`` is ``!``.
"""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

from svcc.verify.model.values import Single, value
from svcc.verify.netfilter import bpf

Part = TypeVar("Part", covariant=True)


@value
class Source:
    """The source address, as it is by now, lies in a network."""

    address: int
    mask: int
    negated: bool = False


@value
class Destination:
    """The destination address, as it is by now, lies in a network."""

    address: int
    mask: int
    negated: bool = False


@value
class OriginalSource:
    """The source address that the connection came with lies in a network."""

    address: int
    mask: int
    negated: bool = False


@value
class OriginalDestination:
    """The destination address that the connection came with lies in a network."""

    address: int
    mask: int
    negated: bool = False


@value
class Protocol:
    """The protocol has a number."""

    number: int
    negated: bool = False


@value
class SourcePort:
    """The source port lies in a range, both ends included."""

    first: int
    last: int
    negated: bool = False


@value
class DestinationPort:
    """The destination port, as it is by now, lies in a range, both ends included."""

    first: int
    last: int
    negated: bool = False


@value
class OriginalPort:
    """The destination port that the connection came with lies in a range."""

    first: int
    last: int
    negated: bool = False


@value
class PortList:
    """Source port, destination port or either lies in one of some ranges (first, last)."""

    which: Literal["sports", "dports", "ports"]
    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


@value
class InInterface:
    """The packet came in on an interface; a trailing ``+`` matches any suffix."""

    name: str
    negated: bool = False


@value
class OutInterface:
    """The packet goes out on an interface; a trailing ``+`` matches any suffix."""

    name: str
    negated: bool = False


@value
class Mark:
    """The packet's mark under ``mask`` is ``value``."""

    value: int
    mask: int
    negated: bool = False


@value
class SourceLocal:
    """The source is an address of the node."""

    negated: bool = False


@value
class DestinationLocal:
    """The destination is an address of the node."""

    negated: bool = False


@value
class State:
    """The connection is in one of some states, in alphabetical order."""

    states: tuple[str, ...]
    negated: bool = False


class Never(Single):
    """No packet of the model fulfils it."""

    __slots__ = ()


Detail = OriginalSource | OriginalDestination | OriginalPort | Never
"""What a rule asks of a connection besides its state."""


@value
class Connection:
    """A question about the connection where there may be none yet; ``states`` None: any."""

    states: tuple[str, ...] | None
    negated: bool
    details: tuple[Detail, ...]


@value
class Probability:
    """A random choice with a chance of ``threshold``, in units of 2**-31."""

    threshold: int


@value
class Recent:
    """The source stands in a recent list; ``seconds`` is the age limit, None for any age."""

    operation: Literal["set", "rcheck", "update"]
    name: str
    seconds: int | None = None
    negated: bool = False

    @property
    def records(self) -> bool:
        """Whether it writes the source into the list."""
        return self.operation != "rcheck"

    @property
    def asks(self) -> bool:
        """Whether it depends on what is in the list."""
        return self.operation != "set"


@value
class Bpf:
    """A BPF program lets the packet through."""

    program: bpf.Equal


@value
class InSet:
    """The packet is in an ipset; ``flags`` are ``src`` or ``dst``, one for each part."""

    name: str
    flags: tuple[str, ...]
    negated: bool = False


@value
class SentByIpvs:
    """IPVS has sent the packet on."""

    negated: bool = False


@value
class VirtualDestination:
    """The address that the packet came to IPVS for lies in a network."""

    address: int
    mask: int
    negated: bool = False


@value
class VirtualPort:
    """The port that the packet came to IPVS for lies in a range, both ends included."""

    first: int
    last: int
    negated: bool = False


@value
class AnyOf(Generic[Part]):
    """One of some conditions holds."""

    parts: tuple[Part, ...]
    negated: bool = False


@value
class Unknown:
    """Nothing is known of it. ``what`` is for messages."""

    what: str
    negated: bool = False


Alternative = Detail | State | Source | Protocol
"""What stands in an :class:`AnyOf`."""

Predicate = (
    Source
    | Destination
    | OriginalSource
    | OriginalDestination
    | Protocol
    | SourcePort
    | DestinationPort
    | OriginalPort
    | PortList
    | InInterface
    | OutInterface
    | Mark
    | SourceLocal
    | DestinationLocal
    | State
    | Connection
    | Probability
    | Bpf
    | SentByIpvs
    | VirtualDestination
    | VirtualPort
    | Never
    | AnyOf[Alternative]
    | Unknown
)
"""What the packet, its connection and chance decide."""

Condition = Predicate | Recent | InSet
"""What a rule can ask."""

EntryPart = Destination | AnyOf[Protocol] | DestinationPort | Source


@value
class InEntries:
    """The packet falls under one of a set's entries: each is what all has to hold for it."""

    entries: tuple[tuple[EntryPart, ...], ...]
    negated: bool = False
