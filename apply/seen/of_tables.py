"""Frontends of nftables mode: elements of maps (:mod:`svcc.compiler.lower.nftables`)."""

from __future__ import annotations

from collections.abc import Iterable

from svcc.apply.frontends import Backend, Frontend, Frontends, Key, add
from svcc.grammar.address import Address, Family
from svcc.grammar.nftables.program import (
    AnonymousSet,
    AnyVerdict,
    Concatenation,
    Expression,
    Goto,
    Jump,
    Nat,
    Number,
    Ruleset,
    Symbol,
    Table,
    VerdictMap,
)
from svcc.grammar.numbers import TRANSPORTS

_FRONTENDS = ("services", "node-ports")
_FAMILIES = {"ip": Family.IPV4, "ip6": Family.IPV6}


def of_tables(ruleset: Ruleset) -> Frontends:
    """The frontends of svcc's tables."""
    found: Frontends = {}
    for table in ruleset.tables.values():
        if (family := _FAMILIES.get(table.family)) is not None:
            _Reader(table, family, found).read()
    return found


class _Reader:
    def __init__(self, table: Table, family: Family, found: Frontends) -> None:
        self._table = table
        self._family = family
        self._found = found

    def read(self) -> None:
        for name in _FRONTENDS:
            item = self._table.sets.get(name)
            for key, element in item.elements.items() if item is not None else ():
                if (place := _key(self._family, key)) is not None:
                    known = add(self._found, place, element.comment or "")
                    known.rules.append(f"{self._table.family} svcc map {name}")
        for name, item in self._table.sets.items():
            if item.data is None:
                continue
            for key, element in item.elements.items():
                place = _key(self._family, key)
                if place is not None and (found := self._found.get(place)) is not None:
                    self._lead(found, name, element.data)

    def _lead(self, known: Frontend, name: str, data: Expression | AnyVerdict | None) -> None:
        """What an element says of where a frontend leads."""
        before = len(known.backends)
        match data:
            case Concatenation((Address() as address, Number() as port)):
                known.backends.add(Backend(address.value, port.value))
            case Goto() | Jump():
                known.backends |= self._behind([data], set())
            case _:
                return
        if len(known.backends) > before:
            rule = f"{self._table.family} svcc map {name}"
            if rule not in known.rules:
                known.rules.append(rule)

    def _behind(self, verdicts: Iterable[Goto | Jump], walked: set[str]) -> set[Backend]:
        """Backends that chains name themselves, as those with affinity do."""
        found: set[Backend] = set()
        for verdict in verdicts:
            if verdict.chain in walked:
                continue
            walked.add(verdict.chain)
            chain = self._table.chains.get(verdict.chain)
            for rule in chain.rules if chain is not None else ():
                for statement in rule.statements:
                    match statement:
                        case Nat(address=Address() as address, port=Number() as port):
                            found.add(Backend(address.value, port.value))
                        case Goto() | Jump():
                            found |= self._behind([statement], walked)
                        case VerdictMap(elements=AnonymousSet() as choices):
                            data = (element.data for element in choices.elements)
                            below = [item for item in data if isinstance(item, Goto | Jump)]
                            found |= self._behind(below, walked)
        return found


def _key(family: Family, key: Expression) -> Key | None:
    match key:
        case Concatenation((Address() as address, Symbol(protocol), Number() as port, *_)):
            number = TRANSPORTS.get(protocol)
            return None if number is None else Key(family, number, address.value, port.value)
        case Concatenation((Symbol(protocol), Number() as port, *_)):
            number = TRANSPORTS.get(protocol)
            return None if number is None else Key(family, number, None, port.value)
        case _:
            return None
