"""Standard output and error, where they may fail."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TextIO


def say(text: str) -> None:
    """A line on standard error, what is for the person at the terminal besides results."""
    # Where standard error is closed or full there is nobody to tell.
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def give_up(stream: io.TextIOBase | TextIO) -> None:
    """Have the interpreter find nothing to write at its end."""
    # A stream without a descriptor holds nothing.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class ClosedOutput(io.TextIOBase):
    """Standard output that was closed before svcc began; Python has None there."""

    def write(self, _: str) -> int:
        """Fail as write(2) does."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


_CODES = {"+": "32", "-": "31", "!": "33", "@": "36", "*": "1"}


def has_colours(stream: io.TextIOBase | TextIO | None) -> bool:
    """Whether a stream is a terminal that colours are wanted at (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream is not None and stream.isatty()


def coloured(text: str, kind: str) -> str:
    """Text in the colour of what comes (``+``), goes (``-``), warns (``!``), a place (``@``) or a
    heading (``*``).
    """
    return f"\033[{_CODES[kind]}m{text}\033[0m"


def coloured_diff(text: str) -> str:
    """A unified diff as git(1) colours it."""
    return "".join(_coloured_line(line) for line in text.splitlines(keepends=True))


def _coloured_line(line: str) -> str:
    bare = line.rstrip("\n")
    end = line[len(bare) :]
    if bare.startswith(("+++", "---")):
        return coloured(bare, "*") + end
    return coloured(bare, bare[0]) + end if bare[:1] in ("+", "-", "@") else line


def coloured_service(line: str) -> str:
    """A line for a Service, what comes and goes in colours."""
    words = (coloured(w, w[0]) if w[0] in "+-" else w for w in line.split(" ") if w)
    return " ".join(words)
