"""What rules do with packets that fulfil their conditions, as the symbolic model takes it.

``of_other_tool``: another tool does it to packets of its own, which counts neither for nor
against the service rules (:mod:`svcc.verify.model.other_tools`).
"""

from __future__ import annotations

from typing import Literal

from svcc.verify.model.values import Single, value


@value
class Accept:
    """The packet leaves the base chain."""

    of_other_tool: bool = False


class Drop(Single):
    """The packet is gone."""

    __slots__ = ()


class Reject(Single):
    """The packet is answered with an error."""

    __slots__ = ()


class Return(Single):
    """Back to the rule behind the jump."""

    __slots__ = ()


class Continue(Single):
    """Nothing that the model looks at: on to the next rule."""

    __slots__ = ()


class Notrack(Single):
    """The packet gets no connection."""

    __slots__ = ()


@value
class SetMark:
    """mark = (mark & ~``mask``) ^ ``value``."""

    value: int
    mask: int


@value
class MapMark:
    """The mark of a set's entry, if there is one; ``flags`` as of a condition on a set."""

    name: str
    flags: tuple[str, ...]


@value
class Jump:
    """Through a chain, and on behind this rule."""

    chain: str


@value
class Goto:
    """Through a chain, and on behind the last jump."""

    chain: str


@value
class Masquerade:
    """The source is rewritten: to one address, one of the node's (``own``) or ``any``; to one
    port, the ``same`` or ``any``."""

    address: int | Literal["own", "any"]
    port: int | Literal["same", "any"]
    of_other_tool: bool = False


@value
class Dnat:
    """The destination is rewritten; ``port`` None: it stays."""

    address: int
    port: int | None


@value
class UnknownTarget:
    """Nothing is known of what it does."""

    name: str


class Excused(Single):
    """It ends the packet's way, which is then not judged."""

    __slots__ = ()


PlainAction = (
    Accept
    | Drop
    | Reject
    | Return
    | Continue
    | Notrack
    | SetMark
    | Masquerade
    | UnknownTarget
    | Excused
)
"""What is the same in rules, slices and schemas."""

Action = PlainAction | MapMark | Jump | Goto | Dnat
"""What a rule can do."""
