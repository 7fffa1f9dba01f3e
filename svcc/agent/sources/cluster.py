"""Objects of a cluster, from its API server."""

from __future__ import annotations

import threading
from typing import Any

from svcc.agent.api_server.access import ClientSettings
from svcc.agent.api_server.client import Client
from svcc.agent.api_server.follower import Follower
from svcc.agent.api_server.kinds import kinds_of
from svcc.agent.api_server.timing import Timing
from svcc.agent.sources.documents import Documents, key_of, slim
from svcc.agent.sources.source import Tell


class ClusterSource:
    """A :class:`svcc.agent.sources.source.Source` of Services, EndpointSlices and one Node."""

    def __init__(self, settings: ClientSettings, node: str, timing: Timing | None = None) -> None:
        """Read the kubeconfig, or the service account; no request is sent.

        Args:
            settings: which API server, and as whom.
            node: the name of the Node to follow.
            timing: in place of the clock, for tests.

        Raises:
            InputError: something is wrong with the kubeconfig, or there is none and this is no pod.
        """
        self._end = threading.Event()
        self._timing = timing or Timing.until(self._end)
        self._tell: Tell = lambda _: None
        self._client = Client(settings, self._timing, lambda text: self._tell(f"warning: {text}"))
        self._kinds = kinds_of(node)
        self._followers: list[Follower] = []
        self._threads: list[threading.Thread] = []

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that it fills."""
        return tuple(kind.part for kind in self._kinds)

    def start(self, documents: Documents, tell: Tell) -> None:
        """Begin to follow; ``tell`` is called from threads, one a part."""
        self._tell = tell
        for kind in self._kinds:
            sink = _Part(documents, kind.part)
            follower = Follower(kind, self._client, sink, self._timing, tell)
            thread = threading.Thread(target=follower.run, name=f"svcc-{kind.part}", daemon=True)
            self._followers.append(follower)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """End; whoever waits for an answer is woken."""
        self._end.set()
        self._client.close()
        for thread in self._threads:
            thread.join()

    @property
    def client(self) -> Client:
        """Whom it asks."""
        return self._client

    @property
    def stale_since(self) -> float | None:
        """Since when (seconds, :func:`time.monotonic`) some part may be out of date."""
        known = (follower.stale_since for follower in self._followers)
        return min((since for since in known if since is not None), default=None)


class _Part:
    def __init__(self, documents: Documents, part: str) -> None:
        self._documents = documents
        self._part = part

    def keep(self, found: dict[str, Any]) -> dict[str, Any]:
        return dict(slim(found))

    def replace(self, objects: list[dict[str, Any]]) -> None:
        self._documents.replace(self._part, objects)

    def put(self, found: dict[str, Any]) -> None:
        self._documents.put(self._part, found)

    def remove(self, found: dict[str, Any]) -> None:
        self._documents.remove(self._part, key_of(found))
