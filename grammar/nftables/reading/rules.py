"""The rules of a table's chains, one after another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from svcc.grammar.nftables.program import Rule, TableFamily
from svcc.grammar.nftables.reading.lists import Lists
from svcc.grammar.nftables.reading.parts import SetTypes, SetUse
from svcc.grammar.nftables.reading.shapes import TextError, Words, pattern
from svcc.grammar.nftables.reading.source import Source
from svcc.grammar.nftables.reading.statements import RuleParts, read_rule

_RULE = re.compile(
    r'(?:[^\n;{}"\\#]++|"[^"\n]*"|\{[^{}"]*+(?:"[^"\n]*"[^{}"]*+)*+\}|\\\n|\\|#(?! handle \d))*+'
)
_TAIL = re.compile(r"(?:# handle (\d+)[ \t]*)?(?:\n|;)")
_END = r"[ \t]*(?:# handle (\d+)[ \t]*)?(?:\n|;)"
_WORD = re.compile(r"[ \t]*([\w-]+)")
_MAX_TRIED = 64


@dataclass(slots=True)
class _Known:
    pattern: re.Pattern[str]
    make: Callable[[Words], RuleParts]
    targets: list[int]
    sets: list[tuple[int, SetUse]]
    followed_by: _Known | None = None


class Rules:
    """Reads rules of a table of a family; ``jumps`` and ``uses`` are the chains and sets that
    they name, with the offset of the first rule that does."""

    def __init__(self, source: Source, family: TableFamily, sets: SetTypes) -> None:
        self._source = source
        self._family = family
        self._sets = sets
        self._known: dict[str, list[_Known]] = {}
        self._last: _Known | None = None
        self.lists = Lists(family)
        self.uses: dict[tuple[str, SetUse], int] = {}

    @property
    def jumps(self) -> dict[str, int]:
        """Chains that something jumps to."""
        return self.lists.jumps

    def offset(self, rule: Rule, word: str) -> int:
        """Where a word of a rule stands; the rule's first line where it is spelled otherwise."""
        line, start = self._source.line_of_text(rule.line)
        found = re.search(rf'(?<![\w."-]){re.escape(word)}(?![\w."-])', line)
        return start + (len(line) - len(line.lstrip()) if found is None else found.start())

    def known(self, position: int) -> tuple[Rule, int] | None:
        """A rule of a shape that was met before, and where it ends; None if it is of none, and
        also where a value is wrong."""
        last = self._last
        text = self._source.text
        if last is not None and (likely := last.followed_by) is not None:
            found = likely.pattern.match(text, position)
            if found is not None:
                return self._made(likely, found, position)
        word = _WORD.match(text, position)
        if word is None:
            return None
        for shape in self._known.get(word[1], ()):
            found = shape.pattern.match(text, position)
            if found is not None:
                if last is not None:
                    last.followed_by = shape
                return self._made(shape, found, position)
        return None

    def _made(self, shape: _Known, found: re.Match[str], position: int) -> tuple[Rule, int] | None:
        words = found.groups()
        lists = self.lists
        lists.here = position
        try:
            statements, comment = shape.make(words)
        except (ValueError, TextError):
            # The slow way finds the place in this very rule.
            return None
        for index in shape.targets:
            lists.jumps.setdefault(words[index], position)
        for index, use in shape.sets:
            self.uses.setdefault((words[index][1:], use), position)
        self._last = shape
        handle = words[-1]
        rule = Rule(
            statements,
            comment,
            None if handle is None else int(handle),
            self._source.line(position),
        )
        return rule, found.end()

    def read(self, position: int) -> tuple[Rule, int]:
        """Any rule, and where it ends.

        Raises:
            TextError: nft would not take it.
        """
        text = self._source.text
        found = _RULE.match(text, position)
        assert found is not None
        one = found[0].rstrip()
        self.lists.here = position
        tail = _TAIL.match(text, found.end())
        if tail is None:
            raise TextError(found.end(), _what_to_do(text, found.end()))
        try:
            made, shape = read_rule(one, self._family, self.lists.anonymous, self._sets)
        except TextError as error:
            raise TextError(position + error.offset, error.message) from None
        words = [str(token) for token in shape.tokens]
        for index in shape.holes.targets:
            self.jumps.setdefault(words[index], position)
        for index, use in shape.sets:
            self.uses.setdefault((words[index][1:], use), position)
        if "\n" not in one and (first := _WORD.match(one)) is not None:
            value = made.value
            known = _Known(
                pattern(one, shape.tokens, _END),
                made.make or (lambda _: value),
                shape.holes.targets,
                shape.sets,
            )
            alike = self._known.setdefault(first[1], [])
            alike.insert(0, known)
            del alike[_MAX_TRIED:]
            if self._last is not None:
                self._last.followed_by = known
            self._last = known
        statements, comment = made.value
        handle = None if tail[1] is None else int(tail[1])
        return Rule(statements, comment, handle, self._source.line(position)), tail.end()


def _what_to_do(text: str, position: int) -> str:
    match text[position : position + 1]:
        case "}":
            return "a rule ends with its line or with ;, then comes }; write } on the next line"
        case "{":
            return "the list is not closed; write } behind its last element"
        case '"':
            return 'the quotation has no end; write " behind it'
        case _:
            return "the rule ends too early"
