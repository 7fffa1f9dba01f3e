"""Configurations of nginx read with crossplane, which knows its words and directives."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypedDict, cast

from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.nginx.directives import Configuration, Directive

_NEVER = re.compile(r"^\s*(stream|events|http|worker_processes|load_module)\b", re.MULTILINE)
_END = re.compile(r"(?:\A|[;}])\s*(?:#[^\n]*(?:\n\s*|\Z))*\Z")


class _Statement(TypedDict, total=False):
    directive: str
    args: list[str]
    block: list[_Statement]
    file: str
    line: int


def is_nginx(text: str) -> bool:
    """Whether a text is a main configuration of nginx, rather than rules of the kernel."""
    return _NEVER.search(text) is not None and re.search(r"[;{]", text) is not None


def read(path: str) -> Configuration:
    """Read a main configuration; included files stand in the place of their ``include``, relative
    to the folder of the main one (ngx_conf_include).

    Raises:
        InputError: it cannot be read, or nginx would not take it.
    """
    return _read(path, {})


def read_text(text: str, source: str) -> Configuration:
    """As :func:`read`, of a text; ``source`` is its name in messages.

    Raises:
        InputError: as there.
    """
    with tempfile.TemporaryDirectory(prefix="svcc-") as folder:
        path = Path(folder, "nginx.conf")
        path.write_text(text, encoding="utf-8", newline="")
        return _read(str(path), {str(path): source})


def _read(path: str, names: Mapping[str, str]) -> Configuration:
    from crossplane import parse

    source = names.get(path, path)
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise _wrong(source, 0, f"cannot read: {reason}") from None
    if not _END.search(text):
        raise _wrong(source, text.count("\n") + 1, "the file ends within a directive")
    try:
        found = parse(path, combine=True)
    except RecursionError:
        raise _wrong(
            source, 0, "files include each other in a circle, or blocks lie too deep"
        ) from None
    if errors := found["errors"]:
        raise InputError(
            [
                Problem(
                    Position(names.get(each["file"], each["file"]), each["line"] or 0, 1),
                    _message(str(each["error"])),
                )
                for each in errors
            ]
        )
    statements = cast("list[_Statement]", found["config"][0]["parsed"])
    return Configuration(tuple(_directives(statements, names)), source)


def _directives(statements: Iterable[_Statement], names: Mapping[str, str]) -> Iterator[Directive]:
    for statement in statements:
        file = statement.get("file", "")
        block = statement.get("block")
        yield Directive(
            statement["directive"],
            tuple(statement["args"]),
            None if block is None else tuple(_directives(block, names)),
            names.get(file, file),
            statement["line"],
        )


def _message(text: str) -> str:
    """What crossplane says, without the place behind it."""
    told = re.sub(r" in \S+:\d+$", "", text)
    return f"nginx would not take this: {told}" if told else "the file ends within a directive"


def _wrong(source: str, line: int, message: str) -> InputError:
    return InputError([Problem(Position(source, line, 1), message)])
