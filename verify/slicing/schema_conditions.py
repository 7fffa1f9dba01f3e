"""What only schemas have: conditions, actions and outcomes by number.

A *host* is a numbered address, a *port* a numbered port where the field says so; see
:mod:`svcc.verify.slicing.numbering`. Conditions and actions that name no number are those of
:mod:`svcc.verify.model`.
"""

from __future__ import annotations

from typing import Literal

from svcc.verify.model.actions import PlainAction
from svcc.verify.model.conditions import Alternative, AnyOf, Destination, EntryPart, Predicate
from svcc.verify.model.values import Single, value
from svcc.verify.spec.outcomes import Discard, DroppedByMark, Refuse, Untouched


@value
class SourceHost:
    """The source address, as it is by now, is a host."""

    host: int
    negated: bool = False


@value
class DestinationHost:
    """The destination address, as it is by now, is a host."""

    host: int
    negated: bool = False


@value
class OriginalSourceHost:
    """The source address that the connection came with is a host."""

    host: int
    negated: bool = False


@value
class OriginalDestinationHost:
    """The destination address that the connection came with is a host."""

    host: int
    negated: bool = False


@value
class DestinationHosts:
    """The destination address, as it is by now, is one of some hosts."""

    hosts: tuple[int, ...]
    negated: bool = False


@value
class NumberedDestinationPort:
    """The destination port, as it is by now, is a numbered one."""

    port: int
    negated: bool = False


@value
class NumberedDestinationPorts:
    """The destination port, as it is by now, is one of some numbered ones."""

    ports: tuple[int, ...]
    negated: bool = False


@value
class NumberedOriginalPort:
    """The destination port that the connection came with is a numbered one."""

    port: int
    negated: bool = False


@value
class VirtualDestinationHost:
    """The address that the packet came to IPVS for is a host."""

    host: int
    negated: bool = False


@value
class NumberedVirtualPort:
    """The port that the packet came to IPVS for is a numbered one."""

    port: int
    negated: bool = False


@value
class NumberedEndpoints:
    """The packet goes to one of some hosts (None: any) and numbered ports, as it is by now."""

    endpoints: tuple[tuple[int | None, int], ...]
    negated: bool = False


NumberedEntryPart = EntryPart | DestinationHost | NumberedDestinationPort | SourceHost


@value
class NumberedEntries:
    """The packet falls under one of a set's entries: each is what all has to hold for it."""

    entries: tuple[tuple[NumberedEntryPart, ...], ...]
    negated: bool = False


@value
class SentFromNode:
    """A process of the node sent the packet."""

    negated: bool = False


@value
class NumberedRecent:
    """The source stands in a numbered recent list; ``seconds``: the age limit, None: any age."""

    operation: Literal["set", "rcheck", "update"]
    number: int
    seconds: int | None = None
    negated: bool = False

    @property
    def records(self) -> bool:
        """Whether it writes the source into the list."""
        return self.operation != "rcheck"


SchemaAlternative = Alternative | Destination | SourceHost | DestinationHost
"""What stands in an :class:`AnyOf` of a schema."""

SchemaPredicate = (
    Predicate
    | AnyOf[SchemaAlternative]
    | SourceHost
    | DestinationHost
    | OriginalSourceHost
    | OriginalDestinationHost
    | DestinationHosts
    | NumberedDestinationPort
    | NumberedDestinationPorts
    | NumberedOriginalPort
    | VirtualDestinationHost
    | NumberedVirtualPort
    | NumberedEndpoints
    | NumberedEntries
    | SentFromNode
)
"""What the packet, its connection and chance decide."""

SchemaCondition = SchemaPredicate | NumberedRecent
"""What a rule of a schema can ask."""


class InlinedJump(Single):
    """A jump to a chain whose rules are the item's body."""

    __slots__ = ()


class InlinedGoto(Single):
    """A goto to a chain whose rules are the item's body."""

    __slots__ = ()


@value
class NumberedDnat:
    """The destination becomes a host and a numbered port; None: the port stays."""

    host: int
    port: int | None


@value
class NumberedBalance:
    """IPVS chooses: each choice is a host, a numbered port (None: it stays) and a weight.

    ``timeout``: seconds that it remembers the choice, None: not at all.
    """

    choices: tuple[tuple[int, int | None, int], ...]
    timeout: int | None


SchemaAction = PlainAction | InlinedJump | InlinedGoto | NumberedDnat | NumberedBalance
"""What a rule of a schema can do."""


@value
class NumberedServe:
    """As :class:`svcc.verify.spec.outcomes.Serve`; a backend is a host and a numbered port."""

    backends: tuple[tuple[int, int], ...]
    masquerade: bool | None
    affinity_timeout: int | None


SchemaOutcome = NumberedServe | Refuse | Discard | Untouched | DroppedByMark
"""What may become of a packet."""
