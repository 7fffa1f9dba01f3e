"""``/healthz`` and ``/livez``, as kube-proxy answers them.

Source: pkg/proxy/healthcheck/proxy_health.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from svcc.agent.serving.server import JSON, Response, Routes
from svcc.agent.state import State, is_healthy


def health_routes(
    state: State, timeout: float, count: Callable[[str, int], None] | None = None
) -> Routes:
    """What is answered.

    ``/livez`` says whether rules follow the objects, ``/healthz`` whether balancers should send
    anything here besides: not where the Node is about to go.

    Args:
        state: of the agent.
        timeout: seconds that a change may wait.
        count: is told of each answer: ``healthz`` or ``livez``, and the code.
    """

    def answer(name: str, *, asks_node: bool) -> Response:
        now, snapshot = state.now(), state.get()
        is_fine = is_healthy(now, snapshot, timeout)
        body: dict[str, object] = {
            "lastUpdated": _text(now if is_fine else snapshot.updated),
            "currentTime": _text(now),
        }
        if asks_node:
            body["nodeEligible"] = snapshot.eligible
            is_fine &= snapshot.eligible
        if snapshot.failed is not None:
            body["failed"] = snapshot.failed
            body["reason"] = snapshot.reason
        code = 200 if is_fine else 503
        if count is not None:
            count(name, code)
        return Response(code, json.dumps(body), JSON)

    return {
        "/healthz": lambda: answer("healthz", asks_node=True),
        "/livez": lambda: answer("livez", asks_node=False),
    }


def _text(seconds: float) -> str:
    if not seconds:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
