"""Schemas: what is left of a region's rules and expectation when the numbers are taken out.

Regions with equal schemas need one proof, which holds for all values of the numbers. A schema
is asked after many times, so it and its parts are hashed once, when they are made.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from svcc.grammar.address import Family
from svcc.verify.model.values import interned
from svcc.verify.slicing.schema_conditions import (
    SchemaAction,
    SchemaCondition,
    SchemaOutcome,
    SchemaPredicate,
)


@dataclass(frozen=True, slots=True)
class SchemaItem:
    """An item of a slice with its numbers taken out."""

    conditions: tuple[SchemaCondition, ...]
    action: SchemaAction
    body: tuple[SchemaItem, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.conditions, self.action, self.body)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Hook:
    """One base chain: ``drops`` if its policy is DROP."""

    table: str
    chain: str
    items: tuple[SchemaItem, ...]
    drops: bool
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.table, self.chain, self.items, self.drops)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class SchemaCase:
    """A case of the expectation, its networks and backends numbered."""

    condition: tuple[SchemaPredicate, ...]
    allowed: tuple[SchemaOutcome, ...]
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.condition, self.allowed)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A region as the solver sees it.

    ``rewriting`` are the hooks up to nat, ``inward`` those of a packet that ends on the node,
    ``onward`` those of one that leaves it (all of OUTPUT and POSTROUTING for the node's own
    packets, which pass ``inward`` afterwards if they end on the node).
    ``fixed_destination``: host 0 is the destination; else it is any. ``fixed_port``: port 0 is
    the destination port; else it is any. ``protocol`` None: any.
    ``local``: whether the destination is an address of the node, None if it may be.
    """

    family: Family
    from_node: bool
    rewriting: tuple[Hook, ...]
    inward: tuple[Hook, ...]
    onward: tuple[Hook, ...]
    cases: tuple[SchemaCase, ...]
    fixed_destination: bool
    fixed_port: bool
    protocol: int | None
    local: bool | None
    mark: int
    node_networks: tuple[tuple[int, int], ...]
    """(address, mask) of what is known to be local."""
    state: str = "NEW"
    """The packets' conntrack state."""
    facts: tuple[tuple[int, int, tuple[bool, ...]], ...] = ()
    """(address, mask, whether each numbered host lies inside) of the networks that conditions
    on the destination name: true of every region that has this schema."""
    marked: bool = False
    """Whether the packets arrive with the masquerade mark; else without."""
    balanced: tuple[SchemaItem, ...] = ()
    """The virtual servers that the packet may meet."""
    resent: tuple[Hook, ...] = ()
    """The hooks that what IPVS sends on passes once more, POSTROUTING aside."""
    local_hosts: tuple[int, ...] = ()
    """Numbered hosts that are known to be the node's own."""
    foreign_marks: tuple[tuple[int, int], ...] = ()
    """Marks (value, mask) with which no packet arrives."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rules = (self.rewriting, self.inward, self.onward, self.balanced, self.resent)
        packets = (self.from_node, self.protocol, self.local, self.state, self.facts)
        object.__setattr__(self, "_hash", hash((rules, self.cases, packets)))

    def __hash__(self) -> int:
        return self._hash


# Thousands of regions consist of few different parts: equal ones are made, hashed and compared
# as one object.
schema_item = interned(SchemaItem)
hook = interned(Hook)
schema_case = interned(SchemaCase)
schema_of = interned(Schema)
