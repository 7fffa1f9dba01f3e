"""Rules and elements: lark reads the first one of a shape, a pattern the later ones.

What lark found of a text is made into a :class:`Made`: the object that the text stands for, and
how the same object is made of the values in another text of the same shape. Values are what may
differ within a shape: addresses, numbers, quoted texts, chains, sets and lists in braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

_GRAMMAR = Path(__file__).with_name("nftables.lark")

Words = Sequence[str]
Of = TypeVar("Of")
Of_co = TypeVar("Of_co", covariant=True)
Result = TypeVar("Result")


class TextError(Exception):
    """A text is wrong at an offset, counted from its start."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Made(NamedTuple, Generic[Of_co]):
    """An object that a text stands for; ``make`` makes it of the values in a text of the same
    shape, and is None where it is the same whatever they are."""

    value: Of_co
    make: Callable[[Words], Of_co] | None = None


def fixed(value: Of) -> Made[Of]:
    """The same object in every text of the shape."""
    return Made(value)


def combined(build: Callable[..., Result], *parts: Made[object]) -> Made[Result]:
    """What a function makes of parts."""
    value = build(*[part.value for part in parts])
    makers = [part.make for part in parts]
    if not any(makers):
        return Made(value)
    if len(parts) == 1 and (only := makers[0]) is not None:
        return Made(value, lambda words: build(only(words)))
    if len(parts) == 2:
        return Made(value, _of_two(build, *parts))
    if len(parts) == 3 and makers[2] is None:
        first, second = (part.make or _always(part.value) for part in parts[:2])
        third = parts[2].value
        return Made(value, lambda words: build(first(words), second(words), third))
    whole = [part.make or _always(part.value) for part in parts]
    return Made(value, lambda words: build(*[make(words) for make in whole]))


def _of_two(
    build: Callable[..., Result], one: Made[object], two: Made[object]
) -> Callable[[Words], Result]:
    first, second = one.make, two.make
    if first is not None and second is not None:
        return lambda words: build(first(words), second(words))
    if first is not None:
        last = two.value
        return lambda words: build(first(words), last)
    assert second is not None
    start = one.value
    return lambda words: build(start, second(words))


def together(parts: Sequence[Made[Of]]) -> Made[tuple[Of, ...]]:
    """A tuple of parts."""
    value = tuple([part.value for part in parts])
    if not any(part.make for part in parts):
        return Made(value)
    makers = [part.make or _always(part.value) for part in parts]
    if len(makers) == 2:
        one, two = makers
        return Made(value, lambda words: (one(words), two(words)))
    if len(makers) == 4:
        one, two, three, four = makers
        return Made(value, lambda words: (one(words), two(words), three(words), four(words)))
    return Made(value, lambda words: tuple([make(words) for make in makers]))


def _always(value: Of) -> Callable[[Words], Of]:
    return lambda _: value


# Values that later texts of a shape may have in place of the first one's.
_HOLES = {
    "NUMBER": r"(0[xX][0-9a-fA-F]+|[0-9]+)",
    "IPV4": r"([0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)",
    "IPV6": r"([0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F:]*)",
    "PREFIX": r"([0-9a-fA-F:.]+/[0-9]+)",
    "QUOTED": r'("[^"\n]*")',
    "TARGET": r"([A-Za-z_.][\w./-]*)",
    "SET_REFERENCE": r"(@[A-Za-z_.][\w./-]*)",
    "BODY": r'(\{[^{}"\n]*+(?:"[^"\n]*"[^{}"\n]*+)*+\})',
    "TIME": r"((?:[0-9]+(?:ms|[dhms]))+)",
}
_NAMES_TOO = {**_HOLES, "NAME": r"([A-Za-z_.][\w./-]*\*?)"}


@dataclass(slots=True)
class Holes:
    """The values of one text, in its order, while its object is made."""

    start: str
    by_offset: dict[int, int] = field(default_factory=dict)
    targets: list[int] = field(default_factory=list)
    """Which of them are names of chains."""

    def read(self, token: Token, read: Callable[[str], Of]) -> Made[Of]:
        """What a function that raises ValueError makes of a token.

        Raises:
            TextError: it raised one.
        """
        offset = token.start_pos
        assert offset is not None
        try:
            value = read(str(token))
        except ValueError as error:
            raise TextError(offset, str(error)) from None
        except TextError as error:
            raise TextError(offset + error.offset, error.message) from None
        index = self.by_offset.get(offset)
        if index is None:
            return Made(value)
        return Made(value, lambda words: read(words[index]))


def tokens_of(tree: Tree[Token]) -> list[Token]:
    """All words of a text that the grammar keeps, in their order."""
    from lark import Token

    found = tree.scan_values(lambda item: isinstance(item, Token))
    return sorted(found, key=lambda token: token.start_pos or 0)


def holes_of(start: str, tree: Tree[Token]) -> tuple[Holes, list[Token]]:
    """The values of a text that was read from a start rule."""
    kinds = _NAMES_TOO if start == "element" else _HOLES
    tokens = [token for token in tokens_of(tree) if token.type in kinds]
    holes = Holes(start, {token.start_pos or 0: index for index, token in enumerate(tokens)})
    holes.targets = [index for index, token in enumerate(tokens) if token.type == "TARGET"]
    return holes, tokens


def pattern(text: str, holes: Sequence[Token], end: str) -> re.Pattern[str]:
    """Texts of the same shape; ``end`` is a pattern for what may stand behind."""
    found, last = r"[ \t]*", 0
    for token in holes:
        assert token.start_pos is not None
        assert token.end_pos is not None
        found += re.escape(text[last : token.start_pos]) + _NAMES_TOO[token.type]
        last = token.end_pos
    return re.compile(found + re.escape(text[last:]) + end)


def tree_of(text: str, start: str) -> Tree[Token]:
    """What lark makes of a rule, an element or a typeof.

    Raises:
        TextError: it is none that the grammar knows.
    """
    from lark import UnexpectedInput
    from lark.exceptions import UnexpectedEOF

    try:
        return _lark().parse(text, start=start)
    except UnexpectedInput as error:
        offset: int | None = getattr(error, "pos_in_stream", None)
        token = getattr(error, "token", None)
        ends = isinstance(error, UnexpectedEOF) or getattr(token, "type", "") == "$END"
        if offset is None or ends or offset >= len(text):
            raise TextError(len(text.rstrip()), f"the {start} ends too early") from None
        word = re.match(r'"[^"\n]*"?|[\w./-]+|\S', text[offset:])
        shown = word[0] if word else text[offset]
        raise TextError(offset, f"cannot read {shown!r} here") from None


@lru_cache(maxsize=1)
def _lark() -> Lark:
    from lark import Lark

    from svcc.grammar.nftables.fields import TERMINAL

    grammar = _GRAMMAR.read_text(encoding="utf-8")
    escaped = TERMINAL.replace("/", r"\/")
    return Lark(
        f"{grammar}\nFIELD.5: /{escaped}/\n",
        parser="lalr",
        start=["rule", "element", "typeof"],
        maybe_placeholders=False,
        propagate_positions=True,
    )
