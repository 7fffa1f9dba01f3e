"""Inputs as bytes and text: files, folders, standard input."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, NamedTuple

from svcc.compiler.load.document import Source
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.packed import unpacked

SUFFIXES = (".yaml", ".yml", ".json")
_URL = re.compile(r"https?://", re.IGNORECASE)

STANDARD_INPUT = "<stdin>"


class Input(NamedTuple):
    """``found_below``: not named, but found in a folder that was searched with -R."""

    name: str
    data: bytes
    found_below: bool = False


def source_of(name: str, data: bytes) -> Source:
    """The text of an input; one packed by gzip is unpacked.

    Raises:
        InputError: it is not UTF-8, or no whole gzip file.
    """
    try:
        data = unpacked(data)
    except ValueError as error:
        raise InputError([Problem(Position(name), str(error))]) from None
    try:
        return Source(name, data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise InputError([Problem(Position(name, line, column), message)]) from None


def read_inputs(
    paths: Sequence[str],
    recursive: bool,
    exclude: Sequence[str],
    stdin: BinaryIO | None,
    problems: list[Problem],
) -> Iterator[Input]:
    """The inputs that can be read, each once."""
    seen: set[str] = set()
    for text in paths:
        files: list[Path | None] = [None]
        if text != "-":
            files = list(_files(text, recursive, exclude, problems))
        found_below = recursive and files != [None] and Path(text).is_dir()
        for file in files:
            name = STANDARD_INPUT if file is None else str(file)
            if name in seen:
                problems.append(Problem(Position(name), "this input is given twice; leave one out"))
                continue
            seen.add(name)
            try:
                data = standard_input(stdin) if file is None else file.read_bytes()
            except (OSError, ValueError) as error:
                problems.append(Problem(Position(name), f"cannot read: {reason(error)}"))
            else:
                yield Input(name, data, found_below)


def standard_input(stdin: BinaryIO | None) -> bytes:
    """All of standard input, or what stands for it.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    if stdin is not None:
        return stdin.read()
    if sys.stdin is None:
        raise ValueError("it is closed")
    return sys.stdin.buffer.read()


def _files(
    text: str, recursive: bool, exclude: Sequence[str], problems: list[Problem]
) -> list[Path]:
    path = Path(text)
    if _URL.match(text):
        message = f"svcc downloads nothing; run curl -fsSL {text} and pipe it to -f -"
        problems.append(Problem(Position(text), message))
        return []
    try:
        if not path.is_dir():
            if text.endswith("/") and path.exists():
                message = "this is a file, not a folder; leave the / at the end out"
                problems.append(Problem(Position(text), message))
                return []
            return [path]
        if (path / "Chart.yaml").is_file() and (path / "templates").is_dir():
            message = f"this is a Helm chart; render it first (helm template {text} | svcc … -f -)"
            problems.append(Problem(Position(text), message))
            return []
        entries = path.rglob("*") if recursive else path.iterdir()
        files = sorted(
            e
            for e in entries
            if e.suffix in SUFFIXES and e.is_file() and not _is_excluded(e, path, exclude)
        )
    except (OSError, ValueError) as error:
        problems.append(Problem(Position(text), f"cannot read: {reason(error)}"))
        return []
    if not files:
        wanted = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        deeper = "" if recursive else "; -R looks into subfolders"
        if exclude:
            deeper += "; --exclude may leave too much out"
        problems.append(Problem(Position(text), f"no {wanted} in this folder{deeper}"))
    return files


def _is_excluded(file: Path, folder: Path, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits the file or a folder that it is in, by name or from ``folder`` on."""
    parts = file.relative_to(folder).parts
    return any(
        fnmatchcase(name, pattern.rstrip("/"))
        for pattern in patterns
        for end in range(1, len(parts) + 1)
        for name in (parts[end - 1], "/".join(parts[:end]))
    )


def reason(error: Exception) -> str:
    """Why a file cannot be read, without its name."""
    return getattr(error, "strerror", None) or str(error)
