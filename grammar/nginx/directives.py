"""Directives of nginx as a tree, and their text.

Source: nginx src/core/ngx_conf_file.c (ngx_conf_read_token) for words and quoting.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_PLAIN = re.compile(r"[^\s\"'{};\\#][^\s\"'{};\\]*")
_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive. ``block`` None: it ends with ``;``.

    ``file`` and ``line`` (1-based) are where it was read, 0 where it was not; ``comment`` is
    written on a line of its own ahead of it, and is never read.
    """

    name: str
    arguments: tuple[str, ...] = ()
    block: tuple[Directive, ...] | None = None
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    comment: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{_words(self)};" if self.block is None else f"{_words(self)} {{…}}"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A main configuration, with what it includes in its place."""

    directives: tuple[Directive, ...]
    source: str = field(default="", compare=False)


def write(configuration: Configuration) -> str:
    """The text; :func:`svcc.grammar.nginx.read.read` is its inverse."""
    return "".join(f"{line}\n" for line in _lines(configuration.directives, ""))


def _lines(directives: Iterable[Directive], indent: str) -> Iterator[str]:
    for directive in directives:
        if directive.comment:
            yield f"{indent}# {' '.join(directive.comment.split())}"
        if directive.block is None:
            yield f"{indent}{_words(directive)};"
            continue
        yield f"{indent}{_words(directive)} {{"
        yield from _lines(directive.block, indent + _INDENT)
        yield f"{indent}}}"


def _words(directive: Directive) -> str:
    return " ".join(quoted(word) for word in (directive.name, *directive.arguments))


def quoted(word: str) -> str:
    """A word as it stands in a configuration.

    Raises:
        ValueError: it has a backslash, which readers take in different ways.
    """
    if "\\" in word:
        raise ValueError(f"{word!r} has a backslash")
    if _PLAIN.fullmatch(word):
        return word
    escaped = word.replace('"', '\\"')
    return f'"{escaped}"'
