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
