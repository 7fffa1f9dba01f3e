"""Line shapes: what a line of rules is once its values are taken out.

The first line of a shape is parsed with lark; its shape then becomes a pattern with the
values as groups, and later lines of the same shape are read by that. Both ways build the rule
with the same code from the same words, so they cannot read a line differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from typing import Any

from svcc.grammar.address import Family
from svcc.grammar.iptables import values
from svcc.grammar.iptables.builders import REPEATED, Given, make_match, make_target
from svcc.grammar.iptables.option_table import (
    MATCH_ALIASES,
    MATCH_OPTIONS,
    SYNONYMS,
    TARGET_OPTIONS,
    Listed,
    OptionTable,
    Unlisted,
    takes,
)
from svcc.grammar.iptables.program import (
    Goto,
    InterfaceMatch,
    Jump,
    Masquerade,
    NatTarget,
    ProtocolMatch,
    Reject,
    Rule,
    Target,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Word:
    """One token of a line: its lark terminal, its text, its column (1-based)."""

    terminal: str
    text: str
    column: int


class LineError(Exception):
    """A line that iptables-restore would not take."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column
        self.message = message


@dataclass(slots=True)
class _Extension:
    """A match or target of the line, and the options given to it: name → (negated, words)."""

    name: str
    column: int
    table: OptionTable
    options: dict[str, tuple[bool, tuple[int, ...]]] = field(default_factory=dict)

    def has(self, option: str) -> bool:
        """Whether the option is one of its own."""
        return takes(self.table, option) is not None


_HEADER = {
    "-s": "source", "--source": "source", "--src": "source",
    "-d": "destination", "--destination": "destination", "--dst": "destination",
    "-i": "in", "--in-interface": "in",
    "-o": "out", "--out-interface": "out",
    "-p": "protocol", "--protocol": "protocol", "--proto": "protocol",
    "-f": "fragment", "--fragment": "fragment",
    "-m": "match", "--match": "match",
    "-j": "jump", "--jump": "jump",
    "-g": "goto", "--goto": "goto",
}  # fmt: skip
_NEGATABLE = {"source", "destination", "in", "out", "protocol", "fragment"}
_PLAIN_VERDICTS = ("ACCEPT", "DROP", "RETURN")
_BUILT_APART = {"protocol", "match", "jump", "goto"}
_WITH_PORTS = {6, 17, 33, 132, 136}


class RuleShape:
    """How to build a rule from the words of a line of this shape.

    ``fixed`` are the words that must be the same in every line of the shape. ``saved``: an
    iptables printed the line, so it knows the matches and targets whatever they are.
    """

    def __init__(self, words: Sequence[Word], family: Family, *, saved: bool = False) -> None:
        self._family = family
        self._saved = saved
        self._words = words
        self.fixed: set[int] = set()
        self._command = words[0].text
        self._counters: int | None = None
        start = 0
        if words[0].terminal == "COUNTERS":
            self._counters = 0
            self._command = words[1].text
            start = 1
        self._chain = start + 1
        self._number: int | None = None
        position = start + 2
        if position < len(words) and words[position].terminal == "NUMBER":
            self._number = position
            position += 1
        self._header: dict[str, tuple[bool, int]] = {}
        self._matches: list[_Extension] = []
        self._target: _Extension | None = None
        self._goto = False
        self._read_items(position)
        self._check()
        self._makers = [self._maker(match, make_match) for match in self._matches]
        self._constants = None
        if not any(match.options for match in self._matches):
            self._constants = tuple([make(()) for make in self._makers])
        self._protocol_match = None
        if "protocol" in self._header and values.protocol(self._text("protocol")):
            number = values.protocol(self._text("protocol"))
            self._protocol_match = _protocol_match(number, self._header["protocol"][0])
        self._rest = [
            (name, *place) for name, place in self._header.items() if name not in _BUILT_APART
        ]
        self._jump = next(
            ((k, self._header[k][1]) for k in ("jump", "goto") if k in self._header), None
        )
        self._make_target = self._target_maker()

    # -- reading the line --------------------------------------------------------------

    def _read_items(self, position: int) -> None:
        words = self._words
        while position < len(words):
            negated = words[position].terminal == "NOT"
            position += negated
            option = words[position]
            first = position + 1
            position = first
            while position < len(words) and words[position].terminal in ("WORD", "QUOTED"):
                position += 1
            given = tuple(range(first, position))
            if option.text in _HEADER and not self._is_of_match(option.text):
                self._read_header(option, _HEADER[option.text], negated, given)
            else:
                self._read_option(option, negated, given)

    def _is_of_match(self, option: str) -> bool:
        """``-m policy --proto``: as with getopt_long(3), the last match has the first word."""
        return bool(self._matches) and self._matches[-1].has(option)

    def _read_header(self, option: Word, name: str, negated: bool, given: tuple[int, ...]) -> None:
        wanted = 0 if name == "fragment" else 1
        if len(given) != wanted:
            self._wrong_count(option, wanted, given)
        if negated and name not in _NEGATABLE:
            raise LineError(option.column, f"{option.text} cannot be negated; leave out the !")
        if name == "match":
            self.fixed.add(given[0])
            self._load_match(self._words[given[0]])
            return
        if name in self._header or (name in ("jump", "goto") and self._has_target()):
            raise LineError(option.column, f"a second {option.text}; a rule takes one")
        self._header[name] = (negated, given[0] if given else -1)
        if name == "protocol":
            self.fixed.add(given[0])
        elif name == "jump" and self._words[given[0]].text in TARGET_OPTIONS:
            target = self._words[given[0]]
            self.fixed.add(given[0])
            table = Listed(TARGET_OPTIONS[target.text])
            self._target = _Extension(target.text, target.column, table)

    def _has_target(self) -> bool:
        return "jump" in self._header or "goto" in self._header

    def _load_match(self, word: Word) -> _Extension:
        name = MATCH_ALIASES.get(word.text, word.text)
        table: OptionTable
        if name in MATCH_OPTIONS:
            table = Listed(MATCH_OPTIONS[name])
        elif self._saved:
            table = Unlisted()
        else:
            raise LineError(word.column, f"iptables has no match {word.text!r}")
        extension = _Extension(word.text, word.column, table)
        self._matches.append(extension)
        return extension

    def _read_option(self, option: Word, negated: bool, given: tuple[int, ...]) -> None:
        name = SYNONYMS.get(option.text, option.text)
        extension = self._owner(option.text)
        if extension is None or isinstance(extension.table, Unlisted):
            extension = self._unknown_target(option.text) or extension
        taken = None if extension is None else takes(extension.table, option.text)
        if extension is None or taken is None:
            raise LineError(
                option.column,
                f"no match or target of this rule takes {option.text}; "
                "name the match that does before it (-m NAME)",
            )
        if taken.values is not None and taken.values != len(given):
            self._wrong_count(option, taken.values, given)
        if negated and not taken.negatable:
            raise LineError(option.column, f"{option.text} cannot be negated; leave out the !")
        if name in extension.options and (extension.name == "policy" or taken.values is None):
            # One policy per element, with --next between them.
            name += REPEATED * sum(known.rstrip(REPEATED) == name for known in extension.options)
        if name in extension.options:
            raise LineError(option.column, f"{option.text} is given twice")
        extension.options[name] = (negated, given)

    def _wrong_count(self, option: Word, wanted: int, given: tuple[int, ...]) -> None:
        column = self._words[given[wanted]].column if len(given) > wanted else option.column
        raise LineError(column, f"{option.text} takes {wanted} value(s), {len(given)} given")

    def _owner(self, option: str) -> _Extension | None:
        """The last match that takes the option, the target, or the protocol's own match."""
        if self._target is not None and self._target.has(option):
            return self._target
        for match in reversed(self._matches):
            if match.has(option):
                return match
        if "protocol" in self._header:
            word = self._words[self._header["protocol"][1]]
            name = MATCH_ALIASES.get(word.text.lower(), word.text.lower())
            if option in MATCH_OPTIONS.get(name, {}):
                return self._load_match(Word("WORD", name, word.column))
        return None

    def _unknown_target(self, option: str) -> _Extension | None:
        """The target behind -j, of an iptables that has more of them: chains take no options."""
        if not self._saved or "jump" not in self._header or self._target is not None:
            return None
        index = self._header["jump"][1]
        word = self._words[index]
        target = _Extension(word.text, word.column, Unlisted())
        if not target.has(option):
            return None
        self.fixed.add(index)
        self._target = target
        return target

    def _check(self) -> None:
        """What must hold whatever the values are."""
        protocol = 0
        if "protocol" in self._header:
            negated, index = self._header["protocol"]
            word = self._words[index]
            try:
                number = values.protocol(word.text)
            except ValueError as error:
                raise LineError(word.column, str(error)) from None
            if negated and not number:
                raise LineError(word.column, "! -p all matches nothing")
            protocol = 0 if negated else number
        self._protocol = protocol
        for match in self._matches:
            needed = {"tcp": 6, "udp": 17, "sctp": 132, "dccp": 33}.get(match.name)
            if needed is not None and needed != protocol:
                raise LineError(match.column, f"-m {match.name} needs -p {match.name}")
            if match.name == "multiport" and protocol not in _WITH_PORTS:
                raise LineError(match.column, "-m multiport needs -p tcp, udp, sctp or dccp")
        if self._family is Family.IPV6 and "fragment" in self._header:
            raise LineError(1, "-f is an IPv4 option")

    # -- building the rule -------------------------------------------------------------

    def _target_maker(self) -> Callable[[tuple[str, ...]], Target] | None:
        """How the target is built; None if it is a chain or a plain verdict."""
        target = self._target
        if target is None or target.name in _PLAIN_VERDICTS:
            return None
        return self._maker(target, make_target)

    def _maker(
        self, extension: _Extension, make: Callable[..., Any]
    ) -> Callable[[tuple[str, ...]], Any]:
        """A function from the line's words to the match or target."""
        options = tuple(
            (name, negated, indexes) for name, (negated, indexes) in extension.options.items()
        )
        used = tuple(index for _, _, indexes in options for index in indexes)
        name, family, column = extension.name, self._family, extension.column

        ends = list(accumulate(len(indexes) for _, _, indexes in options))
        parts = [
            (option, negated, end - len(indexes), end)
            for (option, negated, indexes), end in zip(options, ends, strict=True)
        ]

        def from_values(given: tuple[str, ...]) -> Any:
            plain = tuple(map(values.unquote, given))
            read = {
                option: Given(plain[first:end], negated) for option, negated, first, end in parts
            }
            try:
                return make(name, read, family)
            except ValueError as error:
                at = self._words[used[0]].column if used else column
                raise LineError(at, f"{name}: {error}") from None

        if not used:
            constant = from_values(())
            return lambda words: constant
        if len(used) == 1:
            only = used[0]
            of_one = lru_cache(maxsize=256)(lambda word: from_values((word,)))
            return lambda words: of_one(words[only])
        of_several = lru_cache(maxsize=256)(from_values)
        return lambda words: of_several(tuple([words[index] for index in used]))

    def build(self, words: tuple[str, ...], line: int) -> Rule | None:
        """The rule of a line with these words; None if the line has another shape after all.

        Raises:
            LineError: a value is wrong.
        """
        family = self._family
        rule = Rule(chain=words[self._chain], line=line)
        rule.command = _COMMANDS[self._command]
        rule.protocol = self._protocol_match
        if self._rest:
            try:
                self._build_header(rule, words)
            except ValueError as error:
                raise LineError(self._column_of(words, str(error)), str(error)) from None
        if self._number is not None:
            rule.number = int(words[self._number])
        if self._counters is not None:
            packets, size = words[0][1:-1].split(":")
            rule.counters = (int(packets), int(size))
        rule.matches = self._constants or tuple([make(words) for make in self._makers])
        if self._target is None:
            if self._jump is not None:
                kind, index = self._jump
                name = words[index]
                if kind == "jump" and name in TARGET_OPTIONS:
                    return None
                rule.target = _chain_target(kind, name)
        elif self._make_target is None:
            rule.target = _verdict(self._target.name)
        else:
            rule.target = self._make_target(words)
            self._check_target(rule.target, family)
        return rule

    def _build_header(self, rule: Rule, words: tuple[str, ...]) -> None:
        for name, negated, index in self._rest:
            if name == "source" or name == "destination":
                match = values.address_match(words[index], self._family, negated)
                if match.mask or negated:
                    if name == "source":
                        rule.source = match
                    else:
                        rule.destination = match
            elif name == "in":
                rule.in_interface = InterfaceMatch(values.interface(words[index]), negated)
            elif name == "out":
                rule.out_interface = InterfaceMatch(values.interface(words[index]), negated)
            else:
                rule.fragment = not negated

    def _text(self, name: str) -> str:
        return self._words[self._header[name][1]].text

    def _column_of(self, words: tuple[str, ...], message: str) -> int:
        for _, index in self._header.values():
            if index >= 0 and repr(words[index].partition("/")[0])[1:-1] in message:
                return self._words[index].column
        return next((self._words[i].column for _, i in self._header.values() if i >= 0), 1)

    def _check_target(self, target: Target, family: Family) -> None:
        assert self._target is not None
        has_port = isinstance(target, NatTarget | Masquerade) and target.first_port is not None
        if has_port and self._protocol not in _WITH_PORTS:
            raise LineError(
                self._target.column, "a port to translate to needs -p tcp, udp, sctp or dccp"
            )
        if isinstance(target, Reject) and target.reject_with == "tcp-reset" and self._protocol != 6:
            raise LineError(self._target.column, "--reject-with tcp-reset needs -p tcp")


_COMMANDS: dict[str, Any] = {
    "-A": "-A", "--append": "-A", "-D": "-D", "--delete": "-D",
    "-I": "-I", "--insert": "-I", "-C": "-C", "--check": "-C",
}  # fmt: skip


@lru_cache(maxsize=1 << 16)
def _chain_target(kind: str, name: str) -> Jump | Goto:
    return Jump(name) if kind == "jump" else Goto(name)


@lru_cache(maxsize=8)
def _verdict(name: str) -> Verdict:
    return Verdict("ACCEPT" if name == "ACCEPT" else "DROP" if name == "DROP" else "RETURN")


@lru_cache(maxsize=512)
def _protocol_match(number: int, negated: bool) -> ProtocolMatch:
    return ProtocolMatch(number, negated)


_VALUE_PATTERN = {
    "NAME": r"""([^\s"'!-][^\s"']*)""",
    "WORD": r"""([^\s"'!-][^\s"']*)""",
    "QUOTED": r'("(?:[^"\\]|\\.)*")',
    "NUMBER": r"(\d{1,9})",
    "COUNTERS": r"(\[\d{1,20}:\d{1,20}\])",
}


def pattern(words: Sequence[Word], fixed: set[int]) -> re.Pattern[str]:
    """The pattern of a shape; every word is a group, so that indexes stay those of the words."""
    parts = []
    end = words[0].column
    for index, word in enumerate(words):
        if word.column > end:
            parts.append(r"[ \t]+")
        end = word.column + len(word.text)
        if index in fixed or word.terminal not in _VALUE_PATTERN:
            parts.append(f"({re.escape(word.text)})")
        else:
            parts.append(_VALUE_PATTERN[word.terminal])
    return re.compile("".join(parts) + r"[ \t]*")
