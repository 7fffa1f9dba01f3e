"""Findings as Kubernetes Events, so that ``kubectl get events`` and ``describe service`` show them.

Source: k8s.io/api/core/v1 types.go (Event); client-go tools/record for names and lengths.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from svcc.agent.api_server.client import Client
from svcc.agent.api_server.errors import ClosedError, RequestError
from svcc.agent.sources.documents import Document, Key

COMPONENT = "svcc"
MOST_WAITING = 200
"""Events that wait to be sent; more are told in the log alone."""
MOST_BYTES = 1024
"""Of a message, which the API server takes (validation of events)."""
_SILENCE = 30.0

EventType = Literal["Normal", "Warning"]


class Events:
    """Sends events from a thread of its own, so that nobody waits for the API server."""

    def __init__(self, client: Client, node: str, tell: Callable[[str], None]) -> None:
        """Begin.

        Args:
            client: whom to send them to.
            node: the name of this node.
            tell: is told when events cannot be sent, once while that lasts.
        """
        self._client = client
        self._node = node
        self._tell = tell
        self._waiting: queue.Queue[dict[str, object] | None] = queue.Queue(MOST_WAITING)
        self._failing = False
        self._count = 0
        self._thread = threading.Thread(target=self._send_all, name="events", daemon=True)
        self._thread.start()

    def tell(self, about: Key, document: Document | None, kind: EventType, message: str) -> None:
        """Have an event made about an object; ``document``: as it was last seen."""
        self._count += 1
        meta = (document or {}).get("metadata") or {}
        namespace = about.namespace or "default"
        now = datetime.now(UTC)
        number = f"{int(now.timestamp() * 1e6):x}{self._count:04x}"
        event: dict[str, object] = {
            "apiVersion": "v1",
            "kind": "Event",
            # The name of an object may be as long as an event's may be altogether.
            "metadata": {"name": f"{about.name[:200]}.{number}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": str((document or {}).get("apiVersion", "v1")),
                "kind": about.kind,
                "name": about.name,
                **({"namespace": about.namespace} if about.namespace else {}),
                **({"uid": meta["uid"]} if "uid" in meta else {}),
            },
            "reason": "ServiceRulesRight" if kind == "Normal" else "ServiceRulesWrong",
            "message": message.encode()[:MOST_BYTES].decode(errors="ignore"),
            "type": kind,
            "source": {"component": COMPONENT, "host": self._node},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._node,
            "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "count": 1,
        }
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._failed("too many wait to be sent")

    def close(self) -> None:
        """End; what waits to be sent is not."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(timeout=_SILENCE)

    def _send_all(self) -> None:
        while (event := self._waiting.get()) is not None:
            meta = event["metadata"]
            assert isinstance(meta, dict)
            path = f"/api/v1/namespaces/{meta['namespace']}/events"
            try:
                self._client.create(path, event, silence=_SILENCE)
                self._failing = False
            except RequestError as error:
                self._failed(str(error))
            except ClosedError:
                return

    def _failed(self, reason: str) -> None:
        if not self._failing:
            self._failing = True
            self._tell(f"warning: findings cannot be told as Events: {reason}")
