"""Reading nftables text: what ``nft list ruleset`` prints and ``nft -f`` takes (nft(8))."""

from __future__ import annotations

import re

from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.nftables.program import (
    Chain,
    OtherObject,
    Ruleset,
    Set,
    Table,
    Types,
)
from svcc.grammar.nftables.reading.blocks import (
    NAME,
    SEPARATOR,
    SKIPPED,
    Declaration,
    quoted,
    read_base,
    skip_block,
    text_until_separator,
)
from svcc.grammar.nftables.reading.commands import Commands, State
from svcc.grammar.nftables.reading.shapes import TextError
from svcc.grammar.nftables.reading.source import Source

MAX_PROBLEMS = 100

_OBJECT = re.compile(
    rf"(chain|set|map|counter|quota|limit|flowtable|synproxy|secmark|ct\s+(?:helper|timeout|"
    rf"expectation))\s+({NAME})\s*\{{"
)
_WORD = re.compile(r"[\w-]+|\S")
_STRUCTURE = re.compile(r'"[^"\n]*"|[{}\n;]')


def parse(text: str, *, source: str, of_json: bool = False) -> Ruleset:
    """Read a whole text; the rule set is what a kernel without rules has after loading it.

    Args:
        text: what nft lists, or input for ``nft -f``.
        source: its name, for messages.
        of_json: it was made of JSON, which has ``integer`` for what only a typeof can declare.

    Raises:
        InputError: what nft would not take, with line and column.
    """
    return _Parser(text, source, of_json=of_json).run()


class _Parser:
    def __init__(self, text: str, name: str, *, of_json: bool) -> None:
        self._of_json = of_json
        self._source = Source(text, name)
        self._text = self._source.text
        self._state = State(Ruleset(source=name), self._source)
        self._problems: list[Problem] = list(self._source.problems)

    def run(self) -> Ruleset:
        commands = Commands(self._state, self._table_block, self._chain_block, self._set_block)
        position = self._skip(0)
        while position < len(self._text):
            try:
                position = self._skip(commands.read(position))
            except TextError as error:
                position = self._skip(self._after(error, position))
            except _NoMoreError:
                break
        if not self._problems:
            for offset, message in self._state.check():
                self._problem(TextError(offset, message))
        if self._problems:
            raise InputError(self._problems)
        return self._state.ruleset

    def _skip(self, position: int) -> int:
        found = SKIPPED.match(self._text, position)
        assert found is not None
        return found.end()

    def _after(self, error: TextError, position: int) -> int:
        """Note a problem of what begins at a position; where to read on."""
        self._problem(error)
        text, depth = self._text, 0
        for found in _STRUCTURE.finditer(text, position):
            mark = found[0]
            if mark == "{":
                depth += 1
            elif mark == "}":
                depth -= 1
                if depth < 0:
                    return max(found.start(), position + 1)
            elif depth == 0 and mark in ("\n", ";"):
                return found.end()
        return len(text)

    def _problem(self, error: TextError) -> None:
        place = self._source.position(error.offset)
        self._problems.append(Problem(place, error.message))
        if len(self._problems) >= MAX_PROBLEMS:
            message = "too many errors; the rest of the file was not read"
            self._problems.append(Problem(Position(place.file, place.line, 1), message))
            raise _NoMoreError

    def _open_end(self, offset: int, kind: str) -> Exception:
        """What to raise at the end of the text within a block."""
        if self._problems:
            # Braces were taken for others there; what else is wrong is not known.
            return _NoMoreError()
        return TextError(offset, f"the {kind} has no end; close it with }}")

    # -- blocks --------------------------------------------------------------------------

    def _table_block(self, table: Table, position: int) -> int:
        """A table from behind its brace on; where it ends."""
        text, start = self._text, position
        while True:
            position = self._skip(position)
            if text[position : position + 1] == "}":
                return position + 1
            if position >= len(text):
                raise self._open_end(start - 1, "table")
            try:
                position = self._in_table(table, position)
            except TextError as error:
                position = self._after(error, position)

    def _in_table(self, table: Table, position: int) -> int:
        text = self._text
        found = _OBJECT.match(text, position)
        if found is None:
            return self._of_table(table, position)
        kind, name = found[1], found[2]
        if kind == "chain":
            end = self._chain_block(table, self._state.chain(table, name, position), found.end())
        elif kind in ("set", "map"):
            end = self._set_block(table, kind, name, found.end())
        else:
            end = skip_block(text, found.end())
            self._state.other(table, OtherObject(kind, name, _plain(text[position:end])))
        return self._closed(end)

    def _of_table(self, table: Table, position: int) -> int:
        text = self._text
        word = _WORD.match(text, position)
        shown = word[0] if word else ""
        if shown in ("comment", "flags"):
            rest, end = text_until_separator(text, position + len(shown))
            if shown == "comment":
                table.comment = quoted(rest, position)
            elif not set(re.split(r"\s*,\s*", rest)) <= {"dormant", "owner", "persist"}:
                raise TextError(position, f"no flag {rest!r} of a table; there is dormant")
            else:
                table.flags = frozenset(re.split(r"\s*,\s*", rest))
            return end
        message = f"cannot read {shown!r} in a table; write chain, set or map NAME {{ … }}"
        raise TextError(position, message)

    def _closed(self, position: int) -> int:
        """Behind what ends a block within a table.

        Raises:
            TextError: it is not the end of the line.
        """
        found = SEPARATOR.match(self._text, position)
        if found is None:
            raise TextError(position, "a line ends behind }; start a new one")
        return found.end()

    def _chain_block(self, table: Table, chain: Chain, position: int) -> int:
        rules = self._state.rules(table)
        text, start, append = self._text, position, chain.rules.append
        position = self._skip(position)
        while True:
            known = rules.known(position)
            if known is not None:
                append(known[0])
                position = known[1]
                continue
            skipped = self._skip(position)
            if skipped > position and text[skipped : skipped + 1] != "}":
                position = skipped
                continue
            position = skipped
            first = text[position : position + 1]
            if first == "}":
                return position + 1
            if not first:
                raise self._open_end(start - 1, "chain")
            try:
                position = self._in_chain(table, chain, position)
            except TextError as error:
                position = self._after(error, position)

    def _in_chain(self, table: Table, chain: Chain, position: int) -> int:
        text = self._text
        word = _WORD.match(text, position)
        match word[0] if word else "":
            case "type":
                base, end = read_base(text, position, table.family)
                if chain.base is not None and chain.base.policy == "drop":
                    base.policy = "drop"
                self._state.hook(chain, base, position)
                return end
            case "policy":
                rest, end = text_until_separator(text, position + 6)
                if rest not in ("accept", "drop") or chain.base is None:
                    message = "write policy accept or policy drop, behind type … hook …"
                    raise TextError(position, message)
                chain.base.policy = "drop" if rest == "drop" else "accept"
                return end
            case "comment":
                rest, end = text_until_separator(text, position + 7)
                chain.comment = quoted(rest, position)
                return end
            case "flags":
                rest, end = text_until_separator(text, position + 5)
                if rest != "offload":
                    raise TextError(position, f"no flag {rest!r} of a chain; there is offload")
                return end
            case _:
                rule, end = self._state.rules(table).read(position)
                chain.rules.append(rule)
                return end

    def _set_block(self, table: Table, kind: str, name: str, position: int) -> int:
        text, start = self._text, position
        item = Set(name=name, key=Types(()), line=self._source.line(position))
        declared = Declaration(item, kind == "map", table.family, of_json=self._of_json)
        lists = self._state.rules(table).lists
        while True:
            position = self._skip(position)
            first = text[position : position + 1]
            if first == "}":
                break
            if not first:
                raise self._open_end(start - 1, kind)
            try:
                position = declared.line(text, position, lists)
            except TextError as error:
                position = self._after(error, position)
        if declared.types is None:
            if self._problems:
                return position + 1
            raise TextError(start - 1, f"the {kind} {name} has no type; write type KEY")
        item = self._state.declare(table, item, declared.types, start)
        for offset in declared.elements:
            try:
                self._state.add_elements(table, item, offset)
            except TextError as error:
                self._problem(error)
        return position + 1


class _NoMoreError(Exception):
    """No more problems are told."""


def _plain(text: str) -> str:
    return re.sub(r"[ \t]*# handle \d+", "", text)
