"""A bar on standard error while people wait at a terminal."""

from __future__ import annotations

import sys
import time

APPEARS_AFTER = 1.0
"""Seconds: what is done by then needs no bar."""

_EVERY = 0.1
_WIDTH = 30


class Progress:
    """Shows how much is done; nothing where standard error is no terminal."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = False
        is_watched = sys.stderr is not None and sys.stderr.isatty()
        self._next = time.monotonic() + APPEARS_AFTER if is_watched else float("inf")

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` parts are done."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        self._shown = True
        full = _WIDTH * done // max(total, 1)
        bar = "#" * full + "." * (_WIDTH - full)
        sys.stderr.write(f"\r{self._what} [{bar}] {done}/{total}\033[K")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar away."""
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
            self._shown = False
