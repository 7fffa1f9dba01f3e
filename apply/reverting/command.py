"""The command that confirms an apply by succeeding, run until it does."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

_PAUSE = 1.0
"""Seconds from one run's end to the next one's begin."""
_MOST_TOLD = 400


class HealthCommand:
    """A line for the shell; it never waits, SIGCHLD says when to ask."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._process = 0
        self._next = time.monotonic()
        self._output = -1
        self._failure = ""

    def has_succeeded(self) -> bool:
        """Whether it has ended well; runs it if it is time to."""
        if not self._process:
            if time.monotonic() >= self._next:
                self._start()
            return False
        ended, status = os.waitpid(self._process, os.WNOHANG)
        if not ended:
            return False
        self._process = 0
        self._next = time.monotonic() + _PAUSE
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._failure = f"{how}{self._last_words()}"
        return code == 0

    def seconds_to_next(self) -> float:
        """Until there is something to do without a signal."""
        return float("inf") if self._process else max(0.0, self._next - time.monotonic())

    def failure(self) -> str:
        """What to add to why it was not confirmed."""
        if self._process:
            return f"; {self._line} did not end"
        return f"; {self._line} failed ({self._failure})" if self._failure else ""

    def stop(self) -> None:
        """End it and all that it has started."""
        if self._process:
            with suppress(OSError):
                os.killpg(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
            self._process = 0

    def _start(self) -> None:
        if self._output >= 0:
            os.close(self._output)
        self._output = os.memfd_create("output", os.MFD_CLOEXEC)
        self._process = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", self._line],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, self._output, 1),
                (os.POSIX_SPAWN_DUP2, self._output, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGHUP,),
        )

    def _last_words(self) -> str:
        size = os.fstat(self._output).st_size
        text = os.pread(self._output, _MOST_TOLD, max(0, size - _MOST_TOLD))
        words = " ".join(text.decode(errors="replace").split())
        return f": {words}" if words else ""
