"""Objects with versions, and the latest events: what lists and watches are made of.

What is refused, and how, is as in the source of kube-apiserver 1.36 (staging/src/k8s.io/apiserver,
pkg/storage/cacher/cacher.go, watch_cache.go and cache_watcher.go, pkg/storage/errors.go): a version
that is too old is told within a watch, one of the future is waited for by a watch and refused to
a list.
"""

from __future__ import annotations

import base64
import copy
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]
"""Resource, namespace, name."""

RESOURCES = {
    "services": ("v1", "Service"),
    "nodes": ("v1", "Node"),
    "endpointslices": ("discovery.k8s.io/v1", "EndpointSlice"),
}


class StatusError(Exception):
    """A refusal, as metav1.Status."""

    def __init__(self, code: int, reason: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **more,
            "code": code,
        }


@dataclass(frozen=True)
class Event:
    """A change: what was and what is; None: was not, is no more."""

    version: int
    resource: str
    before: Object | None
    after: Object | None


@dataclass(frozen=True)
class Selectors:
    """``!label`` and ``metadata.name=NAME``, which is all that is asked of it."""

    label: str = ""
    field: str = ""

    def match(self, found: Object | None) -> bool:
        """Whether an object is selected; None is not."""
        if found is None:
            return False
        meta = found["metadata"]
        if self.label:
            assert self.label.startswith("!")
            if self.label[1:] in meta.get("labels", {}):
                return False
        if self.field:
            name, _, value = self.field.partition("=")
            assert name == "metadata.name"
            return bool(meta["name"] == value)
        return True

    def seen(self, event: Event) -> Object | None:
        """A change as a watch with these selectors has it; None: it has it not."""
        was, is_ = self.match(event.before), self.match(event.after)
        if is_:
            return {"type": "MODIFIED" if was else "ADDED", "object": event.after}
        if was and event.before is not None:
            last = copy.deepcopy(event.after or event.before)
            last["metadata"]["resourceVersion"] = str(event.version)
            return {"type": "DELETED", "object": last}
        return None


class Store:
    """All objects. Versions begin at 100, for no reason but that 1 would look special."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 100
        self.compacted = 0
        """Events up to this version are forgotten, and lists of such versions."""
        self._objects: dict[Key, Object] = {}
        self._events: list[Event] = []
        self._snapshots: dict[int, dict[str, list[Object]]] = {}
        self.listeners: list[Callable[[Event], None]] = []

    def put(self, found: Object) -> Object:
        """Create or change an object."""
        resource = _resource(found)
        meta = found["metadata"]
        key = (resource, meta.get("namespace", ""), meta["name"])
        with self.lock:
            self.version += 1
            new = copy.deepcopy(found)
            new["metadata"]["resourceVersion"] = str(self.version)
            self._happened(Event(self.version, resource, self._objects.get(key), new))
            self._objects[key] = new
            return new

    def delete(self, found: Object) -> None:
        """Delete an object."""
        resource = _resource(found)
        meta = found["metadata"]
        with self.lock:
            self.version += 1
            before = self._objects.pop((resource, meta.get("namespace", ""), meta["name"]))
            self._happened(Event(self.version, resource, before, None))

    def delete_unseen(self, found: Object) -> None:
        """Delete an object, and no watch is told of it, ever."""
        meta = found["metadata"]
        with self.lock:
            self.version += 1
            del self._objects[_resource(found), meta.get("namespace", ""), meta["name"]]

    def compact(self) -> None:
        """Forget all events so far, and the snapshots of lists."""
        with self.lock:
            self.compacted = self.version
            self._events.clear()
            self._snapshots.clear()

    def restore(self, version: int) -> None:
        """As when an older backup of the data is restored: versions begin from there again."""
        with self.lock:
            self.version = version
            self._events.clear()
            self._snapshots.clear()

    def events(self, resource: str, since: int) -> list[Event]:
        """What happened after a version.

        Raises:
            StatusError: that is forgotten.
        """
        if since < self.compacted:
            raise StatusError(
                410, "Expired", f"too old resource version: {since} ({self.compacted})"
            )
        return [e for e in self._events if e.version > since and e.resource == resource]

    def page(self, resource: str, selectors: Selectors, query: dict[str, str]) -> Object:
        """A list, or a page of it.

        Raises:
            StatusError: it cannot be had.
        """
        with self.lock:
            limit = int(query.get("limit", "0"))
            begin = 0
            version = self.version
            if token := query.get("continue"):
                asked = json.loads(base64.b64decode(token))
                version, begin = asked["version"], asked["begin"]
                if version not in self._snapshots:
                    raise StatusError(410, "Expired", "The provided continue parameter is too old")
                found = self._snapshots[version][resource]
            else:
                wanted = query.get("resourceVersion", "")
                if wanted not in ("", "0"):
                    self._refuse_future(int(wanted))
                found = [
                    item
                    for (kind, _, _), item in sorted(self._objects.items())
                    if kind == resource and selectors.match(item)
                ]
                self._snapshots.setdefault(version, {})[resource] = found
            api_version, kind = RESOURCES[resource]
            end = begin + limit if limit else len(found)
            meta: Object = {"resourceVersion": str(version)}
            if end < len(found):
                following = json.dumps({"version": version, "begin": end})
                meta["continue"] = base64.b64encode(following.encode()).decode()
                meta["remainingItemCount"] = len(found) - end
            items = [
                {k: v for k, v in item.items() if k not in ("kind", "apiVersion")}
                for item in found[begin:end]
            ]
            return {
                "kind": f"{kind}List",
                "apiVersion": api_version,
                "metadata": meta,
                "items": items,
            }

    def bookmark(self, resource: str) -> Object:
        """The event that says up to which version a watch has been told all."""
        api_version, kind = RESOURCES[resource]
        meta = {"resourceVersion": str(self.version)}
        return {
            "type": "BOOKMARK",
            "object": {"kind": kind, "apiVersion": api_version, "metadata": meta},
        }

    def _refuse_future(self, version: int) -> None:
        if version > self.version:
            raise StatusError(
                504,
                "Timeout",
                f"Too large resource version: {version}, current: {self.version}",
                details={
                    "causes": [
                        {
                            "reason": "ResourceVersionTooLarge",
                            "message": "Too large resource version",
                        }
                    ],
                    "retryAfterSeconds": 1,
                },
            )

    def _happened(self, event: Event) -> None:
        self._events.append(event)
        for listener in list(self.listeners):
            listener(event)


def _resource(found: Object) -> str:
    pair = (found["apiVersion"], found["kind"])
    return next(name for name, each in RESOURCES.items() if each == pair)
