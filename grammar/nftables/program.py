"""The typed nftables program: what ``nft list ruleset`` prints and ``nft -f`` reads (nft(8)).

Expressions are what rules look at and set elements consist of, statements what rules do in their
order. Instances are values, compared and hashed, and never changed; tables, chains and sets grow
while they are read. Whatever a reader has to know of the text besides its meaning (lines, how a
number was spelled) takes no part in comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from svcc.grammar.address import Address, Network

TableFamily = Literal["ip", "ip6", "inet", "arp", "bridge", "netdev"]
Hook = Literal["prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"]
ChainType = Literal["filter", "nat", "route"]
Comparison = Literal["==", "!=", "<", ">", "<=", ">="]
Operator = Literal["&", "|", "^", "<<", ">>"]

FAMILIES: tuple[TableFamily, ...] = get_args(TableFamily)
HOOKS: tuple[Hook, ...] = get_args(Hook)
CHAIN_TYPES: tuple[ChainType, ...] = get_args(ChainType)

MAX_NAME = 255
"""Bytes of a name of a table, chain or set (NFT_NAME_MAXLEN)."""
MAX_COMMENT = 128
"""Bytes of a comment (NFTNL_UDATA_COMMENT_MAXLEN)."""

# -- expressions -----------------------------------------------------------------------


@dataclass(slots=True, unsafe_hash=True)
class Field:
    """A property of the packet, its connection or its way: ``ip daddr``, ``meta mark``,
    ``ct state``, ``fib daddr type``, ``iifname``; ``name`` is spelled as nft prints it."""

    name: str


@dataclass(slots=True, unsafe_hash=True)
class Number:
    """A number, mark, port, index or protocol number."""

    value: int
    hexadecimal: bool = field(default=False, compare=False)


@dataclass(slots=True, unsafe_hash=True)
class Symbol:
    """A keyword for a value: ``tcp``, ``new``, ``local``, ``syn``."""

    name: str


@dataclass(slots=True, unsafe_hash=True)
class String:
    """A quoted value, such as an interface's name; a trailing ``*`` matches any suffix."""

    text: str


@dataclass(slots=True, unsafe_hash=True)
class Range:
    """``FIRST-LAST``, both included."""

    first: Value
    last: Value


@dataclass(slots=True, unsafe_hash=True)
class Flags:
    """``established,related``: any of them."""

    members: tuple[Expression, ...]


@dataclass(slots=True, unsafe_hash=True)
class Concatenation:
    """``ip daddr . meta l4proto . th dport``, or its values in an element."""

    parts: tuple[Expression, ...]


@dataclass(slots=True, unsafe_hash=True)
class Operation:
    """``LEFT & RIGHT`` and the like."""

    operator: Operator
    left: Expression
    right: Expression


@dataclass(slots=True, unsafe_hash=True)
class Numgen:
    """``numgen random|inc mod MODULUS [offset OFFSET]``."""

    kind: Literal["random", "inc"]
    modulus: int
    offset: int = 0


@dataclass(slots=True, unsafe_hash=True)
class Jhash:
    """``jhash EXPRESSION mod MODULUS [seed SEED] [offset OFFSET]``."""

    expression: Expression
    modulus: int
    seed: int | None = None
    offset: int = 0


@dataclass(slots=True, unsafe_hash=True)
class SetReference:
    """``@NAME``: a named set or map of the same table."""

    name: str


@dataclass(slots=True, eq=False)
class AnonymousSet:
    """``{ ELEMENT, … }`` in a rule; a map where the elements have data.

    The order of elements makes no difference.
    """

    elements: tuple[Element, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AnonymousSet):
            return NotImplemented
        return self.elements == other.elements or set(self.elements) == set(other.elements)

    def __hash__(self) -> int:
        return hash(frozenset(self.elements))


@dataclass(slots=True, unsafe_hash=True)
class MapLookup:
    """``KEY map @NAME`` or ``KEY map { … }``: the data of the element that KEY is in."""

    key: Expression
    elements: SetReference | AnonymousSet


class Anything:
    """``*``: the element of a map for what no other holds."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Anything)

    def __hash__(self) -> int:
        return 42

    def __repr__(self) -> str:
        return "Anything()"


Value = Number | Symbol | String | Address
"""A value that is one and no more."""

Expression = (
    Field
    | Value
    | Network
    | Range
    | Flags
    | Concatenation
    | Operation
    | Numgen
    | Jhash
    | SetReference
    | AnonymousSet
    | MapLookup
    | Anything
)
"""All that stands for a value or several."""

# -- statements ------------------------------------------------------------------------


@dataclass(slots=True, unsafe_hash=True)
class Verdict:
    """``accept``, ``drop``, ``continue`` or ``return``."""

    name: Literal["accept", "drop", "continue", "return"]


@dataclass(slots=True, unsafe_hash=True)
class Jump:
    """``jump CHAIN``: through a chain, and on behind this rule."""

    chain: str


@dataclass(slots=True, unsafe_hash=True)
class Goto:
    """``goto CHAIN``: through a chain, and on behind the last jump."""

    chain: str


AnyVerdict = Verdict | Jump | Goto


@dataclass(slots=True, unsafe_hash=True)
class Match:
    """``LEFT [OPERATOR] RIGHT``: the rule ends here for packets that do not fulfil it.

    With ``ct state``, ``ct status`` and ``tcp flags`` one value or :class:`Flags` on the right
    under ``==`` means any of them; where ``exact`` is True, all of them and no other
    (``tcp flags == syn``).
    """

    left: Expression
    operator: Comparison
    right: Expression
    exact: bool = False


@dataclass(slots=True, unsafe_hash=True)
class VerdictMap:
    """``KEY vmap @NAME`` or ``KEY vmap { … }``; where KEY is in no element the rule ends."""

    key: Expression
    elements: SetReference | AnonymousSet


@dataclass(slots=True, unsafe_hash=True)
class Nat:
    """``dnat``, ``snat``, ``masquerade`` or ``redirect``.

    ``family``: ``ip`` or ``ip6`` where it is written. ``address`` and ``port`` None: not
    rewritten; a :class:`MapLookup` or :class:`Concatenation` in ``address`` may give both
    (``with_port`` is True where the text says so: ``dnat ip addr . port to …``).
    """

    kind: Literal["dnat", "snat", "masquerade", "redirect"]
    family: Literal["ip", "ip6"] | None = None
    address: Expression | None = None
    port: Expression | None = None
    flags: tuple[str, ...] = ()
    with_port: bool = field(default=False, compare=False)


@dataclass(slots=True, unsafe_hash=True)
class Reject:
    """``reject [with KIND]``; ``kind`` such as ``tcp reset`` or ``icmp host-unreachable``."""

    kind: str | None = None


@dataclass(slots=True, unsafe_hash=True)
class SetField:
    """``meta mark set VALUE``, ``ct mark set VALUE``."""

    field: Field
    value: Expression


@dataclass(slots=True, unsafe_hash=True)
class DynamicSet:
    """``add|update|delete @NAME { KEY [timeout …] [: DATA] }``: an element by the packet.

    ``timeout`` in milliseconds, None for the set's own. ``statements`` are what each element
    counts or limits; the rule ends where one of them does.
    """

    operation: Literal["add", "update", "delete"]
    name: str
    key: Expression
    timeout: int | None = None
    data: Expression | AnyVerdict | None = None
    statements: tuple[Statement, ...] = ()


@dataclass(slots=True, unsafe_hash=True)
class Notrack:
    """``notrack``: the packet gets no connection."""


@dataclass(slots=True, unsafe_hash=True)
class Counter:
    """``counter [packets N bytes N]``: changes nothing."""

    packets: int = field(default=0, compare=False)
    bytes: int = field(default=0, compare=False)


@dataclass(slots=True, unsafe_hash=True)
class Limit:
    """``limit rate …``: ends the rule above (``over``: below) a rate; ``text`` is the rest."""

    text: str


@dataclass(slots=True, unsafe_hash=True)
class Log:
    """``log …``: changes nothing; ``text`` is what follows."""

    text: str = ""


@dataclass(slots=True, unsafe_hash=True)
class OtherStatement:
    """A statement that svcc only carries along, as its text: ``queue``, ``xt target …``."""

    text: str


Statement = (
    Match
    | Verdict
    | Jump
    | Goto
    | VerdictMap
    | Nat
    | Reject
    | SetField
    | DynamicSet
    | Notrack
    | Counter
    | Limit
    | Log
    | OtherStatement
)
"""All that stands in a rule."""

# -- objects ---------------------------------------------------------------------------


@dataclass(slots=True, unsafe_hash=True)
class Element:
    """An element of a set or map; ``data`` None: of a set.

    ``timeout`` in milliseconds. ``statements`` are limits and quotas that a packet in the
    element must pass. ``expires`` and ``line`` take no part in comparison.
    """

    key: Expression
    data: Expression | AnyVerdict | None = None
    comment: str | None = None
    timeout: int | None = None
    statements: tuple[Statement, ...] = ()
    expires: int | None = field(default=None, compare=False)
    line: int = field(default=0, compare=False)


@dataclass(slots=True)
class Rule:
    """A rule; ``line`` and ``column`` are 1-based, 0 for one that nobody has read.

    ``handle`` is the kernel's name for it, where the text has it (``nft -a``).
    """

    statements: tuple[Statement, ...]
    comment: str | None = None
    handle: int | None = field(default=None, compare=False)
    line: int = field(default=0, compare=False)


@dataclass(slots=True, unsafe_hash=True)
class BaseChain:
    """Where a chain is hooked in. ``priority`` as a number; the lower is the earlier."""

    type: ChainType
    hook: Hook
    priority: int
    policy: Literal["accept", "drop"] = "accept"
    device: str | None = None


@dataclass(slots=True)
class Chain:
    """A chain; ``base`` None: reached by jumps only."""

    name: str
    base: BaseChain | None = None
    rules: list[Rule] = field(default_factory=list)
    comment: str | None = None
    line: int = field(default=0, compare=False)


@dataclass(slots=True, unsafe_hash=True)
class Types:
    """``ipv4_addr . inet_service``: the type of each part."""

    names: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Set:
    """A named set, or map where ``data`` is given.

    ``key`` and ``data`` are types (``type ipv4_addr . inet_service : verdict``) or an
    expression that has them (``typeof ip daddr . th dport``); of a map to verdicts ``data`` is
    ``Types(("verdict",))``. ``timeout`` and ``gc_interval`` in milliseconds. ``options`` has what
    else was given, as it was written (``policy memory``, ``auto-merge``, ``counter``).
    """

    name: str
    key: Types | Expression
    data: Types | Expression | None = None
    flags: frozenset[str] = frozenset()
    timeout: int | None = None
    gc_interval: int | None = None
    size: int | None = None
    options: tuple[str, ...] = ()
    comment: str | None = None
    elements: dict[Expression, Element] = field(default_factory=dict)
    """By key."""
    line: int = field(default=0, compare=False)

    def add(
        self,
        key: Expression,
        data: Expression | AnyVerdict | None = None,
        comment: str | None = None,
    ) -> None:
        """Add an element; one with the same key is replaced."""
        self.elements[key] = Element(key, data, comment)


@dataclass(slots=True)
class OtherObject:
    """A counter, quota, flowtable, helper and so on: as its text, ``name`` within its kind."""

    kind: str
    name: str
    text: str


@dataclass(slots=True)
class Table:
    """A table with all that is in it. ``flags`` such as ``dormant``."""

    family: TableFamily
    name: str
    sets: dict[str, Set] = field(default_factory=dict)
    """Sets and maps share their names."""
    chains: dict[str, Chain] = field(default_factory=dict)
    others: list[OtherObject] = field(default_factory=list)
    flags: frozenset[str] = frozenset()
    comment: str | None = None
    line: int = field(default=0, compare=False)

    @property
    def key(self) -> tuple[TableFamily, str]:
        """What tells it from other tables."""
        return self.family, self.name


@dataclass(slots=True)
class Ruleset:
    """What the kernel holds: tables by family and name, and the name of the text."""

    tables: dict[tuple[TableFamily, str], Table] = field(default_factory=dict)
    source: str = field(default="", compare=False)

    def add(self, table: Table) -> None:
        """Add a table; one of the same family and name is replaced."""
        self.tables[table.key] = table
