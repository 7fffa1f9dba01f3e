"""What the tests of following share: objects, settings, a follower without a clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svcc.agent.api_server.access import Access, ClientSettings, FileOrData
from svcc.agent.api_server.client import Client
from svcc.agent.api_server.follower import Follower
from svcc.agent.api_server.kinds import kinds_of
from svcc.agent.api_server.timing import Timing
from svcc.agent.sources.cluster import ClusterSource
from svcc.agent.sources.documents import Documents, Key
from tests.support.api_server.server import ApiServer

Object = dict[str, Any]
SERVICES, SLICES, NODE = kinds_of("n1")
HANGS = 120.0
"""Seconds after which what must come is taken not to come at all."""


def service(name: str, address: str = "10.96.0.1", **labels: str) -> Object:
    """A Service, with what the API server puts into its metadata."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "labels": {key.replace("__", "/"): value for key, value in labels.items()},
            "uid": f"uid-{name}",
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {"clusterIP": address, "ports": [{"port": 80}]},
    }


def node(name: str) -> Object:
    """A Node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]},
    }


def key(name: str) -> Key:
    """Of a Service."""
    return Key("Service", "shop", name)


@dataclass
class Ticks:
    """A clock that only waiting moves. The end comes with the wait number ``most``."""

    most: int
    waits: list[float] = field(default_factory=list)
    time: float = 1000.0
    chance: float = 0.0
    over: bool = False

    def wait(self, seconds: float) -> bool:
        """Wait, which takes no time."""
        self.waits.append(seconds)
        self.time += seconds
        self.over = self.over or len(self.waits) >= self.most
        return self.over

    def timing(self) -> Timing:
        """As followers take it."""
        return Timing(self.wait, lambda: self.over, lambda: self.time, lambda: self.chance)


@dataclass
class Seen:
    """A sink that writes down all that it is told."""

    calls: list[tuple[str, Any]] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    on_call: Callable[[], None] = lambda: None

    def keep(self, found: Object) -> Object:
        """All of it."""
        return found

    def replace(self, objects: list[Object]) -> None:
        """A list."""
        self.objects = {item["metadata"]["name"]: item for item in objects}
        self.calls.append(("replace", sorted(self.objects)))
        self.on_call()

    def put(self, found: Object) -> None:
        """An event."""
        self.objects[found["metadata"]["name"]] = found
        self.calls.append(("put", found["metadata"]["name"]))
        self.on_call()

    def remove(self, found: Object) -> None:
        """An event."""
        self.objects.pop(found["metadata"]["name"], None)
        self.calls.append(("remove", found["metadata"]["name"]))
        self.on_call()


def access_to(server: ApiServer, ca: Path, **more: Any) -> Access:
    """The access of the right token."""
    return Access(**{"source": "a test", "server": server.url, "ca": FileOrData(str(ca)),
                     "token": "right", **more})  # fmt: skip


def client_of(access: Access, timing: Timing, warn: Callable[[str], None] = print) -> Client:
    """A client that asks as often as it likes."""
    return Client(ClientSettings(qps=0), timing, warn, lambda _: access)


def follow(access: Access, ticks: Ticks, seen: Seen | None = None) -> tuple[Follower, Seen]:
    """Follow Services in this thread, until the clock has been asked to wait so often."""
    sink = seen or Seen()
    client = client_of(access, ticks.timing())
    follower = Follower(SERVICES, client, sink, ticks.timing(), sink.told.append)
    try:
        follower.run()
    finally:
        client.close()
    return follower, sink


@dataclass
class Running:
    """A source that runs."""

    source: ClusterSource
    documents: Documents
    told: list[str]
    found: dict[Key, Any] = field(default_factory=dict)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; ``found`` are the objects by then."""
        begun = time.monotonic()
        while True:
            self.found = dict(self.documents.take().documents)
            if holds():
                return
            assert time.monotonic() - begun < HANGS, (self.told, list(self.found))
            self.documents.wait(0.01)

    def names(self) -> set[str]:
        """Of the Services that are there."""
        return {each.name for each in self.found if each.kind == "Service"}


@contextmanager
def running(kubeconfig: Path, node_name: str = "n1", haste: float = 100.0) -> Iterator[Running]:
    """A source that waits a hundredth of what it is told to wait."""
    end = threading.Event()
    timing = Timing(lambda seconds: end.wait(seconds / haste), end.is_set)
    source = ClusterSource(ClientSettings(str(kubeconfig), qps=0), node_name, timing)
    run = Running(source, Documents(source.parts), [])
    source.start(run.documents, run.told.append)
    try:
        yield run
    finally:
        end.set()
        source.close()


GONE = {
    "kind": "Status",
    "apiVersion": "v1",
    "status": "Failure",
    "message": "too old resource version: 100 (200)",
    "reason": "Expired",
    "code": 410,
}


def event(what: str, name: str, version: int | str, **more: Any) -> Object:
    found = service(name)
    found["metadata"]["resourceVersion"] = str(version)
    return {"type": what, "object": {**found, **more}}


def bookmark(version: int) -> Object:
    return {
        "type": "BOOKMARK",
        "object": {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": str(version)},
        },
    }


def asked(server: ApiServer, verb: str) -> list[dict[str, str]]:
    return [request.query for request in server.asked("services", verb)]
