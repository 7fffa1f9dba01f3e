"""What the agent knows of its own work, for those who ask from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from svcc.grammar.address import Address

Stage = Literal["input", "proof", "apply"]
"""What failed: objects or settings are wrong, rules are not proved, or the kernel refuses them."""


@dataclass(frozen=True, slots=True)
class LocalEndpoints:
    """A Service with a health check node port, and how many of its endpoints are on this node."""

    namespace: str
    name: str
    port: int
    count: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One look at the state. Times are seconds since 1970.

    ``queued`` is when a change came in that is not in force yet, None: there is none.
    ``updated`` is when the rules were last known to be as wanted, 0: never.
    """

    listed: bool = False
    queued: float | None = None
    updated: float = 0.0
    eligible: bool = True
    """Whether balancers should send anything here: not where the Node is about to go."""
    failed: Stage | None = None
    reason: str = ""
    health_checks: tuple[LocalEndpoints, ...] = ()
    node_port_addresses: tuple[Address, ...] | None = None
    """Where health check node ports answer; None: on all addresses."""


class State:
    """The state, which one loop writes and servers read."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._watchers: list[Callable[[Snapshot], None]] = []

    def watch(self, watcher: Callable[[Snapshot], None]) -> None:
        """Have somebody told of each change, in the thread that makes it."""
        self._watchers.append(watcher)

    def get(self) -> Snapshot:
        """How it is now."""
        with self._lock:
            return self._snapshot

    def listed(self) -> None:
        """All sources have been listed once."""
        self._change(listed=True)

    def queued(self) -> None:
        """A change came in; that of an earlier one still counts."""
        with self._lock:
            first = self._snapshot.queued
        self._change(queued=self.now() if first is None else first)

    def done(
        self,
        *,
        eligible: bool,
        health_checks: tuple[LocalEndpoints, ...],
        node_port_addresses: tuple[Address, ...] | None,
    ) -> None:
        """The rules are as wanted."""
        self._change(
            queued=None,
            updated=self.now(),
            failed=None,
            reason="",
            eligible=eligible,
            health_checks=health_checks,
            node_port_addresses=node_port_addresses,
        )

    def failed(self, stage: Stage, reason: str) -> None:
        """The rules are not as wanted; what was loaded stays."""
        self._change(failed=stage, reason=reason)

    def _change(self, **values: object) -> None:
        with self._lock:
            found = replace(self._snapshot, **values)  # type: ignore[arg-type]
            self._snapshot = found
        for watcher in self._watchers:
            watcher(found)


def is_healthy(now: float, snapshot: Snapshot, timeout: float) -> bool:
    """Whether the rules follow: nothing is waiting, or not for long (seconds).

    Source: pkg/proxy/healthcheck/proxy_health.go.
    """
    if not snapshot.updated:
        return False
    return snapshot.queued is None or now - snapshot.queued < timeout
