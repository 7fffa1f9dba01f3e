"""Elements of sets and maps: tens of thousands of them, which are a few values each."""

from __future__ import annotations

import re
from functools import lru_cache

from svcc.grammar.nftables.program import (
    Anything,
    AnyVerdict,
    Concatenation,
    Element,
    Expression,
)
from svcc.grammar.nftables.statements import (
    WORDS,
    RuleError,
    read_expression,
    read_verdict,
)
from svcc.grammar.nftables.values import milliseconds, value

_ITEMS = re.compile(r'[^,"]+(?:"[^"\n]*"[^,"]*)*|"[^"\n]*"[^,]*')
_HEAD = re.compile(
    r"(?P<key>.*?)"
    r"(?: timeout (?P<timeout>\w+))?(?: expires (?P<expires>\w+))?"
    r"(?: counter packets \d+ bytes \d+)?"
    r'(?: comment "(?P<comment>[^"\n]*)")?'
    r"(?: timeout (?P<later>\w+))?(?: expires (?P<left>\w+))?",
    re.DOTALL,
)


def read_elements(text: str, line: int) -> list[Element]:
    """What stands between the braces of ``elements = { … }``.

    Args:
        text: without the braces.
        line: where it begins, 1-based.

    Raises:
        ElementError: nft would not take it.
    """
    found: list[Element] = []
    for item in _ITEMS.findall(text):
        bare = item.strip()
        if bare:
            before = item[: len(item) - len(item.lstrip())].count("\n")
            found.append(_element(bare, line + before))
        line += item.count("\n")
    return found


class ElementError(Exception):
    """Something that is no element; ``line`` is 1-based."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def _element(text: str, line: int) -> Element:
    key_text, colon, data_text = _split(text)
    comment = timeout = expires = None
    try:
        if " " in key_text and ("timeout" in key_text or '"' in key_text or "count" in key_text
                                or "expires" in key_text):  # fmt: skip
            head = _HEAD.fullmatch(key_text)
            assert head is not None
            key_text, comment = head["key"], head["comment"]
            limit, left = head["timeout"] or head["later"], head["expires"] or head["left"]
            timeout = milliseconds(limit) if limit else None
            expires = milliseconds(left) if left else None
        return Element(
            _key(key_text), _data(data_text) if colon else None, comment, timeout, expires, line
        )
    except (ValueError, RuleError) as error:
        raise ElementError(line, f"{text!r} is no element: {error}") from None


def _split(text: str) -> tuple[str, str, str]:
    """Key, colon and data; IPv6 addresses have colons without blanks around."""
    key, colon, data = text.partition(" : ")
    if colon:
        return key.rstrip(), colon, data.strip()
    if text.count(":") == 1:
        # Written by hand: 80:accept.
        before, colon, after = text.partition(":")
        return before.rstrip(), colon, after.strip()
    return text, "", ""


def _key(text: str) -> Expression:
    if text == "*":
        return Anything()
    if " . " not in text:
        return value(text)
    return Concatenation(tuple([value(part.strip()) for part in text.split(" . ")]))


@lru_cache(maxsize=1 << 16)
def _data(text: str) -> Expression | AnyVerdict:
    words = WORDS.findall(text)
    return read_verdict(words) or read_expression(words)
