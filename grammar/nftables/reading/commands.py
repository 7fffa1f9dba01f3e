"""Commands of ``nft -f``, and the rule set that they leave."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import cast

from svcc.grammar.nftables.program import (
    MAX_NAME,
    BaseChain,
    Chain,
    Expression,
    OtherObject,
    Ruleset,
    Set,
    Table,
    TableFamily,
)
from svcc.grammar.nftables.reading.blocks import NAME, SEPARATOR
from svcc.grammar.nftables.reading.check import Checker
from svcc.grammar.nftables.reading.expressions import Datatypes
from svcc.grammar.nftables.reading.intervals import is_interval, overlapping
from svcc.grammar.nftables.reading.rules import Rules
from svcc.grammar.nftables.reading.shapes import TextError
from svcc.grammar.nftables.reading.source import Source
from svcc.grammar.nftables.write import write_expression

_FAMILY = r"(?:(ip6?|inet|arp|bridge|netdev)[ \t]+)?"
_TABLE = re.compile(rf"(?:(?:add|create)[ \t]+)?table[ \t]+{_FAMILY}({NAME})(?:[ \t]*(\{{))?")
_OBJECT = re.compile(
    rf"(?:(?:add|create)[ \t]+)?(chain|set|map)[ \t]+{_FAMILY}({NAME})[ \t]+({NAME})"
    r"(?:[ \t]*(\{))?"
)
_RULE = re.compile(
    rf"(?:(add|insert)[ \t]+)?rule[ \t]+{_FAMILY}({NAME})[ \t]+({NAME})[ \t]+"
    r"(?:(position|handle|index)[ \t]+(\d+)[ \t]*)?"
)
_ELEMENT = re.compile(
    rf"(add|create|delete|destroy)[ \t]+element[ \t]+{_FAMILY}({NAME})[ \t]+({NAME})[ \t]*\{{"
)
_REMOVE = re.compile(
    rf"(delete|destroy|flush)[ \t]+(table|chain|set|map)[ \t]+{_FAMILY}({NAME})(?:[ \t]+({NAME}))?"
)
_FLUSH_RULESET = re.compile(r"flush[ \t]+ruleset(?:[ \t]+(ip6?|inet|arp|bridge|netdev))?")
_RENAME = re.compile(rf"rename[ \t]+chain[ \t]+{_FAMILY}({NAME})[ \t]+({NAME})[ \t]+({NAME})")
_WORDS = re.compile(r"[\w-]+(?:[ \t]+[\w-]+)?|\S")

BlockReader = Callable[[Table, int], int]
ChainReader = Callable[[Table, Chain, int], int]
SetReader = Callable[[Table, str, str, int], int]
SetKinds = tuple[Datatypes, Datatypes | None]


class State:
    """The rule set so far, and what was told of it that is checked at the end."""

    def __init__(self, ruleset: Ruleset, source: Source) -> None:
        self.ruleset = ruleset
        self.source = source
        self._rules: dict[tuple[TableFamily, str], Rules] = {}
        self._types: dict[tuple[TableFamily, str], dict[str, SetKinds]] = {}

    def table(self, family: TableFamily, name: str, position: int) -> Table:
        """A table, made where there is none."""
        found = self.ruleset.tables.get((family, name))
        if found is None:
            _check_name(name, position)
            found = Table(family, name, line=self.source.line(position))
            self.ruleset.add(found)
        return found

    def chain(self, table: Table, name: str, position: int) -> Chain:
        """A chain, made where there is none."""
        found = table.chains.get(name)
        if found is None:
            _check_name(name, position)
            found = table.chains[name] = Chain(name, line=self.source.line(position))
        return found

    def hook(self, chain: Chain, base: BaseChain, position: int) -> None:
        """Hook a chain in.

        Raises:
            TextError: it is hooked in elsewhere already.
        """
        known = chain.base
        if known is not None and (known.type, known.hook, known.priority, known.device) != (
            base.type,
            base.hook,
            base.priority,
            base.device,
        ):
            raise TextError(position, f"chain {chain.name} is hooked in otherwise already")
        if known is None and chain.rules:
            raise TextError(position, f"chain {chain.name} has rules already; hook it in before")
        chain.base = base

    def other(self, table: Table, item: OtherObject) -> None:
        """Keep an object that is carried along; one that is there already is the same."""
        if all((known.kind, known.name) != (item.kind, item.name) for known in table.others):
            table.others.append(item)

    def rules(self, table: Table) -> Rules:
        """What reads rules of a table."""
        found = self._rules.get(table.key)
        if found is None:
            types = self._types.setdefault(table.key, {})
            found = self._rules[table.key] = Rules(self.source, table.family, types)
        return found

    def declare(self, table: Table, item: Set, types: SetKinds, position: int) -> Set:
        """Add a set or map; one that is declared again must be the same.

        Raises:
            TextError: it is another.
        """
        known = table.sets.get(item.name)
        if known is None:
            _check_name(item.name, position)
            table.sets[item.name] = item
            self._types.setdefault(table.key, {})[item.name] = types
            return item
        if self._types[table.key][item.name] != types or known.flags != item.flags:
            raise TextError(position - 1, f"{item.name} is declared otherwise already")
        return known

    def add_elements(self, table: Table, item: Set, position: int) -> int:
        """Read a list from behind its brace on; where it ends.

        Raises:
            TextError: nft would not take an element.
        """
        keys, data = self._types[table.key][item.name]
        lists = self.rules(table).lists
        lists.here = position
        elements, line = item.elements, self.source.line
        takes_intervals = "interval" in item.flags
        takes_times = item.timeout is not None or "timeout" in item.flags
        offsets: dict[Expression, int] = {}
        for element, offset in lists.read(self.source.text, position, keys, data):
            element.line = line(offset)
            if takes_intervals:
                offsets[element.key] = offset
            elif is_interval(element.key):
                raise TextError(offset, f"{item.name} takes no ranges; declare it with interval")
            if element.timeout is not None and not takes_times:
                raise TextError(offset, f"{item.name} has no timeouts; declare it with timeout")
            known = elements.setdefault(element.key, element)
            if known is not element:
                if known.data != element.data:
                    raise TextError(offset, "the map has this key already, with other data")
                elements[element.key] = element
        if offsets and len(keys) == 1 and "auto-merge" not in item.options:
            for key in overlapping(elements, keys[0]):
                shown = write_expression(key)
                raise TextError(offsets.get(key, position), f"{shown} overlaps another element")
        return lists.end

    def remove_elements(self, table: Table, item: Set, position: int, *, must: bool) -> int:
        """Take elements out; where their list ends.

        Raises:
            TextError: one is not there.
        """
        keys, data = self._types[table.key][item.name]
        lists = self.rules(table).lists
        for element, offset in lists.read(self.source.text, position, keys, data, may_lack=True):
            if item.elements.pop(element.key, None) is None and must:
                raise TextError(offset, f"{item.name} has no such element before this")
        return lists.end

    def forget(self, table: Table, name: str | None = None) -> None:
        """A set is gone, or a whole table with all that was told of it."""
        if name is None:
            self._rules.pop(table.key, None)
            self._types.pop(table.key, None)
        else:
            self._types.get(table.key, {}).pop(name, None)

    def check(self) -> Iterator[tuple[int, str]]:
        """What is wrong with the whole: offset and message."""
        for key, table in self.ruleset.tables.items():
            rules = self._rules.get(key)
            if rules is not None:
                yield from Checker(table, rules, self._types.get(key, {})).problems()


class Commands:
    """Reads one command after another."""

    def __init__(
        self, state: State, table: BlockReader, chain: ChainReader, item: SetReader
    ) -> None:
        self._state = state
        self._text = state.source.text
        self._table_block = table
        self._chain_block = chain
        self._set_block = item

    def read(self, position: int) -> int:
        """A command, and where it ends.

        Raises:
            TextError: nft would not take it.
        """
        for start, run in (
            (_TABLE, self._table), (_OBJECT, self._object), (_RULE, self._rule),
            (_ELEMENT, self._element), (_FLUSH_RULESET, self._flush_ruleset),
            (_REMOVE, self._remove), (_RENAME, self._rename),
        ):  # fmt: skip
            found = start.match(self._text, position)
            if found is not None:
                return run(found)
        word = _WORDS.match(self._text, position)
        shown = word[0] if word else ""
        raise TextError(position, _refusal(shown))

    def _end(self, position: int) -> int:
        found = SEPARATOR.match(self._text, position)
        if found is None:
            raise TextError(position, "the command must end with its line or with ;")
        return found.end()

    def _known_table(self, family: str | None, name: str, position: int) -> Table:
        key = (cast(TableFamily, family or "ip"), name)
        found = self._state.ruleset.tables.get(key)
        if found is None:
            message = f"no table {key[0]} {name} before this; write add table {key[0]} {name}"
            raise TextError(position, message)
        return found

    def _known_set(self, table: Table, name: str, position: int) -> Set:
        found = table.sets.get(name)
        if found is None:
            raise TextError(position, f"no set or map {name} in {table.name} before this")
        return found

    def _known_chain(self, table: Table, name: str, position: int) -> Chain:
        found = table.chains.get(name)
        if found is None:
            message = f"no chain {name} in {table.name} before this; write add chain first"
            raise TextError(position, message)
        return found

    def _table(self, found: re.Match[str]) -> int:
        family = cast(TableFamily, found[1] or "ip")
        table = self._state.table(family, found[2], found.start(2))
        if not found[3]:
            return self._end(found.end())
        return self._end(self._table_block(table, found.end()))

    def _object(self, found: re.Match[str]) -> int:
        kind, family, table_name, name, brace = found.groups()
        table = self._known_table(family, table_name, found.start(3))
        if kind == "chain":
            chain = self._state.chain(table, name, found.start(4))
            return self._end(self._chain_block(table, chain, found.end()) if brace else found.end())
        if not brace:
            raise TextError(found.end(), f"a {kind} needs a type; write {{ type KEY; }}")
        return self._end(self._set_block(table, kind, name, found.end()))

    def _rule(self, found: re.Match[str]) -> int:
        how, family, table_name, name, where, number = found.groups()
        table = self._known_table(family, table_name, found.start(3))
        chain = self._known_chain(table, name, found.start(4))
        rule, end = self._state.rules(table).read(found.end())
        place = 0 if how == "insert" else len(chain.rules)
        if where is not None:
            index = int(number)
            if where != "index":
                handles = [known.handle for known in chain.rules]
                if index not in handles:
                    raise TextError(found.start(5), f"no rule with handle {index} before this")
                index = handles.index(index)
            elif index >= len(chain.rules):
                raise TextError(found.start(5), f"no rule with index {index} before this")
            place = index if how == "insert" else index + 1
        chain.rules.insert(place, rule)
        return end

    def _element(self, found: re.Match[str]) -> int:
        how, family, table_name, name = found.groups()
        table = self._known_table(family, table_name, found.start(3))
        item = self._known_set(table, name, found.start(4))
        if how in ("add", "create"):
            return self._end(self._state.add_elements(table, item, found.end()))
        end = self._state.remove_elements(table, item, found.end(), must=how == "delete")
        return self._end(end)

    def _flush_ruleset(self, found: re.Match[str]) -> int:
        for key, table in list(self._state.ruleset.tables.items()):
            if found[1] is None or key[0] == found[1]:
                del self._state.ruleset.tables[key]
                self._state.forget(table)
        return self._end(found.end())

    def _remove(self, found: re.Match[str]) -> int:
        how, kind, family, table_name, name = found.groups()
        key = (cast(TableFamily, family or "ip"), table_name)
        if how == "destroy" and key not in self._state.ruleset.tables:
            return self._end(found.end())
        table = self._known_table(family, table_name, found.start(4))
        if (kind == "table") != (name is None):
            raise TextError(found.end(), f"write {how} {kind} FAMILY TABLE" +
                            ("" if kind == "table" else " NAME"))  # fmt: skip
        if kind == "table":
            if how == "flush":
                for chain in table.chains.values():
                    chain.rules.clear()
            else:
                del self._state.ruleset.tables[key]
                self._state.forget(table)
        elif kind == "chain":
            self._remove_chain(how, table, name, found.start(5))
        else:
            self._remove_set(how, table, name, found.start(5))
        return self._end(found.end())

    def _remove_chain(self, how: str, table: Table, name: str, position: int) -> None:
        if how == "destroy" and name not in table.chains:
            return
        chain = self._known_chain(table, name, position)
        chain.rules.clear()
        if how != "flush":
            del table.chains[name]

    def _remove_set(self, how: str, table: Table, name: str, position: int) -> None:
        if how == "destroy" and name not in table.sets:
            return
        item = self._known_set(table, name, position)
        item.elements.clear()
        if how != "flush":
            del table.sets[name]
            self._state.forget(table, name)

    def _rename(self, found: re.Match[str]) -> int:
        table = self._known_table(found[1], found[2], found.start(2))
        chain = self._known_chain(table, found[3], found.start(3))
        if found[4] in table.chains:
            raise TextError(found.start(4), f"there is a chain {found[4]} already")
        chain.name = found[4]
        table.chains = {item.name: item for item in table.chains.values()}
        return self._end(found.end())


def _refusal(word: str) -> str:
    match word.split()[0] if word else "":
        case "include":
            return "svcc reads one file; put what is included in its place"
        case "list" | "monitor" | "describe" | "reset" | "get" | "export":
            return f"{word!r} shows something; a file of rules has what is to be there"
        case "delete" | "replace" | "destroy":
            return f"{word!r} needs the kernel's handles; write the whole chain"
        case _:
            return f"cannot read {word!r} here; write table FAMILY NAME {{ … }}"


def _check_name(name: str, position: int) -> None:
    if len(name.encode()) > MAX_NAME:
        raise TextError(position, f"the name is longer than {MAX_NAME} bytes")
