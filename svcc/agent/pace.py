"""When the next sync is due."""

from __future__ import annotations

import random
from collections.abc import Callable

from svcc.compiler.settings.agent import Periods

FIRST_RETRY, LAST_RETRY = 1.0, 300.0
"""Seconds until what failed is tried again, the first time and at most."""


class Pace:
    """Says when to sync: soon after a change, at times without one, later and later after faults.

    Times are seconds of a clock that never goes back.
    """

    def __init__(self, periods: Periods, jitter: Callable[[], float] = random.random) -> None:
        self._periods = periods
        self._jitter = jitter
        self._failures = 0
        self._last: float | None = None
        self._retry_at = 0.0
        self._again = periods.maximum

    def synced(self, now: float, again: float | None = None) -> None:
        """A sync succeeded; ``again``: after how many seconds the next is wanted at the latest."""
        self._last = now
        self._again = self._periods.maximum if again is None else again
        self._failures = 0

    def failed(self, now: float) -> None:
        """A sync failed; nodes that fail together do not try together again."""
        self._last = now
        delay = min(FIRST_RETRY * 2.0**self._failures, LAST_RETRY)
        self._failures = min(self._failures + 1, 30)
        self._retry_at = now + delay * (0.5 + self._jitter() / 2)

    def due(self, *, changed: bool) -> float:
        """When the next sync is due, with a change that waits or without."""
        if self._last is None:
            return 0.0
        if changed:
            return self._last + self._periods.minimum
        if self._failures:
            return self._retry_at
        return self._last + min(self._again, self._periods.maximum)
