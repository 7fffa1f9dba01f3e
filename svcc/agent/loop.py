"""The loop of the agent: waits for changes, and has the rules follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from svcc.agent.keeper import Synced, SyncError
from svcc.agent.log import Log
from svcc.agent.notify import ServiceManager
from svcc.agent.pace import Pace
from svcc.agent.sources.documents import Changes, Document, Documents
from svcc.agent.sources.source import Source
from svcc.agent.state import State

if TYPE_CHECKING:
    from svcc.agent.serving.metrics import Metrics

_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


class Syncs(Protocol):
    """Makes rules follow; see :class:`svcc.agent.keeper.Keeper`."""

    def sync(self, changes: Changes) -> Synced:
        """Make the rules be as the objects want them, or raise SyncError."""

    def forget(self) -> None:
        """Look at everything anew at the next sync."""


class Loop:
    """Runs until it is stopped, in the thread that calls :meth:`run`."""

    def __init__(
        self,
        documents: Documents,
        sources: Sequence[Source],
        syncs: Syncs,
        pace: Pace,
        state: State,
        metrics: Metrics,
        log: Log,
        manager: ServiceManager,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._sources = sources
        self._syncs = syncs
        self._pace = pace
        self._state = state
        self._metrics = metrics
        self._log = log
        self._manager = manager
        self._clock = clock
        self._stop = threading.Event()
        self._look_anew = threading.Event()
        self._is_ready = False
        self._last_fault = ""

    def stop(self) -> None:
        """End soon; what is loaded stays. Also from a signal handler."""
        self._stop.set()
        self._documents.wake()

    def reload(self) -> None:
        """Settings were changed: look at everything anew. Also from a signal handler."""
        self._look_anew.set()
        self._documents.wake()

    def run(self) -> None:
        """Follow the sources until :meth:`stop`."""
        for source in self._sources:
            source.start(self._documents, self._log.tell)
        try:
            self._wait_for_lists()
            while not self._stop.is_set():
                if self._wait_until_due():
                    self._sync()
        finally:
            self._manager.tell("STOPPING=1")
            for source in self._sources:
                source.close()
        self._log.line("info", "stopped; the rules stay as they are")

    def _wait_for_lists(self) -> None:
        """Nothing is changed before every source has said what there is."""
        told: tuple[str, ...] = ()
        while not self._stop.is_set() and (missing := self._documents.missing):
            if missing != told:
                self._log.line("info", f"waiting for {', '.join(missing)}")
                told = missing
            self._sign_of_life()
            self._documents.wait(self._nap(None))
        if not self._stop.is_set():
            self._state.listed()

    def _wait_until_due(self) -> bool:
        """Wait until a sync is due; False where it is time to look whether one is."""
        has_changed = self._documents.wait(0) or self._look_anew.is_set()
        if has_changed:
            self._state.queued()
        due = self._pace.due(changed=has_changed)
        left = due - self._clock()
        if left <= 0:
            return True
        self._sign_of_life()
        if has_changed:
            # More changes would not bring the next sync nearer.
            self._stop.wait(self._nap(left))
        else:
            self._documents.wait(self._nap(left))
        return False

    def _nap(self, left: float | None) -> float | None:
        """Not longer than the service manager waits for a sign of life."""
        watchdog = self._manager.watchdog
        if watchdog is None:
            return left
        return watchdog / 2 if left is None else min(left, watchdog / 2)

    def _sign_of_life(self) -> None:
        if self._manager.watchdog is not None:
            self._manager.tell("WATCHDOG=1")

    def _sync(self) -> None:
        if self._look_anew.is_set():
            self._look_anew.clear()
            self._syncs.forget()
        changes = self._documents.take()
        self._count(changes)
        begin = self._clock()
        try:
            found = self._syncs.sync(changes)
        except SyncError as error:
            self._failed(error)
        else:
            self._synced(found, changes, self._clock() - begin)

    def _failed(self, error: SyncError) -> None:
        self._pace.failed(self._clock())
        # Another try, with whatever has changed until then, looks at everything.
        self._syncs.forget()
        self._metrics.failures.labels(error.stage).inc()
        if error.codes:
            self._metrics.found(error.codes)
        self._state.failed(error.stage, str(error))
        if str(error) != self._last_fault:
            self._last_fault = str(error)
            self._log.line("error", f"{error}; what is loaded stays", stage=error.stage)
            self._manager.tell(f"STATUS=failing: {str(error)[:200]}")

    def _synced(self, found: Synced, changes: Changes, seconds: float) -> None:
        now = self._clock()
        self._pace.synced(now, found.again)
        self._state.done(
            eligible=found.eligible,
            health_checks=found.health_checks,
            node_port_addresses=found.node_port_addresses,
        )
        if self._last_fault:
            self._log.line("info", "what failed before is over")
            self._last_fault = ""
        if found.said:
            steps = found.said.strip().splitlines()
            self._log.line("info", f"loaded in {seconds:.3f} s: {'; '.join(steps)}", steps=steps)
        self._measure(found, changes, seconds)
        if not self._is_ready:
            self._is_ready = True
            self._manager.tell("READY=1")
        self._manager.tell(f"STATUS={found.service_ports} ports of Services are forwarded")

    def _count(self, changes: Changes) -> None:
        for key in changes.changed:
            if key.kind == "Service":
                self._metrics.service_changes.inc()
            elif key.kind in ("EndpointSlice", "Endpoints"):
                self._metrics.endpoint_changes.inc()
        if changes.changed:
            self._metrics.last_queued.set(self._state.now())

    def _measure(self, found: Synced, changes: Changes, seconds: float) -> None:
        metrics, now = self._metrics, self._state.now()
        metrics.sync.observe(seconds)
        (metrics.full_sync if found.is_full else metrics.partial_sync).observe(seconds)
        metrics.last_sync.set(now)
        metrics.frontends.set(found.service_ports)
        metrics.found(found.codes)
        if found.drifted:
            metrics.drift.inc()
        if found.proof_seconds is not None:
            metrics.proof.observe(found.proof_seconds)
        if not self._is_ready:
            # What changed before there was an agent was not late because of it.
            return
        for key in changes.changed:
            triggered = _triggered(changes.documents.get(key))
            if triggered is not None and now >= triggered:
                metrics.programming.observe(now - triggered)


def _triggered(document: Document | None) -> float | None:
    """When the change happened that a slice tells of."""
    meta = (document or {}).get("metadata") or {}
    text = (meta.get("annotations") or {}).get(_TRIGGER)
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError):
        return None
