"""Standard output and error, where they may fail."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys


def say(text: str) -> None:
    """A line on standard error, what is for the person at the terminal besides results."""
    # Where standard error is closed or full there is nobody to tell.
    with contextlib.suppress(OSError, AttributeError):
        sys.stderr.write(f"{text}\n")


class ClosedOutput(io.TextIOBase):
    """Standard output that was closed before svcc began; Python has None there."""

    def write(self, _: str) -> int:
        """Fail as write(2) does."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
