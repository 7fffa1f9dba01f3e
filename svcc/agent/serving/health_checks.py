"""Health check node ports: balancers ask there which nodes have endpoints of a Service.

Source: pkg/proxy/healthcheck/service_health.go.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

from svcc.agent.serving.server import JSON, Response, Server
from svcc.agent.state import LocalEndpoints, Snapshot, State, is_healthy
from svcc.compiler.settings.agent import BindAddress

_ANYWHERE = "::"


class HealthChecks:
    """Listens on each such port while a Service has it."""

    def __init__(self, state: State, timeout: float, tell: Callable[[str], None]) -> None:
        """Follow the state.

        Args:
            state: of the agent.
            timeout: seconds that a change may wait before the node is not healthy.
            tell: is told where a port cannot be listened on.
        """
        self._state = state
        self._timeout = timeout
        self._tell = tell
        self._lock = threading.Lock()
        self._servers: dict[BindAddress, Server] = {}
        self._by_port: dict[int, LocalEndpoints] = {}
        self._refused: set[BindAddress] = set()
        state.watch(self.follow)

    def follow(self, snapshot: Snapshot) -> None:
        """Listen where the state says, and nowhere else; what failed is tried again."""
        with self._lock:
            self._by_port = {item.port: item for item in snapshot.health_checks}
            if snapshot.node_port_addresses is None:
                hosts = [_ANYWHERE]
            else:
                hosts = [str(address) for address in snapshot.node_port_addresses]
            wanted = {BindAddress(host, port) for port in self._by_port for host in hosts}
            for at in self._servers.keys() - wanted:
                self._servers.pop(at).close()
            self._refused &= wanted
            for at in sorted(wanted - self._servers.keys(), key=str):
                self._listen(at)

    def close(self) -> None:
        """Listen nowhere."""
        with self._lock:
            for server in self._servers.values():
                server.close()
            self._servers.clear()

    def _listen(self, at: BindAddress) -> None:
        routes = {"*": lambda: self._answer(at.port)}
        try:
            self._servers[at] = Server(at, routes)
        except OSError as error:
            if at not in self._refused:
                self._refused.add(at)
                of = self._by_port[at.port]
                self._tell(
                    f"error: the health check node port of {of.namespace}/{of.name} cannot be "
                    f"answered at {at}: {error.strerror or error}; it is tried again"
                )
        else:
            self._refused.discard(at)

    def _answer(self, port: int) -> Response:
        found = self._by_port.get(port)
        if found is None:
            return Response(404, "")
        is_fine = is_healthy(self._state.now(), self._state.get(), self._timeout)
        body = {
            "service": {"namespace": found.namespace, "name": found.name},
            "localEndpoints": found.count,
            "serviceProxyHealthy": is_fine,
        }
        code = 200 if found.count and is_fine else 503
        weight = {"X-Load-Balancing-Endpoint-Weight": str(found.count)}
        return Response(code, json.dumps(body, indent="\t"), JSON, weight)
