"""Clock, waiting and chance, in one place so that tests need no time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """``wait`` waits for seconds, and says whether the end came; ``chance`` is in [0, 1)."""

    wait: Callable[[float], bool]
    is_over: Callable[[], bool]
    now: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    @classmethod
    def until(cls, end: threading.Event) -> Timing:
        """The real thing, until an event is set."""
        return cls(end.wait, end.is_set)


class Backoff:
    """How long to wait before what failed is tried again: ever longer, with jitter.

    As client-go's reflector does (tools/cache/reflector.go): from 0.8 s doubled up to 30 s, and
    up to as much again by chance.
    """

    FIRST = 0.8
    LONGEST = 30.0

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._step = self.FIRST

    def next(self) -> float:
        """Seconds to wait now."""
        step, self._step = self._step, min(2 * self._step, self.LONGEST)
        return step * (1 + self._chance())

    def reset(self) -> None:
        """It has worked for a while."""
        self._step = self.FIRST


class RateLimit:
    """A bucket of tokens: ``burst`` requests at once, ``rate`` a second in the long run."""

    def __init__(self, rate: float, burst: int, now: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = max(1, burst)
        self._now = now
        self._lock = threading.Lock()
        self._tokens = float(self._burst)
        self._seen = now()

    def take(self) -> float:
        """Take one; how many seconds to wait until it is there (no limit: ``rate`` 0)."""
        if self._rate <= 0:
            return 0.0
        with self._lock:
            now = self._now()
            grown = self._tokens + (now - self._seen) * self._rate
            self._tokens, self._seen = min(float(self._burst), grown) - 1, now
            return max(0.0, -self._tokens / self._rate)
