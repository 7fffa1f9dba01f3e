"""Reading iptables-save and iptables-restore text (iptables-save(8), iptables-restore(8))."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from svcc.grammar.address import Family
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.iptables.line_shapes import LineError, RuleShape, Word, pattern
from svcc.grammar.iptables.listing import is_listing, tables_of
from svcc.grammar.iptables.names import BUILT_IN_CHAINS, MAX_CHAIN_NAME
from svcc.grammar.iptables.program import (
    ChainCommand,
    ChainDeclaration,
    MapMark,
    Masquerade,
    NatTarget,
    Notrack,
    OtherTarget,
    Program,
    Reject,
    Rule,
    Table,
    Target,
    Verdict,
)

if TYPE_CHECKING:
    from lark import Lark

_ChainCommandName = Literal["-N", "-F", "-X", "-Z", "-P"]

MAX_PROBLEMS = 100

_TABLES_OF = {"TPROXY": {"mangle"}, "CT": {"raw"}, "NETMAP": {"nat"}, "TTL": {"mangle"},
              "HL": {"mangle"}, "TOS": {"mangle"}, "DSCP": {"mangle"}, "ECN": {"mangle"},
              "CHECKSUM": {"mangle"}}  # fmt: skip


def parse(text: str, *, family: Family, source: str) -> Program:
    """Read a whole file.

    Args:
        text: what iptables-save prints, or input for iptables-restore.
        family: the family that the text is for.
        source: the file's name, for messages.

    Raises:
        InputError: lines that iptables-restore would not take, with line and column.
    """
    return _Parser(family, source).run(text)


@dataclass(slots=True)
class _KnownShape:
    pattern: re.Pattern[str]
    shape: RuleShape
    followed_by: _KnownShape | None = None


class _Parser:
    def __init__(self, family: Family, source: str) -> None:
        self._family = family
        self._program = Program(family, {}, source)
        self._problems: list[Problem] = []
        self._shapes: dict[str, list[_KnownShape]] = {}
        self._last: _KnownShape | None = None
        self._table: Table | None = None
        self._saved = False

    def run(self, text: str) -> Program:
        text = text.removeprefix("\ufeff")
        listed: dict[int, str] = {}
        if is_listing(text):
            listed = tables_of(text, self._program.source)
        self._saved = _was_saved(text) or bool(listed)
        number = 0
        for number, line in enumerate(_lines(text), 1):
            if not line or line[0] == "#" or line.isspace():
                continue
            if number in listed:
                self._table = Table(listed[number], line=number)
                self._program.tables[listed[number]] = self._table
            try:
                self._line(line, number)
            except LineError as error:
                self._problem(number, error.column, error.message)
                if len(self._problems) >= MAX_PROBLEMS:
                    self._problem(number, 1, "too many errors; the rest of the file was not read")
                    break
        else:
            if self._table is not None and not listed:
                what_to_do = "the text is cut off, print it again" if self._saved else "add it"
                self._problem(number, 1, f"table {self._table.name} has no COMMIT; {what_to_do}")
        if self._problems:
            raise InputError(self._problems)
        return self._program

    def _problem(self, line: int, column: int, message: str) -> None:
        position = Position(self._program.source, line, column)
        self._problems.append(Problem(position, message))

    def _line(self, line: str, number: int) -> None:
        if "--comment -" in line:
            line = _DASHED_COMMENT.sub(r'\1"\2"', line)
        if " -c " in line or "--set-counters" in line:
            line = _with_counters_in_front(line)
        if line[0] in "-[":
            rule = self._by_shape(line, number)
            if rule is not None:
                self._add_rule(rule)
                return
        elif line[0] == ":" and (found := _USER_CHAIN.fullmatch(line)) is not None:
            self._declare_user_chain(found, number)
            return
        kind, words = _lark_words(line)
        if kind == "rule":
            shape = RuleShape(words, self._family, saved=self._saved)
            rule = shape.build(tuple(word.text for word in words), number)
            assert rule is not None
            self._add_rule(rule)
            known = _KnownShape(pattern(words, shape.fixed), shape)
            self._shapes.setdefault(_skeleton(line), []).append(known)
            self._last = known
        elif kind == "table":
            self._open_table(words[1], number)
        elif kind == "declaration":
            self._declare(words, number)
        elif kind == "commit":
            if self._table is None:
                raise LineError(1, "COMMIT without a table; start one with *NAME")
            self._table = None
        else:
            self._chain_command(words, number)

    def _by_shape(self, line: str, number: int) -> Rule | None:
        """The rule, if the line has a known shape; None also where a value is wrong."""
        # Rules come in groups alike: the shape that followed the last one is likely next.
        likely = self._last and self._last.followed_by
        if likely:
            found = likely.pattern.fullmatch(line)
            if found is not None:
                try:
                    rule = likely.shape.build(found.groups(), number)
                except LineError:
                    return None
                if rule is not None:
                    self._last = likely
                    return rule
        for known in self._shapes.get(_skeleton(line), ()):
            found = known.pattern.fullmatch(line)
            if found is not None:
                try:
                    rule = known.shape.build(found.groups(), number)
                except LineError:
                    # The slow way finds the column in this very line.
                    return None
                if rule is not None:
                    if self._last:
                        self._last.followed_by = known
                    self._last = known
                    return rule
        return None

    def _open_table(self, name: Word, number: int) -> None:
        if self._table is not None:
            self._problem(number, 1, f"table {self._table.name} has no COMMIT before this; add it")
        if name.text not in BUILT_IN_CHAINS:
            raise LineError(
                name.column, f"no table {name.text!r}; there are {', '.join(BUILT_IN_CHAINS)}"
            )
        tables = self._program.tables
        self._table = tables.setdefault(name.text, Table(name.text, line=number))

    def _open(self, column: int = 1) -> Table:
        if self._table is None:
            raise LineError(column, "this stands outside a table; start one with *NAME")
        return self._table

    def _declare(self, words: Sequence[Word], number: int) -> None:
        table = self._open()
        name, policy = words[1], words[2]
        built_in = name.text in BUILT_IN_CHAINS[table.name]
        if policy.text != "-" and not built_in:
            raise LineError(
                policy.column, f"{name.text} is no built-in chain of {table.name}; write -"
            )
        self._check_name(name)
        self._flush_again(table, name.text, number)
        declaration = ChainDeclaration(
            name.text,
            None if policy.text == "-" else "ACCEPT" if policy.text == "ACCEPT" else "DROP",
            line=number,
        )
        if len(words) > 3:
            packets, size = words[3].text[1:-1].split(":")
            declaration.counters = (int(packets), int(size))
        table.chains[name.text] = declaration

    def _declare_user_chain(self, found: re.Match[str], number: int) -> None:
        """The same as :meth:`_declare` for what nearly all declarations look like."""
        table = self._open()
        name = found[1]
        self._check_name(Word("NAME", name, 2))
        self._flush_again(table, name, number)
        counters = (int(found[3]), int(found[4])) if found[3] else (0, 0)
        table.chains[name] = ChainDeclaration(name, None, counters, line=number)

    def _flush_again(self, table: Table, name: str, number: int) -> None:
        """A second declaration of a user chain empties it (iptables-restore.c)."""
        if name in table.chains and name not in BUILT_IN_CHAINS[table.name]:
            table.commands.append(ChainCommand("-F", name, line=number))

    def _check_name(self, name: Word) -> None:
        if len(name.text.encode()) > MAX_CHAIN_NAME:
            raise LineError(
                name.column, f"chain name {name.text!r} is longer than {MAX_CHAIN_NAME} characters"
            )

    def _chain_command(self, words: Sequence[Word], number: int) -> None:
        table = self._open()
        self._check_name(words[1])
        command = ChainCommand(_CHAIN_COMMANDS[words[0].text], words[1].text, line=number)
        if command.command == "-P":
            command.policy = words[2].text
        table.commands.append(command)

    def _add_rule(self, rule: Rule) -> None:
        table = self._table or self._open()
        if type(rule.target) in _OF_SOME_TABLES:
            self._check_table(rule.target, table)
        table.commands.append(rule)

    def _check_table(self, target: Target | None, table: Table) -> None:
        if isinstance(target, NatTarget | Masquerade) and table.name != "nat":
            raise LineError(1, f"NAT targets are for table nat, not {table.name}")
        if isinstance(target, Reject) and table.name != "filter":
            raise LineError(1, f"REJECT is for table filter, not {table.name}")
        if isinstance(target, Notrack) and table.name != "raw":
            raise LineError(1, f"NOTRACK is for table raw, not {table.name}")
        if table.name == "nat" and isinstance(target, Verdict) and target.name == "DROP":
            raise LineError(1, "table nat is not for filtering, DROP is not allowed there")
        if isinstance(target, MapMark) and table.name != "mangle":
            raise LineError(1, f"--map-set is for table mangle, not {table.name}")
        if isinstance(target, OtherTarget):
            allowed = _TABLES_OF.get(target.name)
            if allowed is not None and table.name not in allowed:
                raise LineError(1, f"{target.name} is not for table {table.name}")


def _lines(text: str) -> Iterator[str]:
    """The lines one by one: a list of all would take as much memory as the text."""
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end].rstrip("\r")
        start = end + 1


_OF_SOME_TABLES = frozenset({NatTarget, Masquerade, Reject, Notrack, Verdict, MapMark, OtherTarget})

_CHAIN_COMMANDS: dict[str, _ChainCommandName] = {
    "-N": "-N", "--new-chain": "-N", "-F": "-F", "--flush": "-F", "-X": "-X",
    "--delete-chain": "-X", "-Z": "-Z", "--zero": "-Z", "-P": "-P", "--policy": "-P",
}  # fmt: skip

_USER_CHAIN = re.compile(
    r""":([^\s"'!-][^\s"']*)[ \t]+(-)(?:[ \t]+\[(\d{1,20}):(\d{1,20})\])?[ \t]*"""
)

_DASHED_COMMENT = re.compile(r"(--comment )(-\S*)")
"""iptables-save puts no quotes around a comment like -x, and getopt takes it."""


def _was_saved(text: str) -> bool:
    """Whether iptables-save printed it: by plain search, ten times faster in long texts."""
    at = text.find(_SAVED)
    while at > 0 and text[at - 1] not in "\n\ufeff":
        at = text.find(_SAVED, at + 1)
    return at >= 0


_SAVED = "# Generated by ip"

_COUNTERS = re.compile(
    r"""(-(?:[^"]|"(?:[^"\\]|\\.)*")*?) (?:-c|--set-counters) (\d+) (\d+)(?!\S)"""
)


def _with_counters_in_front(line: str) -> str:
    """``-c 1 2``, as ``iptables -S -v`` prints counters, the way iptables-save does."""
    found = _COUNTERS.match(line)
    if found is None:
        return line
    if line.startswith("-P "):
        return found[1]
    return f"[{found[2]}:{found[3]}] {found[1]}{line[found.end() :]}"


_VALUES = re.compile(r"""(?<=[ \t])(?:"(?:[^"\\]|\\.)*"|[^-!"\s][^"\s]*)|^\[\S+""")


def _skeleton(line: str) -> str:
    """The line without its values: what shapes are looked up by."""
    return _VALUES.sub("", line)


@lru_cache(maxsize=1)
def _lark() -> Lark:
    from lark import Lark

    grammar = Path(__file__).with_name("iptables.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", keep_all_tokens=True, propagate_positions=False)


@lru_cache(maxsize=4096)
def _lark_words(line: str) -> tuple[str, tuple[Word, ...]]:
    """A line's kind and words. Texts of one node have most of their first lines in common.

    Raises:
        LineError: the line is none that the grammar knows.
    """
    from lark import Token, Tree, UnexpectedCharacters, UnexpectedInput

    try:
        tree = _lark().parse(line)
    except UnexpectedInput as error:
        column = error.column if isinstance(error.column, int) and error.column > 0 else len(line)
        if isinstance(error, UnexpectedCharacters):
            rest = line[column - 1 : column + 19].split()
            what = f"cannot read {rest[0]!r} here" if rest else "cannot read this"
        else:
            token = str(getattr(error, "token", ""))
            what = f"{token!r} cannot stand here" if token else "the line ends too early"
        if line.count('"') % 2:
            what += "; a quote is not closed"
        raise LineError(column, what) from None
    words = tuple(
        Word(token.type, str(token), token.column or 1)
        for token in tree.scan_values(lambda value: isinstance(value, Token))
    )
    assert isinstance(tree, Tree)
    return str(tree.data), words
