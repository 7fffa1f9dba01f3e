"""Objects as the sources last saw them, for the loop that makes rules of them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Document = Mapping[str, Any]
"""An object as the API has it, with ``apiVersion`` and ``kind``."""


class Key(NamedTuple):
    """Which object; ``namespace`` is empty for a Node."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {'/'.join(part for part in self[1:] if part)}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What is there, and what of it is otherwise than it was when this was asked last.

    ``since`` is when the oldest of these changes was seen (seconds, :func:`time.monotonic`).
    """

    documents: Mapping[Key, Document]
    changed: frozenset[Key]
    since: float


class Documents:
    """The objects of several parts, each of which is listed as a whole and may then change.

    A part is what comes from one place: the files, or all Services of an API server. Sources put
    in from threads of their own; one loop takes out.
    """

    def __init__(self, parts: Iterable[str]) -> None:
        self._condition = threading.Condition()
        self._parts: dict[str, dict[Key, Document] | None] = dict.fromkeys(parts)
        self._changed: set[Key] = set()
        self._since = 0.0
        self._is_woken = False

    def replace(self, part: str, documents: Iterable[Document]) -> None:
        """A part is exactly this now, as a list says."""
        found: dict[Key, Document] = {}
        for number, document in enumerate(documents):
            key = key_of(document)
            # A list of hosts needs no name.
            found[key if key.name else key._replace(name=f"#{number}")] = slim(document)
        with self._condition:
            before = self._parts[part]
            known = before or {}
            self._parts[part] = found
            changed = {key for key, new in found.items() if known.get(key) != new}
            changed |= known.keys() - found.keys()
            self._note(changed, woken=before is None)

    def put(self, part: str, document: Document) -> None:
        """An object came, or is otherwise now."""
        key, new = key_of(document), slim(document)
        with self._condition:
            known = self._listed(part)
            if known.get(key) != new:
                known[key] = new
                self._note({key})

    def remove(self, part: str, key: Key) -> None:
        """An object went; nothing where it is not there."""
        with self._condition:
            if self._listed(part).pop(key, None) is not None:
                self._note({key})

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts that were not listed yet; until there are none, nothing may be changed."""
        with self._condition:
            return tuple(part for part, known in self._parts.items() if known is None)

    def wake(self) -> None:
        """Have :meth:`wait` return, though nothing changed."""
        with self._condition:
            self._is_woken = True
            self._condition.notify_all()

    def wait(self, timeout: float | None) -> bool:
        """Wait for a change, for :meth:`wake`, or for the time to be over (seconds).

        Returns:
            Whether there are changes.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._changed or self._is_woken, timeout)
            self._is_woken = False
            return bool(self._changed)

    def take(self) -> Changes:
        """What is there now; the changes are forgotten."""
        with self._condition:
            found: dict[Key, Document] = {}
            for known in self._parts.values():
                found.update(known or {})
            changes = Changes(found, frozenset(self._changed), self._since)
            self._changed = set()
            return changes

    def _listed(self, part: str) -> dict[Key, Document]:
        known = self._parts[part]
        if known is None:
            raise ValueError(f"{part} was not listed yet")
        return known

    def _note(self, changed: set[Key], *, woken: bool = False) -> None:
        if changed and not self._changed:
            self._since = time.monotonic()
        self._changed |= changed
        self._is_woken |= woken
        if self._changed or woken:
            self._condition.notify_all()


def key_of(document: Document) -> Key:
    """Which object a document is."""
    meta = document.get("metadata") or {}
    kind = str(document.get("kind", ""))
    namespace = "" if kind == "Node" else str(meta.get("namespace") or "default")
    return Key(kind, namespace, str(meta.get("name", "")))


_META = ("name", "namespace", "labels", "creationTimestamp", "deletionTimestamp", "uid")


def slim(document: Document) -> Document:
    """An object without what nobody reads: who wrote which field, other people's annotations.

    What is left of ``managedFields`` alone would be half of the memory.
    """
    meta = document.get("metadata")
    if not isinstance(meta, Mapping):
        return document
    kept = {name: meta[name] for name in _META if name in meta}
    annotations = meta.get("annotations")
    if isinstance(annotations, Mapping):
        of_use = {name: text for name, text in annotations.items() if _is_read(name)}
        if of_use:
            kept["annotations"] = of_use
    # Each JSON text brings names of fields of its own.
    found = {sys.intern(name): value for name, value in document.items()}
    found["metadata"] = kept
    if document.get("kind") == "Node":
        status = document.get("status")
        addresses = status.get("addresses", []) if isinstance(status, Mapping) else []
        found["status"] = {"addresses": addresses}
    if document.get("kind") == "EndpointSlice" and isinstance(document.get("endpoints"), list):
        found["endpoints"] = [_slim_endpoint(endpoint) for endpoint in document["endpoints"]]
    return found


_TARGET = ("kind", "name")
_FEW = ("conditions", "nodeName", "zone")
"""Fields of endpoints that have few different values in a cluster."""
_shared: dict[str, Any] = {}
_MOST_SHARED = 100_000


def _slim_endpoint(endpoint: Any) -> Any:
    """An endpoint without what nobody reads, and values that many have are there once.

    Of 50,000 endpoints that is a third of the memory.
    """
    if not isinstance(endpoint, dict):
        return endpoint
    found = {sys.intern(name): value for name, value in endpoint.items()}
    for name in _FEW:
        if name in found:
            found[name] = _once(found[name])
    target = found.get("targetRef")
    if isinstance(target, dict):
        found["targetRef"] = {name: target[name] for name in _TARGET if name in target}
    return found


def _once(value: Any) -> Any:
    """An equal value that is there already."""
    if len(_shared) > _MOST_SHARED:
        _shared.clear()
    # 1 == True: what is told apart by JSON is told apart here.
    return _shared.setdefault(repr(value), value)


def _is_read(annotation: str) -> bool:
    return annotation.startswith(("svcc/", "service.kubernetes.io/", "endpoints.kubernetes.io/"))


def in_order(documents: Mapping[Key, Document]) -> list[Document]:
    """The oldest first, so that who claimed a frontend first keeps it."""

    def age(item: tuple[Key, Document]) -> tuple[str, Key]:
        key, document = item
        return str((document.get("metadata") or {}).get("creationTimestamp") or ""), key

    return [document for _, document in sorted(documents.items(), key=age)]
