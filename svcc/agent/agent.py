"""The agent: sources, the loop that has rules follow them, and what it answers meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from svcc.agent.log import Log
from svcc.agent.loop import Loop, Syncs
from svcc.agent.notify import ServiceManager
from svcc.agent.pace import Pace
from svcc.agent.serving.health_checks import HealthChecks
from svcc.agent.serving.healthz import health_routes
from svcc.agent.serving.metrics import Metrics
from svcc.agent.serving.server import Routes, Server
from svcc.agent.sources.documents import Documents
from svcc.agent.sources.source import Source
from svcc.agent.state import State
from svcc.compiler.settings.agent import AgentSettings, BindAddress

RETRY_SECONDS = 30.0
"""After which an address that could not be listened on is tried again."""


class Agent:
    """One node's agent."""

    def __init__(
        self,
        source: Source,
        settings: AgentSettings,
        mode: str,
        syncs: Syncs,
        log: Log,
    ) -> None:
        self._settings = settings
        self._log = log
        self._stop = threading.Event()
        self._servers: list[Server] = []
        self._closing: list[Callable[[], None]] = []
        periods = settings.periods_of(mode)
        # As long as kube-proxy's health check waits for a sync (proxy_health.go).
        self._patience = 2 * periods.maximum
        self._state = State()
        self._metrics = Metrics(mode)
        self._metrics.stale.set_function(lambda: _age(source.stale_since))
        self._loop = Loop(
            Documents(source.parts),
            [source],
            syncs,
            Pace(periods),
            self._state,
            self._metrics,
            log,
            ServiceManager(),
        )

    def at_end(self, close: Callable[[], None]) -> None:
        """Have something closed when :meth:`run` returns."""
        self._closing.append(close)

    def stop(self) -> None:
        """Have :meth:`run` return; what is loaded stays."""
        self._stop.set()
        self._loop.stop()

    def reload(self) -> None:
        """Settings may be otherwise: look at everything anew."""
        self._loop.reload()

    def run(self) -> bool:
        """Follow until :meth:`stop`; False where an address that must be listened on cannot be."""
        health = health_routes(self._state, self._patience, self._metrics.answered)
        checks = HealthChecks(self._state, self._patience, self._log.tell)
        try:
            if not self._listen(self._settings.healthz, health):
                return False
            if not self._listen(self._settings.metrics, self._metrics.routes()):
                return False
            self._loop.run()
            return True
        finally:
            checks.close()
            for close in self._closing:
                close()
            for server in self._servers:
                server.close()

    def _listen(self, at: BindAddress | None, routes: Routes) -> bool:
        if at is None:
            return True
        try:
            self._servers.append(Server(at, routes))
        except OSError as error:
            self._log.line("error", f"cannot listen on {at}: {error.strerror or error}")
            if self._settings.bind_address_hard_fail:
                return False
            threading.Thread(target=self._try_again, args=(at, routes), daemon=True).start()
        else:
            self._log.line("info", f"listening on {at}")
        return True

    def _try_again(self, at: BindAddress, routes: Routes) -> None:
        while not self._stop.wait(RETRY_SECONDS):
            try:
                self._servers.append(Server(at, routes))
            except OSError:
                continue
            self._log.line("info", f"listening on {at}")
            return


def _age(since: float | None) -> float:
    return 0.0 if since is None else time.monotonic() - since
