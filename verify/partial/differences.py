"""What two states of tables differ in, for a proof that looks at that alone.

A packet meets other rules than before only where it matches an element that is otherwise, or goes
through a chain that is. Elements name an address or a port; so do those that lead to such chains.
Packets to and from all other addresses and ports see what they saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from svcc.grammar.address import Address
from svcc.grammar.nftables.program import (
    AnonymousSet,
    Chain,
    Concatenation,
    Element,
    Expression,
    Goto,
    Jump,
    Number,
    Ruleset,
    Set,
    Table,
    TableFamily,
    VerdictMap,
)
from svcc.verify.partial.lookups import are_ports, look_up_as_named

_Element = tuple[tuple[TableFamily, str], str, Expression]
"""Whose table and set, and the key."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What elements name: addresses, and ports where an element names no address."""

    addresses: frozenset[Address] = frozenset()
    ports: frozenset[int] = frozenset()

    def __or__(self, other: Subject) -> Subject:
        return Subject(self.addresses | other.addresses, self.ports | other.ports)


ChangedElements = Mapping[tuple[TableFamily, str], Mapping[str, frozenset[Expression]]]
"""Keys of elements that came, went or have other data, by table and set."""


def changed_elements(old: Ruleset, new: Ruleset) -> ChangedElements:
    """In which elements two states of tables differ."""
    found: dict[tuple[TableFamily, str], dict[str, frozenset[Expression]]] = {}
    for of in old.tables.keys() | new.tables.keys():
        before = old.tables[of].sets if of in old.tables else {}
        after = new.tables[of].sets if of in new.tables else {}
        found[of] = {
            name: frozenset(_differing(before.get(name), after.get(name)))
            for name in before.keys() | after.keys()
        }
    return found


def differences(old: Ruleset, new: Ruleset, changed: ChangedElements) -> Subject | None:
    """What the packets have in common that may meet other rules in one state than in the other.

    None: they may be any, since something else differs than elements and chains that only
    elements lead to. ``changed`` is from :func:`changed_elements`.
    """
    if old.tables.keys() != new.tables.keys():
        return None
    found = Subject()
    for key, table in old.tables.items():
        of_table = _of_table(table, new.tables[key], changed[key])
        if of_table is None:
            return None
        found |= of_table
    return found


class Elements:
    """The elements of tables by what they name."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self.are_told = all(
            look_up_as_named(table, table.chains.values()) for table in ruleset.tables.values()
        )
        """Whether elements are looked up by what they name; if not, parts tell nothing."""
        self._anything: set[_Element] = set()
        self._by_address: defaultdict[Address, set[_Element]] = defaultdict(set)
        self._by_port: defaultdict[int, set[_Element]] = defaultdict(set)
        for of, table in ruleset.tables.items():
            for name, item in table.sets.items():
                for key in item.elements:
                    self._note(item, (of, name, key), add=True)

    def follow(self, ruleset: Ruleset, changed: ChangedElements) -> None:
        """Be those of other tables."""
        for of, sets in changed.items():
            before, now = self._ruleset.tables[of].sets, ruleset.tables[of].sets
            for name, keys in sets.items():
                item = now[name] if name in now else before[name]
                for key in keys:
                    is_there = name in now and key in item.elements
                    self._note(item, (of, name, key), add=is_there)
        self._ruleset = ruleset

    def part(self, about: Subject) -> Ruleset:
        """The tables with those elements alone that a packet to or from these addresses and ports,
        or any packet, may match. Such a packet meets the same rules in it as in the whole.
        """
        found = set(self._anything)
        for address in about.addresses:
            found |= self._by_address.get(address, set())
        for number in about.ports:
            found |= self._by_port.get(number, set())
        made = Ruleset(source=self._ruleset.source)
        for table in self._ruleset.tables.values():
            sets = {name: replace(item, elements={}) for name, item in table.sets.items()}
            made.add(replace(table, sets=sets))
        for of, name, key in found:
            made.tables[of].sets[name].elements[key] = (
                self._ruleset.tables[of].sets[name].elements[key]
            )
        return made

    def _note(self, item: Set, element: _Element, *, add: bool) -> None:
        subject = _named(item, element[2])
        places = (
            [self._anything]
            if subject is None
            else [
                *(self._by_address[address] for address in subject.addresses),
                *(self._by_port[number] for number in subject.ports),
            ]
        )
        for place in places:
            (place.add if add else place.discard)(element)


def _named(item: Set, key: Expression) -> Subject | None:
    """What an element names; None: it may match whatever address and port a packet has."""
    parts = key.parts if isinstance(key, Concatenation) else (key,)
    addresses = frozenset(part for part in parts if isinstance(part, Address))
    if addresses:
        return Subject(addresses)
    ports = frozenset(
        part.value
        for part, is_port in zip(parts, are_ports(item.key), strict=False)
        if is_port and isinstance(part, Number)
    )
    return Subject(ports=ports) if ports else None


def _of_table(
    old: Table, new: Table, changed: Mapping[str, frozenset[Expression]]
) -> Subject | None:
    if (old.flags, old.others) != (new.flags, new.others):
        return None
    found: list[Subject | None] = []
    for name in old.sets.keys() | new.sets.keys():
        before, after = old.sets.get(name), new.sets.get(name)
        if before is not None and after is not None and not _is_defined_alike(before, after):
            return None
        item = after or before
        assert item is not None
        found += (_named(item, key) for key in changed[name])
    chains = {
        name
        for name in old.chains.keys() | new.chains.keys()
        if old.chains.get(name) != new.chains.get(name)
    }
    # What is the same object was looked at when it came.
    fresh = [chain for name, chain in new.chains.items() if old.chains.get(name) is not chain]
    if not look_up_as_named(new, fresh):
        return None
    if chains:
        leading = _leading_to(chains, (old, new))
        if leading is None:
            return None
        found += (_named(item, key) for item, key in leading)
    addresses: set[Address] = set()
    ports: set[int] = set()
    for subject in found:
        if subject is None:
            return None
        addresses |= subject.addresses
        ports |= subject.ports
    return Subject(frozenset(addresses), frozenset(ports))


def _is_defined_alike(one: Set, other: Set) -> bool:
    return replace(one, elements={}) == replace(other, elements={})


def _differing(before: Set | None, after: Set | None) -> Iterator[Expression]:
    """Keys of elements that came, went, or have other data."""
    if before is after:
        return
    old = {} if before is None else before.elements
    new = {} if after is None else after.elements
    keys = {e.key for e in _unshared(old, new)} | {e.key for e in _unshared(new, old)}
    for key in keys:
        was, now = old.get(key), new.get(key)
        if was is None or now is None or _means(now) != _means(was):
            yield key


def _unshared(
    elements: Mapping[Expression, Element], others: Mapping[Expression, Element]
) -> list[Element]:
    """The elements that others do not have as the very same object, as most of them do."""
    numbers = list(map(id, elements.values()))
    alone = set(numbers).difference(map(id, others.values()))
    if not alone:
        return []
    return [item for number, item in zip(numbers, elements.values(), strict=True)
            if number in alone]  # fmt: skip


def _means(element: Element) -> Element:
    """An element without what says nothing to the kernel."""
    return replace(element, comment=None)


def _leading_to(chains: set[str], tables: Iterable[Table]) -> list[tuple[Set, Expression]] | None:
    """The keys of all elements by which packets come to some chains; None: other packets do too."""
    found: list[tuple[Set, Expression]] = []
    reached = set(chains)
    for table in tables:
        by_elements, by_rules = _ways(table)
        waiting = list(reached & (table.chains.keys() | by_elements.keys() | by_rules.keys()))
        seen = set(waiting)
        while waiting:
            name = waiting.pop()
            chain = table.chains.get(name)
            if chain is not None and chain.base is not None:
                return None
            found += by_elements[name]
            for above in by_rules[name] - seen:
                seen.add(above)
                waiting.append(above)
        reached |= seen
    return found


def _ways(table: Table) -> tuple[dict[str, list[tuple[Set, Expression]]], dict[str, set[str]]]:
    """For each chain, the keys of elements that lead there, and the chains with rules that do."""
    by_elements: defaultdict[str, list[tuple[Set, Expression]]] = defaultdict(list)
    by_rules: defaultdict[str, set[str]] = defaultdict(set)
    for item in table.sets.values():
        if item.data is not None:
            for key, element in item.elements.items():
                if isinstance(element.data, Goto | Jump):
                    by_elements[element.data.chain].append((item, key))
    for chain in table.chains.values():
        for name in _led_to(chain):
            by_rules[name].add(chain.name)
    return by_elements, by_rules


def _led_to(chain: Chain) -> Iterator[str]:
    for rule in chain.rules:
        for statement in rule.statements:
            match statement:
                case Goto() | Jump():
                    yield statement.chain
                case VerdictMap(elements=AnonymousSet() as choices):
                    for element in choices.elements:
                        if isinstance(element.data, Goto | Jump):
                            yield element.data.chain
                case _:
                    continue
