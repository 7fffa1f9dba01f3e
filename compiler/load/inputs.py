"""Inputs as bytes and text: files, folders, standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from svcc.compiler.load.document import Source
from svcc.grammar.errors import InputError, Position, Problem

SUFFIXES = (".yaml", ".yml", ".json")
STANDARD_INPUT = "<stdin>"


def source_of(name: str, data: bytes) -> Source:
    """The text of an input.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InputError([Problem(Position(name, line, column), message)]) from None


def read_inputs(
    paths: Sequence[str], recursive: bool, stdin: BinaryIO | None, problems: list[Problem]
) -> Iterator[tuple[str, bytes]]:
    """The inputs that can be read, each once."""
    seen: set[str] = set()
    for text in paths:
        files: list[Path | None] = [None]
        if text != "-":
            files = list(_files(text, recursive, problems))
        for file in files:
            name = STANDARD_INPUT if file is None else str(file)
            if name in seen:
                problems.append(Problem(Position(name), "this input is given twice; leave one out"))
                continue
            seen.add(name)
            try:
                yield name, _standard_input(stdin) if file is None else file.read_bytes()
            except (OSError, ValueError) as error:
                problems.append(Problem(Position(name), f"cannot read: {reason(error)}"))


def _standard_input(stdin: BinaryIO | None) -> bytes:
    if stdin is not None:
        return stdin.read()
    if sys.stdin is None:
        raise ValueError("it is closed")
    return sys.stdin.buffer.read()


def _files(text: str, recursive: bool, problems: list[Problem]) -> list[Path]:
    path = Path(text)
    try:
        if not path.is_dir():
            return [path]
        entries = path.rglob("*") if recursive else path.iterdir()
        files = sorted(e for e in entries if e.suffix in SUFFIXES and e.is_file())
    except (OSError, ValueError) as error:
        problems.append(Problem(Position(text), f"cannot read: {reason(error)}"))
        return []
    if not files:
        wanted = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        deeper = "" if recursive else "; -R looks into subfolders"
        problems.append(Problem(Position(text), f"no {wanted} in this folder{deeper}"))
    return files


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its name."""
    return getattr(error, "strerror", None) or str(error)
