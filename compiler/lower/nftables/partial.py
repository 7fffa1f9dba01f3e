"""Tables of before, with some Service ports otherwise: what the lowering of everything would make.

Every frontend and backend is an element, so that the rest of the tables stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from svcc.compiler.lower.nftables.frontends import HAIRPINS, REFUSE, SERVICES
from svcc.compiler.lower.nftables.lowering import SHARED_CHAINS, add_frontends, add_shared
from svcc.compiler.lower.nftables.table import TableWriter
from svcc.compiler.lower.nftables.terms import TERMS
from svcc.compiler.resolve.forwarding import Forwarding, ServicePort
from svcc.grammar.address import Address, Family
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Chain,
    Concatenation,
    Element,
    Expression,
    Goto,
    Jump,
    Ruleset,
    Set,
    Table,
    VerdictMap,
)

IsUsed = Callable[[Family, int], bool]
"""Whether a Service port that stays as it is has this backend address."""


def patched(
    tables: Ruleset,
    forwarding: Forwarding,
    old: Iterable[ServicePort],
    new: Iterable[ServicePort],
    is_used: IsUsed,
    *,
    comments: bool = True,
) -> Ruleset:
    """The tables of other Service ports; those given are not changed, and share what stays.

    Args:
        tables: as they were made, with the same ``comments``.
        forwarding: what is forwarded now.
        old: the Service ports that are otherwise now, or gone, as they were.
        new: the same as they are now, and those that came.
        is_used: asked of backends of ``old``.
    """
    before, after = list(old), list(new)
    made = Ruleset(source=tables.source)
    for family in Family:
        patch = _Patch(tables.tables[TERMS[family].word, "svcc"], family, comments, is_used)
        gone = patch.alone([p for p in before if p.family is family], forwarding)
        come = patch.alone([p for p in after if p.family is family], forwarding)
        made.add(patch.apply(gone, come, forwarding))
    return made


class _Patch:
    def __init__(self, table: Table, family: Family, comments: bool, is_used: IsUsed) -> None:
        self._table = replace(table, sets=dict(table.sets), chains=dict(table.chains))
        self._family = family
        self._comments = comments
        self._is_used = is_used
        self._copied: set[str] = set()

    def alone(self, services: list[ServicePort], forwarding: Forwarding) -> Table:
        """What is there for some Service ports."""
        writer = TableWriter(TERMS[self._family].word, comments=self._comments)
        add_frontends(writer, services, self._family, forwarding.settings)
        return writer.table

    def apply(self, gone: Table, come: Table, forwarding: Forwarding) -> Table:
        """The table with one part in the place of another."""
        table = self._table
        for name in SHARED_CHAINS:
            table.chains.pop(name, None)
        for name, item in gone.sets.items():
            elements = self._elements(name)
            for key in item.elements:
                if self._is_stale(name, key):
                    elements.pop(key, None)
        for name, item in come.sets.items():
            if name not in table.sets or not item.elements:
                # Sets that packets fill have their Service port's settings.
                table.sets[name] = replace(item, elements={})
                self._copied.add(name)
            self._elements(name).update(item.elements)
        for name, item in gone.sets.items():
            is_filled_by_packets = "dynamic" in item.flags
            if name not in come.sets and (is_filled_by_packets or not table.sets[name].elements):
                del table.sets[name]
        table.chains.update(come.chains)
        # The shared chains, which are made anew, lead there as long as there is any frontend.
        maybe_unused = {*gone.chains, *([] if SERVICES in table.sets else [REFUSE])}
        self._remove_chains(maybe_unused - come.chains.keys())
        writer = TableWriter(table.family, comments=self._comments, table=table)
        add_shared(writer, forwarding, self._family)
        return table

    def _elements(self, name: str) -> dict[Expression, Element]:
        """A set's elements, of which nobody else knows."""
        item = self._table.sets[name]
        if name not in self._copied:
            self._copied.add(name)
            item = self._table.sets[name] = replace(item, elements=dict(item.elements))
        return item.elements

    def _is_stale(self, name: str, key: Expression) -> bool:
        """Whether an element was there for no other Service port."""
        if name != HAIRPINS:
            return True
        assert isinstance(key, Concatenation)
        address = key.parts[0]
        assert isinstance(address, Address)
        return not self._is_used(self._family, address.value)

    def _remove_chains(self, names: Iterable[str]) -> None:
        """Remove those of some chains that nothing leads to any more."""
        left = self._table.chains.keys() & set(names)
        if SERVICES in self._table.sets:
            left.discard(REFUSE)
        while left:
            used = _led_to(self._table.sets.values(), self._table.chains.values())
            unused = left - used
            if not unused:
                return
            for name in unused:
                del self._table.chains[name]
            left -= unused


def _led_to(sets: Iterable[Set], chains: Iterable[Chain]) -> set[str]:
    """The chains that elements and rules lead to."""
    found: set[str] = set()

    def note(verdict: object) -> None:
        if isinstance(verdict, Goto | Jump):
            found.add(verdict.chain)

    for item in sets:
        if item.data is not None:
            for element in item.elements.values():
                note(element.data)
    for chain in chains:
        for rule in chain.rules:
            for statement in rule.statements:
                note(statement)
                if isinstance(statement, VerdictMap) and isinstance(
                    statement.elements, AnonymousSet
                ):
                    for choice in statement.elements.elements:
                        note(choice.data)
    return found
