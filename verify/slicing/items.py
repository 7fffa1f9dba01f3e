"""What slices are made of: rules with what is left of their conditions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from svcc.verify.model.actions import (
    Accept,
    Continue,
    Dnat,
    Drop,
    Excused,
    Masquerade,
    Notrack,
    PlainAction,
    Reject,
    Return,
    SetMark,
    UnknownTarget,
)
from svcc.verify.model.conditions import InEntries, Predicate, Recent
from svcc.verify.model.rules import Record
from svcc.verify.model.values import value
from svcc.verify.slicing.schema import SchemaItem
from svcc.verify.slicing.schema_conditions import InlinedGoto, InlinedJump


@value
class ToEndpoints:
    """The packet goes to one of some addresses (None: any) and ports, as it is by now."""

    endpoints: tuple[tuple[int | None, int], ...]
    negated: bool = False


ItemCondition = Predicate | Recent | InEntries | ToEndpoints
"""What can be left of a rule's condition."""


@value
class InlinedRun:
    """Through a run of rules (:mod:`svcc.verify.slicing.plain_runs`), which are the item's body.

    ``schema_items``: the body as every region's schema has it, since it names no number.
    """

    schema_items: tuple[SchemaItem, ...]


@value
class Balance:
    """IPVS chooses: each choice is an address, a port (None: it stays) and a weight.

    ``timeout``: seconds that it remembers the choice, None: not at all.
    """

    choices: tuple[tuple[int, int | None, int], ...]
    timeout: int | None


ItemAction = PlainAction | InlinedJump | InlinedGoto | InlinedRun | Dnat | Balance
"""What a rule of a slice can do."""


@value
class Item:
    """A rule of a slice: residual conditions, an action, and a body for what is inlined."""

    conditions: tuple[ItemCondition, ...]
    action: ItemAction
    body: tuple[Item, ...]
    record: Record


def stops(item: Item) -> bool:
    """Whether no packet goes on behind the item."""
    if item.conditions:
        return False
    match item.action:
        case InlinedJump() | InlinedRun() | SetMark() | Continue() | Notrack():
            return False
        case (
            Dnat()
            | Return()
            | Accept()
            | Drop()
            | Reject()
            | InlinedGoto()
            | Masquerade()
            | Balance()
            | UnknownTarget()
            | Excused()
        ):
            return True
        case _:
            assert_never(item.action)


def with_bodies(items: Iterable[Item]) -> Iterator[Item]:
    """The items and all in their bodies."""
    pending = list(items)
    while pending:
        item = pending.pop()
        pending.extend(item.body)
        yield item
