"""What two states of tables differ in, for a proof that looks at that alone.

A packet meets other rules than before only where it matches an element that is otherwise, or goes
through a chain that is. Elements name an address or a port; so do those that lead to such chains.
Packets to and from all other addresses and ports see what they saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
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
    VerdictMap,
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What elements name: addresses, and ports where an element names no address."""

    addresses: frozenset[Address] = frozenset()
    ports: frozenset[int] = frozenset()

    def __or__(self, other: Subject) -> Subject:
        return Subject(self.addresses | other.addresses, self.ports | other.ports)


def differences(old: Ruleset, new: Ruleset) -> Subject | None:
    """What the packets have in common that may meet other rules in one state than in the other.

    None: they may be any, since something else differs than elements and chains that only
    elements lead to.
    """
    if old.tables.keys() != new.tables.keys():
        return None
    found = Subject()
    for key, table in old.tables.items():
        of_table = _of_table(table, new.tables[key])
        if of_table is None:
            return None
        found |= of_table
    return found


def part(ruleset: Ruleset, about: Subject) -> Ruleset:
    """The tables with those elements alone that a packet to or from these addresses and ports, or
    any packet, may match. Such a packet meets the same rules in it as in the whole.
    """
    made = Ruleset(source=ruleset.source)
    for table in ruleset.tables.values():
        sets = {name: _part_of_set(item, about) for name, item in table.sets.items()}
        made.add(replace(table, sets=sets))
    return made


def _part_of_set(item: Set, about: Subject) -> Set:
    kept = {}
    for key, element in item.elements.items():
        subject = _named(key)
        if (
            subject is None
            or not subject.addresses.isdisjoint(about.addresses)
            or not subject.ports.isdisjoint(about.ports)
        ):
            kept[key] = element
    return replace(item, elements=kept)


def _named(key: Expression) -> Subject | None:
    """What an element names; None: it may match whatever address and port a packet has."""
    parts = key.parts if isinstance(key, Concatenation) else (key,)
    addresses = frozenset(part for part in parts if isinstance(part, Address))
    if addresses:
        return Subject(addresses)
    ports = frozenset(part.value for part in parts if isinstance(part, Number))
    return Subject(ports=ports) if ports else None


def _of_table(old: Table, new: Table) -> Subject | None:
    if (old.flags, old.others) != (new.flags, new.others):
        return None
    keys: set[Expression] = set()
    for name in old.sets.keys() | new.sets.keys():
        before, after = old.sets.get(name), new.sets.get(name)
        if before is after:
            continue
        if before is not None and after is not None and not _is_defined_alike(before, after):
            return None
        keys.update(_differing(before, after))
    chains = {
        name
        for name in old.chains.keys() | new.chains.keys()
        if old.chains.get(name) != new.chains.get(name)
    }
    leading = _leading_to(chains, (old, new)) if chains else frozenset()
    if leading is None:
        return None
    found = Subject()
    addresses: set[Address] = set()
    ports: set[int] = set()
    for key in (*keys, *leading):
        subject = _named(key)
        if subject is None:
            return None
        addresses |= subject.addresses
        ports |= subject.ports
    return found | Subject(frozenset(addresses), frozenset(ports))


def _is_defined_alike(one: Set, other: Set) -> bool:
    return replace(one, elements={}) == replace(other, elements={})


def _differing(before: Set | None, after: Set | None) -> Iterator[Expression]:
    """Keys of elements that came, went, or have other data."""
    old = {} if before is None else before.elements
    new = {} if after is None else after.elements
    for key, element in old.items():
        now = new.get(key)
        if now is not element and (now is None or _means(now) != _means(element)):
            yield key
    yield from (key for key in new if key not in old)


def _means(element: Element) -> Element:
    """An element without what says nothing to the kernel."""
    return replace(element, comment=None)


def _leading_to(chains: set[str], tables: Iterable[Table]) -> frozenset[Expression] | None:
    """The keys of all elements by which packets come to some chains; None: other packets do too."""
    found: set[Expression] = set()
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
            found.update(by_elements[name])
            for above in by_rules[name] - seen:
                seen.add(above)
                waiting.append(above)
        reached |= seen
    return frozenset(found)


def _ways(table: Table) -> tuple[dict[str, list[Expression]], dict[str, set[str]]]:
    """For each chain, the keys of elements that lead there, and the chains with rules that do."""
    by_elements: defaultdict[str, list[Expression]] = defaultdict(list)
    by_rules: defaultdict[str, set[str]] = defaultdict(set)
    for item in table.sets.values():
        if item.data is not None:
            for key, element in item.elements.items():
                if isinstance(element.data, Goto | Jump):
                    by_elements[element.data.chain].append(key)
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
