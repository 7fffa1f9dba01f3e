"""nftables text to tables: what ``nft list`` prints, and the scripts that ``nft -f`` reads.

Written by hand and not with lark as iptables' grammar: nft's own grammar depends on the context at
every word, and its texts have tens of thousands of chains and elements, each read once. Elements
and rules are split by regular expressions and read from left to right.
"""

from __future__ import annotations

from dataclasses import replace

from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.nftables.elements import ElementError, read_elements
from svcc.grammar.nftables.priorities import number_of
from svcc.grammar.nftables.program import (
    CHAIN_TYPES,
    FAMILIES,
    HOOKS,
    BaseChain,
    Chain,
    ChainType,
    Element,
    Expression,
    Hook,
    OtherObject,
    Ruleset,
    Set,
    Table,
    TableFamily,
    Types,
)
from svcc.grammar.nftables.references import undeclared
from svcc.grammar.nftables.scan import Scanner
from svcc.grammar.nftables.statements import WORDS, RuleError, read_expression, read_rule
from svcc.grammar.nftables.values import milliseconds

_FAMILY_OF: dict[str, TableFamily] = {family: family for family in FAMILIES}
_HOOK_OF: dict[str, Hook] = {hook: hook for hook in HOOKS}
_TYPE_OF: dict[str, ChainType] = {kind: kind for kind in CHAIN_TYPES}
_OTHERS = ("counter", "quota", "limit", "ct", "flowtable", "synproxy", "secmark")
_SET_OPTIONS = ("policy", "auto-merge", "counter", "quota", "limit")


def parse(text: str, *, source: str) -> Ruleset:
    """The tables that are there when the text has been loaded on nothing.

    Args:
        text: of ``nft list ruleset`` or for ``nft -f``.
        source: its name in messages.

    Raises:
        InputError: nft would not take it.
    """
    reader = _Parser(text, source)
    reader.read()
    problems = reader.problems or list(undeclared(reader.ruleset))
    if problems:
        raise InputError(problems)
    return reader.ruleset


class _WrongError(Exception):
    """Something that nft would not take, at an offset."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at
        self.message = message


class _Parser:
    def __init__(self, text: str, source: str) -> None:
        self._scanner = Scanner(text)
        self.ruleset = Ruleset(source=source)
        self.problems: list[Problem] = []

    def _problem(self, at: int, message: str) -> None:
        line, column = self._scanner.line_of(at), self._scanner.column_of(at)
        self.problems.append(Problem(Position(self.ruleset.source, line, column), message))

    def read(self) -> None:
        """All commands."""
        scanner = self._scanner
        while not scanner.is_done():
            start = scanner.at
            words = scanner.words_of_head()
            try:
                if not words:
                    raise _WrongError(start, "a table or a command such as add is expected here")
                self._command(words, start)
            except _WrongError as wrong:
                self._problem(wrong.at, wrong.message)
                _pass_over(scanner)

    # -- commands ----------------------------------------------------------------------

    def _command(self, words: list[str], start: int) -> None:
        command, *rest = words
        if command == "table":
            self._table(rest, start)
        elif command in ("add", "create"):
            self._add(rest, start)
        elif command in ("delete", "destroy"):
            self._delete(rest, start, must_be=command == "delete")
        elif command == "flush":
            self._flush(rest, start)
        else:
            raise _WrongError(
                start,
                f"svcc reads no {command!r}; give what `nft list ruleset` prints, or tables and "
                "the commands add, delete, destroy and flush",
            )

    def _table_key(self, words: list[str], start: int) -> tuple[tuple[TableFamily, str], list[str]]:
        """Family and name of the table that words begin with, and the words behind."""
        family: TableFamily = "ip"
        if words and words[0] in _FAMILY_OF:
            family, words = _FAMILY_OF[words[0]], words[1:]
        if not words:
            raise _WrongError(start, "the name of a table is missing")
        return (family, words[0]), words[1:]

    def _known_table(self, words: list[str], start: int) -> tuple[Table, list[str]]:
        key, rest = self._table_key(words, start)
        table = self.ruleset.tables.get(key)
        if table is None:
            raise _WrongError(start, f"there is no table {' '.join(key)}; add it first")
        return table, rest

    def _table(self, words: list[str], start: int) -> None:
        key, rest = self._table_key(words, start)
        if rest:
            raise _WrongError(start, f"{rest[0]!r} is not expected behind the name of a table")
        table = self.ruleset.tables.get(key)
        if table is None:
            table = Table(*key, line=self._scanner.line_of(start))
            self.ruleset.add(table)
        if self._scanner.take("{"):
            self._body(table)

    def _add(self, words: list[str], start: int) -> None:
        if not words:
            raise _WrongError(start, "what to add is missing")
        kind, *rest = words
        if kind == "table":
            self._table(rest, start)
            return
        if kind == "rule":
            self._add_rule(rest, start)
            return
        table, names = self._known_table(rest, start)
        if len(names) != 1:
            raise _WrongError(start, f"add {kind} needs one name behind the table")
        if kind == "element":
            self._add_elements(table, names[0], start)
        elif kind in ("set", "map"):
            self._set(table, kind, names[0], start)
        elif kind == "chain":
            self._chain(table, names[0], start)
        else:
            raise _WrongError(start, f"svcc reads no 'add {kind}'")

    def _add_rule(self, words: list[str], start: int) -> None:
        table, rest = self._known_table(words, start)
        if not rest or rest[0] not in table.chains:
            raise _WrongError(start, "there is no such chain; add it first")
        scanner = self._scanner
        # The rule begins behind the chain's name, which the words are of.
        offset = scanner.text.index(rest[0], start + len("add rule"))
        scanner.at = offset + len(rest[0])
        self._rule(table.chains[rest[0]])

    def _add_elements(self, table: Table, name: str, start: int) -> None:
        item = table.sets.get(name)
        if item is None:
            raise _WrongError(start, f"there is no set or map {name}; add it first")
        self._scanner.skip()
        text, offset = self._scanner.block()
        self._elements(item, text, offset)

    def _delete(self, words: list[str], start: int, *, must_be: bool) -> None:
        if not words:
            raise _WrongError(start, "what to delete is missing")
        kind, *rest = words
        if kind == "table":
            key, _ = self._table_key(rest, start)
            if self.ruleset.tables.pop(key, None) is None and must_be:
                raise _WrongError(start, f"there is no table {' '.join(key)} to delete")
            return
        table, names = self._known_table(rest, start)
        if kind == "element" and len(names) == 1 and names[0] in table.sets:
            self._scanner.skip()
            text, offset = self._scanner.block()
            gone = self._read_elements(text, offset)
            for element in gone:
                table.sets[names[0]].elements.pop(element.key, None)
            return
        if kind in ("chain", "set", "map") and len(names) == 1:
            found: dict[str, Chain] | dict[str, Set]
            found = table.chains if kind == "chain" else table.sets
            if found.pop(names[0], None) is None and must_be:
                raise _WrongError(start, f"there is no {kind} {names[0]} to delete")
            return
        raise _WrongError(start, f"svcc reads no 'delete {kind}' of this form")

    def _flush(self, words: list[str], start: int) -> None:
        if words == ["ruleset"]:
            self.ruleset.tables.clear()
            return
        if not words:
            raise _WrongError(start, "what to flush is missing")
        kind, *rest = words
        if kind == "ruleset" and len(rest) == 1:
            for key in [key for key in self.ruleset.tables if key[0] == rest[0]]:
                del self.ruleset.tables[key]
            return
        table, names = self._known_table(rest, start)
        if kind == "table":
            for chain in table.chains.values():
                chain.rules.clear()
        elif kind == "chain" and len(names) == 1 and names[0] in table.chains:
            table.chains[names[0]].rules.clear()
        elif kind in ("set", "map") and len(names) == 1 and names[0] in table.sets:
            table.sets[names[0]].elements.clear()
        else:
            raise _WrongError(start, f"svcc reads no 'flush {' '.join(words)}'")

    # -- blocks ------------------------------------------------------------------------

    def _body(self, table: Table) -> None:
        scanner = self._scanner
        while not scanner.take("}"):
            if scanner.is_done():
                self._problem(scanner.at - 1, f"table {table.name} is not closed: }} is missing")
                return
            start = scanner.at
            words = scanner.words_of_head()
            try:
                self._object(table, words, start)
            except _WrongError as wrong:
                self._problem(wrong.at, wrong.message)
                _pass_over(scanner)

    def _object(self, table: Table, words: list[str], start: int) -> None:
        scanner = self._scanner
        match words:
            case ["set" | "map" as kind, name]:
                self._set(table, kind, name, start)
            case ["chain", name]:
                self._chain(table, name, start)
            case ["comment", text]:
                table.comment = text.strip('"')
            case ["flags", *names]:
                table.flags = frozenset(" ".join(names).replace(",", " ").split())
            case [kind, *rest] if kind in _OTHERS:
                scanner.skip()
                scanner.block()
                text = scanner.text[start : scanner.at]
                table.others.append(OtherObject(kind, " ".join(rest), text))
            case _:
                raise _WrongError(start, "a chain, set or map is expected here")

    def _set(self, table: Table, kind: str, name: str, start: int) -> None:
        scanner = self._scanner
        item = Set(name=name, key=Types(()), line=scanner.line_of(start))
        if not scanner.take("{"):
            raise _WrongError(start, f"{kind} {name} needs a type, in braces")
        while not scanner.take("}"):
            if scanner.is_done():
                raise _WrongError(start, f"{kind} {name} is not closed: }} is missing")
            self._set_statement(item)
        if item.key == Types(()):
            raise _WrongError(start, f"{kind} {name} has no type; say type or typeof")
        if (kind == "map") != (item.data is not None):
            raise _WrongError(
                start, f"{name} is a {'set' if item.data is None else 'map'} by its type"
            )
        known = table.sets.get(name)
        if known is None:
            table.sets[name] = item
        else:
            known.elements.update(item.elements)

    def _set_statement(self, item: Set) -> None:
        scanner = self._scanner
        text, at, _ = scanner.statement()
        word, _, rest = text.partition(" ")
        rest = rest.strip()
        try:
            if word in ("type", "typeof"):
                key, _, data = rest.partition(" : ")
                item.key = _type(key, word)
                item.data = _type(data, word) if data else None
            elif word == "elements":
                opening = scanner.text.index("{", at)
                closing = text.rindex("}") + at
                self._elements(item, scanner.text[opening + 1 : closing], opening + 1)
            elif word == "flags":
                item.flags = frozenset(rest.replace(",", " ").split())
            elif word == "timeout":
                item.timeout = milliseconds(rest)
            elif word == "gc-interval":
                item.gc_interval = milliseconds(rest)
            elif word == "size":
                item.size = int(rest)
            elif word == "comment":
                item.comment = rest.strip('"')
            elif word in _SET_OPTIONS:
                item.options = (*item.options, text)
            elif not text.startswith("# "):
                self._problem(at, f"{word!r} is nothing that a set has")
        except RuleError as wrong:
            self._problem(at, wrong.message)
        except ValueError as wrong_value:
            self._problem(at, str(wrong_value) or f"{text!r} cannot be read")

    def _elements(self, item: Set, text: str, offset: int) -> None:
        for element in self._read_elements(text, offset):
            item.elements[element.key] = element

    def _read_elements(self, text: str, offset: int) -> list[Element]:
        try:
            return read_elements(text, self._scanner.line_of(offset))
        except ElementError as wrong:
            position = Position(self.ruleset.source, wrong.line, 1)
            self.problems.append(Problem(position, wrong.message))
            return []

    def _chain(self, table: Table, name: str, start: int) -> None:
        scanner = self._scanner
        chain = table.chains.get(name)
        if chain is None:
            chain = table.chains[name] = Chain(name, line=scanner.line_of(start))
        if not scanner.take("{"):
            return
        while not scanner.take("}"):
            if scanner.is_done():
                raise _WrongError(start, f"chain {name} is not closed: }} is missing")
            if scanner.text.startswith(("type ", "policy ", "comment "), scanner.at):
                self._chain_statement(chain)
            else:
                self._rule(chain)

    def _chain_statement(self, chain: Chain) -> None:
        text, at, _ = self._scanner.statement()
        word, _, rest = text.partition(" ")
        if word == "comment":
            chain.comment = rest.strip().strip('"')
        elif word == "type":
            chain.base = self._base(rest.split(), at)
        elif chain.base is None or rest not in ("accept", "drop"):
            self._problem(at, "only a base chain has a policy, accept or drop")
        else:
            base = chain.base
            chain.base = replace(base, policy="drop" if rest == "drop" else "accept")

    def _base(self, words: list[str], at: int) -> BaseChain | None:
        if len(words) < 4 or words[0] not in _TYPE_OF or words[2] not in _HOOK_OF:
            self._problem(at, "a base chain is 'type TYPE hook HOOK priority PRIORITY'")
            return None
        kind, hook, rest = _TYPE_OF[words[0]], _HOOK_OF[words[2]], words[3:]
        device = None
        if rest[:1] in (["device"], ["devices"]):
            end = rest.index("priority") if "priority" in rest else len(rest)
            device = " ".join(rest[1:end]).strip('"')
            rest = rest[end:]
        try:
            if rest[:1] != ["priority"]:
                raise ValueError("a base chain needs a priority")
            return BaseChain(kind, hook, _priority(rest[1:], hook), device=device)
        except ValueError as error:
            self._problem(at, str(error))
            return None

    def _rule(self, chain: Chain) -> None:
        scanner = self._scanner
        while scanner.text[scanner.at : scanner.at + 1] in (" ", "\t"):
            scanner.at += 1
        text, at, handle = scanner.statement()
        if not text:
            return
        try:
            rule = read_rule(text)
        except RuleError as wrong:
            places = [found.start() for found in WORDS.finditer(text)]
            inside = places[wrong.at] if wrong.at < len(places) else len(text) - 1
            self._problem(at + inside, wrong.message)
            return
        rule.handle, rule.line = handle, scanner.line_of(at)
        chain.rules.append(rule)


def _pass_over(scanner: Scanner) -> None:
    """Go on behind what could not be read: a line, or a block."""
    while scanner.at < len(scanner.text) and scanner.text[scanner.at] not in "\n{}":
        scanner.at += 1
    if scanner.text[scanner.at : scanner.at + 1] == "{":
        scanner.block()


def _priority(words: list[str], hook: Hook) -> int:
    """``dstnat``, ``filter + 10``, ``-150``.

    Raises:
        ValueError: it is none.
    """
    match words:
        case [number] if number.lstrip("-").isdigit():
            return int(number)
        case [name]:
            return number_of(name, hook)
        case [name, "+" | "-" as sign, number] if number.isdigit():
            return number_of(name, hook) + (int(number) if sign == "+" else -int(number))
        case _:
            raise ValueError(f"{' '.join(words)!r} is no priority")


def _type(text: str, word: str) -> Types | Expression:
    if word == "type":
        return Types(tuple(text.split(" . ")))
    if text.strip() == "verdict":
        return Types(("verdict",))
    return read_expression(WORDS.findall(text))
