"""What base chains can tell packets to one address apart by.

Thousands of regions look the same to the rules of filter and POSTROUTING. Two boxes that these
chains cannot tell apart have the same slice there, so one is cut for all of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import assert_never

from svcc.verify.model.actions import Dnat, Goto, Jump, MapMark
from svcc.verify.model.conditions import (
    AnyOf,
    Bpf,
    Condition,
    Connection,
    Destination,
    DestinationLocal,
    DestinationPort,
    InInterface,
    InSet,
    Mark,
    Never,
    OriginalDestination,
    OriginalPort,
    OriginalSource,
    OutInterface,
    PortList,
    Probability,
    Protocol,
    Recent,
    SentByIpvs,
    Source,
    SourceLocal,
    SourcePort,
    State,
    Unknown,
    VirtualDestination,
    VirtualPort,
)
from svcc.verify.model.rules import IndexedChain, Record
from svcc.verify.slicing.box import Box

Chains = Mapping[str, Mapping[str, IndexedChain]]
Projection = tuple[tuple[tuple[int, int], ...], int, int]

_BY_CONTENT = InSet | Recent | VirtualDestination | VirtualPort
"""What no box tells: contents of sets and lists, and where a packet was sent before IPVS."""


class Distinctions:
    """The networks, protocols and ports that some base chains, with all below them, name.

    ``covered`` are the base chains that can be asked about: those without translations, sets
    and recent lists below them.
    """

    def __init__(self, tables: Chains, base_chains: Iterable[tuple[str, str]]) -> None:
        self._tables = tables
        self._networks: dict[int, set[int]] = {}
        self._protocols: set[int] = set()
        self._bounds: set[int] = set()
        self._sorted_bounds: list[int] = []
        self.chains: set[tuple[str, str]] = set()
        """All chains below the covered base chains, and those."""
        self.covered = frozenset(place for place in base_chains if self._include(*place))

    @classmethod
    def of_records(cls, records: Iterable[Record]) -> Distinctions:
        """What some rules alone can tell apart."""
        found = cls({}, ())
        found._add(records)
        return found

    @classmethod
    def of_conditions(cls, conditions: Iterable[Condition]) -> Distinctions:
        """What some conditions can tell apart."""
        found = cls({}, ())
        for condition in conditions:
            found._add_condition(condition)
        found._sorted_bounds = sorted(found._bounds)
        return found

    def of(self, box: Box) -> Projection:
        """What the chains see of a box with one address and one port, its locality aside."""
        return (
            self.networks(box.address),
            box.protocol if box.protocol in self._protocols else 0,
            self.stretch(box.first_port),
        )

    def networks(self, address: int) -> tuple[tuple[int, int], ...]:
        """The networks (mask, address) that an address lies in."""
        return tuple(
            [
                (mask, address & mask)
                for mask, known in self._networks.items()
                if address & mask in known
            ]
        )

    def stretch(self, port: int) -> int:
        """The number of the stretch of ports that a port lies in, none of which is told apart."""
        return bisect_right(self._sorted_bounds, port)

    @property
    def bounds(self) -> frozenset[int]:
        """The ports at which a stretch begins."""
        return frozenset(self._bounds)

    def _include(self, table: str, name: str) -> bool:
        below = self._below(table, name)
        if below is None:
            return False
        for chain in below:
            self.chains.add((table, chain.name))
            self._add(chain.records)
        return True

    def _add(self, records: Iterable[Record]) -> None:
        for record in records:
            for condition in record.conditions:
                self._add_condition(condition)
        self._sorted_bounds = sorted(self._bounds)

    def _add_condition(self, condition: Condition) -> None:
        match condition:
            case Destination(address, mask) | OriginalDestination(address, mask):
                self._networks.setdefault(mask, set()).add(address)
            case Protocol(number):
                self._protocols.add(number)
            case DestinationPort(first, last) | OriginalPort(first, last):
                self._bounds |= {first, last + 1}
            case AnyOf(parts):
                for part in parts:
                    self._add_condition(part)
            case Connection():
                for detail in condition.details:
                    self._add_condition(detail)
            case DestinationLocal():
                # Who asks adds the box's locality.
                pass
            case (
                # No box decides them: they stay in every slice alike.
                Source()
                | OriginalSource()
                | SourcePort()
                | SourceLocal()
                | InInterface()
                | OutInterface()
                | Mark()
                | PortList()
                | Probability()
                | Bpf()
                | SentByIpvs()
                | Unknown()
            ):
                pass
            case State() | Never():
                # The same for every box.
                pass
            case InSet() | Recent() | VirtualDestination() | VirtualPort():
                # Not below a covered chain, nor in a run.
                pass
            case _:
                assert_never(condition)

    def _below(self, table: str, name: str) -> list[IndexedChain] | None:
        """The chains that a walk can visit; None if one of them translates or looks at sets."""
        chains = self._tables.get(table, {})
        found: dict[str, IndexedChain] = {}
        pending = [name]
        while pending:
            name = pending.pop()
            chain = chains.get(name)
            if chain is None or name in found:
                continue
            found[name] = chain
            for record in chain.records:
                if isinstance(record.action, Dnat | MapMark):
                    return None
                if any(isinstance(c, _BY_CONTENT) for c in record.conditions):
                    return None
                if isinstance(record.action, Jump | Goto):
                    pending.append(record.action.chain)
        return list(found.values())
