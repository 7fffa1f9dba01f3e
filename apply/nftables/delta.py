"""From what svcc's tables hold to what is wanted: the commands of one nft transaction.

What is sent grows with the change: an endpoint more or less is an element or two. The kernel takes
the whole transaction or nothing (nf_tables_api.c), and every packet meets all of the old rules or
all of the new ones. Sets that packets fill (``flags dynamic``: the clients that backends remember)
are kept as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from svcc.grammar.nftables.program import (
    Chain,
    Concatenation,
    DynamicSet,
    Element,
    Expression,
    MapLookup,
    Match,
    Nat,
    Rule,
    Ruleset,
    Set,
    SetReference,
    Statement,
    Table,
    VerdictMap,
)
from svcc.grammar.nftables.write import (
    set_definition,
    write_element,
    write_expression,
    write_rule,
    write_table,
)

_ELEMENTS_A_COMMAND = 1000


@dataclass(slots=True)
class Delta:
    """The commands, and how much they change; ``tables`` are made, replaced or removed whole."""

    lines: list[str] = field(default_factory=list)
    tables: int = 0
    chains: int = 0
    sets: int = 0
    elements: int = 0

    @property
    def script(self) -> str:
        """The input of ``nft -f``; empty if there is nothing to change."""
        return "".join(f"{line}\n" for line in self.lines)

    def describe(self) -> str:
        """What is changed, in a line."""
        counts = (
            (self.tables, "table"), (self.chains, "chain"), (self.sets, "set"),
            (self.elements, "element"),
        )  # fmt: skip
        parts = [f"{count} {name}{'s' * (count != 1)}" for count, name in counts if count]
        return f"nftables: {', '.join(parts) or 'nothing'} changed"


def delta(current: Ruleset, wanted: Ruleset) -> Delta:
    """The change of svcc's tables; ``wanted`` without a table that is there removes it."""
    made = Delta()
    for key in dict.fromkeys((*current.tables, *wanted.tables)):
        old, new = current.tables.get(key), wanted.tables.get(key)
        if old is None:
            assert new is not None
            made.tables += 1
            made.lines.append(write_table(new).rstrip("\n"))
        elif new is None:
            made.tables += 1
            made.lines.append(f"delete table {old.family} {old.name}")
        elif _is_hooked_otherwise(old, new):
            made.tables += 1
            made.lines.append(f"delete table {old.family} {old.name}")
            made.lines.append(write_table(new).rstrip("\n"))
        else:
            _Change(old, new, made).write()
    return made


def replacement(current: Ruleset, wanted: Ruleset) -> Delta:
    """The same change with every table made anew."""
    made = Delta()
    for key in dict.fromkeys((*current.tables, *wanted.tables)):
        old, new = current.tables.get(key), wanted.tables.get(key)
        made.tables += 1
        if old is not None:
            made.lines.append(f"delete table {old.family} {old.name}")
        if new is not None:
            made.lines.append(write_table(new).rstrip("\n"))
    return made


def _is_hooked_otherwise(old: Table, new: Table) -> bool:
    def hooks(table: Table) -> dict[str, object]:
        return {name: chain.base for name, chain in table.chains.items() if chain.base is not None}

    return hooks(old) != hooks(new) or old.flags != new.flags or old.others != new.others


class _Change:
    """The change of one table, whose base chains stay."""

    def __init__(self, old: Table, new: Table, made: Delta) -> None:
        self._old = old
        self._new = new
        self._made = made
        self._of = f"{new.family} {new.name}"
        self._redefined = {
            name
            for name, item in new.sets.items()
            if name in old.sets and not _is_defined_alike(old.sets[name], item)
        }

    def write(self) -> None:
        """Write the commands.

        What refers to something goes before it, and comes after it.
        """
        old, new, made = self._old, self._new, self._made
        rewritten = [name for name, chain in new.chains.items() if self._is_rewritten(chain)]
        gone = [name for name in old.chains if name not in new.chains]
        unset = [n for n in old.sets if n not in new.sets or n in self._redefined]
        stale = {name: self._stale(name) for name in new.sets if name not in unset}
        fresh = {name: self._fresh(name) for name in new.sets}
        for name in (*rewritten, *gone):
            if name in old.chains and old.chains[name].rules:
                self._line(f"flush chain {self._of} {name}")
        for name, keys in stale.items():
            self._elements("delete", name, map(write_expression, keys), len(keys))
        for name in unset:
            self._line(f"delete {_kind(old.sets[name])} {self._of} {name}")
        for name in gone:
            self._line(f"delete chain {self._of} {name}")
        for name in rewritten:
            if name not in old.chains:
                comment = new.chains[name].comment
                body = "" if comment is None else f' {{ comment "{comment}"; }}'
                self._line(f"add chain {self._of} {name}{body}")
        for name, item in new.sets.items():
            if name not in old.sets or name in self._redefined:
                definition = "; ".join(set_definition(item))
                self._line(f"add {_kind(item)} {self._of} {name} {{ {definition}; }}")
        for name, elements in fresh.items():
            self._elements("add", name, map(write_element, elements), len(elements))
        for name in rewritten:
            for rule in new.chains[name].rules:
                self._line(f"add rule {self._of} {name} {write_rule(rule)}")
        made.chains += len(rewritten) + len(gone)
        made.sets += len({*unset, *new.sets} - ({*old.sets} - {*unset}))
        made.elements += sum(
            len({*stale.get(name, ()), *(element.key for element in elements)})
            for name, elements in fresh.items()
        )

    def _line(self, text: str) -> None:
        self._made.lines.append(text)

    def _elements(self, what: str, name: str, texts: Iterator[str], count: int) -> None:
        for _ in range(0, count, _ELEMENTS_A_COMMAND):
            listed = ", ".join(islice(texts, _ELEMENTS_A_COMMAND))
            self._line(f"{what} element {self._of} {name} {{ {listed} }}")

    def _is_rewritten(self, chain: Chain) -> bool:
        old = self._old.chains.get(chain.name)
        return (
            old is None
            or old.rules != chain.rules
            or any(not self._redefined.isdisjoint(_sets_of(rule)) for rule in chain.rules)
        )

    def _stale(self, name: str) -> list[Expression]:
        """Keys of elements that go or change."""
        if name not in self._old.sets or _is_filled_by_packets(self._new.sets[name]):
            return []
        wanted = self._new.sets[name].elements
        return [
            key
            for key, element in self._old.sets[name].elements.items()
            if wanted.get(key) != element
        ]

    def _fresh(self, name: str) -> list[Element]:
        """Elements that come or change."""
        if _is_filled_by_packets(self._new.sets[name]):
            return []
        there = {}
        if name in self._old.sets and name not in self._redefined:
            there = self._old.sets[name].elements
        return [
            element
            for key, element in self._new.sets[name].elements.items()
            if there.get(key) != element
        ]


def _kind(item: Set) -> str:
    return "set" if item.data is None else "map"


def _is_filled_by_packets(item: Set) -> bool:
    return "dynamic" in item.flags


def _is_defined_alike(old: Set, new: Set) -> bool:
    return set_definition(old) == set_definition(new)


def _sets_of(rule: Rule) -> Iterator[str]:
    for statement in rule.statements:
        yield from _sets_of_statement(statement)


def _sets_of_statement(statement: Statement) -> Iterator[str]:
    match statement:
        case Match():
            yield from _sets_in(statement.left, statement.right)
        case VerdictMap():
            yield from _sets_in(statement.key, statement.elements)
        case Nat():
            yield from _sets_in(*(e for e in (statement.address, statement.port) if e is not None))
        case DynamicSet():
            yield statement.name
        case _:
            # The others name no set in svcc's own rules.
            return


def _sets_in(*expressions: Expression) -> Iterator[str]:
    for expression in expressions:
        match expression:
            case SetReference():
                yield expression.name
            case MapLookup():
                yield from _sets_in(expression.key, expression.elements)
            case Concatenation():
                yield from _sets_in(*expression.parts)
            case _:
                continue
