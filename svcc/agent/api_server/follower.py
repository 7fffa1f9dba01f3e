"""One kind of objects, listed and then watched, for ever.

Source: client-go tools/cache/reflector.go and tools/pager; Kubernetes API concepts, "Efficient
detection of changes" and "Resource versions" (what a version asks for in which request).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from svcc.agent.api_server.client import LONGEST_LINE, Client, failure_of
from svcc.agent.api_server.errors import ClosedError, RequestError
from svcc.agent.api_server.kinds import Kind
from svcc.agent.api_server.timing import Backoff, Timing

Object = dict[str, Any]

PAGE = 500
"""Objects of a page, as client-go asks for."""
LIST_SILENCE = 60.0
"""An API server gives up a request after a minute (--request-timeout)."""
WATCH_SILENCE = 150.0
"""An API server sends a bookmark a minute: one that has missed two is gone."""
WATCH_LASTS = 300.0
"""A watch is asked to end after this time or up to twice as much."""
STEADY = 10.0
"""A watch that has lasted so long worked: the next one begins at once."""
RELIST = 3600.0
"""All is listed again after this time, by chance half more or less, in case a watch has lied."""
LONGEST_WAIT = 300.0
"""What Retry-After says beyond is not waited for."""


_ITEMS = '"items":['
"""As encoding/json of Go writes it; within a string the quotes would not stand so."""
_DECODER = json.JSONDecoder()


class Sink(Protocol):
    """Where objects of the kind go; called from the thread that follows."""

    def keep(self, found: Object) -> Object:
        """What is needed of an object of a list."""

    def replace(self, objects: list[Object]) -> None:
        """These are all there are."""

    def put(self, found: Object) -> None:
        """An object came, or is otherwise now."""

    def remove(self, found: Object) -> None:
        """An object went."""


class _ListAgainError(Exception):
    """What was seen is not to be built upon; the message says why, if anybody needs to know."""


class Follower:
    """Lists and watches a kind. What was seen last stays in the sink while the server is away."""

    def __init__(
        self, kind: Kind, client: Client, sink: Sink, timing: Timing, tell: Callable[[str], None]
    ) -> None:
        self._kind = kind
        self._client = client
        self._sink = sink
        self._timing = timing
        self._tell = tell
        self._backoff = Backoff(timing.chance)
        self._version = ""
        self._must_list = True
        self._must_be_newest = False
        self._is_expired = False
        self._list_at = 0.0
        self._watching_since: float | None = None
        self._current_at = timing.now()
        self._told = ""
        self.stale_since: float | None = timing.now()
        """As :attr:`svcc.agent.sources.source.Source.stale_since`."""

    def run(self) -> None:
        """Follow until the end comes. What fails is told once while it lasts."""
        while not self._timing.is_over():
            wait_at_least = 0.0
            was_expired, self._is_expired = self._is_expired, False
            self._watching_since = None
            try:
                if self._must_list or self._timing.now() >= self._list_at:
                    self._list()
                self._watch()
            except ClosedError:
                return
            except _ListAgainError as why:
                self._must_list = True
                if str(why):
                    self._failed(str(why))
                else:
                    # A server that has begun anew says so at first; what it has is to be had.
                    self._is_expired = True
                    if not was_expired:
                        continue
            except RequestError as error:
                # Whatever lies between ends long watches now and then.
                if error.status or self._lasted() < STEADY:
                    self._failed(self._explained(error))
                wait_at_least = min(error.retry_after or 0.0, LONGEST_WAIT)
            except Exception as error:  # A thread that ends would leave what it knows for current.
                self._must_list = True
                self._failed(f"{type(error).__name__}: {error}; please report this")
            if self._lasted() >= STEADY:
                self._backoff.reset()
                if not wait_at_least:
                    continue
            if self._timing.wait(max(self._backoff.next(), wait_at_least)):
                return

    # -- lists -----------------------------------------------------------------------------

    def _list(self) -> None:
        try:
            version, objects = self._pages()
        except RequestError as error:
            if not (error.is_expired or error.is_version_too_large) or self._must_be_newest:
                raise
            # Nothing that is as new as what is known can be had from a cache.
            self._must_be_newest = True
            version, objects = self._pages()
        self._sink.replace(objects)
        self._version = version
        self._must_list = self._must_be_newest = False
        self._current_at = self._timing.now()
        if self.stale_since is not None:
            self.stale_since = self._current_at
        self._list_at = self._current_at + RELIST * (0.5 + self._timing.chance())

    def _pages(self) -> tuple[str, list[Object]]:
        query = self._query() | {"limit": str(PAGE)}
        if self._must_be_newest:
            pass
        elif self._version:
            # Never back to what was before, whichever server answers.
            query |= {"resourceVersion": self._version, "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = "0"
        first = query
        found: list[Object] = []
        while True:
            try:
                page = self._page(query)
            except RequestError as error:
                if error.is_expired and "continue" in query and "limit" in first:
                    # The snapshot that the pages are of is gone: all at once, then.
                    first = query = {k: v for k, v in first.items() if k != "limit"}
                    found = []
                    continue
                raise
            meta = page["metadata"]
            found += page["items"]
            if not meta.get("continue"):
                return meta["resourceVersion"], found
            query = self._query() | {"limit": str(PAGE), "continue": meta["continue"]}

    def _page(self, query: dict[str, str]) -> Object:
        response = self._client.get(self._kind.path, query, silence=LIST_SILENCE)
        page, kept = self._read(self._client.body(response))
        meta = page.get("metadata")
        # Null is none, as Go writes it; an answer without the field is no list.
        items = [] if page.get("items", ...) is None else page.get("items")
        if (
            not isinstance(meta, dict)
            or not isinstance(meta.get("resourceVersion"), str)
            or not meta["resourceVersion"]
            or not isinstance(meta.get("continue", ""), str)
            or not isinstance(items, list)
            or page.get("kind") != f"{self._kind.kind}List"
        ):
            raise RequestError(f"the answer is no list of {self._kind.resource}")
        return {"metadata": meta, "items": kept or [self._sink.keep(self._whole(i)) for i in items]}

    def _read(self, body: bytes) -> tuple[Object, list[Object]]:
        """A list without its items, and what is kept of them; or all of it, and nothing kept.

        Item by item, since a server with a cache sends all at once: what is thrown away of the
        one has room for the next, where otherwise half as much memory would stay in pieces.
        """
        try:
            text = body.decode()
            begin = text.index(_ITEMS) + len(_ITEMS)
            kept: list[Object] = []
            at = begin
            while text[at] != "]":
                item, at = _DECODER.raw_decode(text, at + (text[at] == "," and bool(kept)))
                kept.append(self._sink.keep(self._whole(item)))
                if text[at] not in ",]":
                    raise ValueError
            return _decoded((text[:begin] + text[at:]).encode(), "the list"), kept
        except (ValueError, IndexError, RecursionError):
            return _decoded(body, "the list"), []

    def _whole(self, item: Any) -> Object:
        """An item of a list with what items lack: their kind."""
        if not isinstance(item, dict) or not _is_named(item):
            raise RequestError(f"the list of {self._kind.resource} has an item without a name")
        return {**item, "apiVersion": self._kind.api_version, "kind": self._kind.kind}

    # -- watches ---------------------------------------------------------------------------

    def _watch(self) -> None:
        query = self._query() | {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH_LASTS * (1 + self._timing.chance()))),
        }
        try:
            response = self._client.get(self._kind.path, query, silence=WATCH_SILENCE)
        except RequestError as error:
            if error.is_expired or error.is_version_too_large:
                raise _ListAgainError from None
            if error.status in (400, 422):
                # What the server does not take is the version: it has other data than before.
                self._must_be_newest = self._must_list = True
            raise
        try:
            self._watching_since = self._timing.now()
            self._is_current()
            for line in self._lines(response):
                self._event(_decoded(line, "an event"))
                self._is_current()
        except RequestError as error:
            if not error.is_silence:
                raise
            # A server whose data are older than our version, since a backup was restored, takes
            # the watch and says nothing at all (storage/cacher/cache_watcher.go, process).
            raise _ListAgainError("nothing comes any more, not even a bookmark") from None
        finally:
            # What is left of a broken answer must not be taken for the next one.
            response.close()

    def _lines(self, response: Any) -> Iterator[bytes]:
        """Whole lines; one that breaks off at the end was never sent."""
        rest = bytearray()
        while data := self._client.more(response):
            self._current_at = self._timing.now()
            begin = len(rest)
            rest += data
            if b"\n" in data:
                end = rest.rindex(b"\n", begin)
                yield from filter(None, bytes(rest[:end]).split(b"\n"))
                del rest[: end + 1]
            elif len(rest) > LONGEST_LINE:
                raise _ListAgainError("an event without an end")

    def _event(self, event: Object) -> None:
        found = event.get("object")
        if event.get("type") == "ERROR":
            failure = failure_of(found)
            raise _ListAgainError("" if failure.is_expired else f"the watch ended: {failure}")
        meta = found.get("metadata") if isinstance(found, dict) else None
        version = meta.get("resourceVersion") if isinstance(meta, dict) else None
        if (
            not isinstance(found, dict)
            or found.get("kind") != self._kind.kind
            or not isinstance(version, str)
            or not version
        ):
            raise _ListAgainError("an event that is none")
        if _is_older(version, self._version):
            raise _ListAgainError(f"events out of order: {version} after {self._version}")
        match event.get("type"):
            case "BOOKMARK":
                pass
            case "ADDED" | "MODIFIED" if _is_named(found):
                self._sink.put(found)
            case "DELETED" if _is_named(found):
                self._sink.remove(found)
            case _:
                raise _ListAgainError("an event that is none")
        self._version = version

    # -- what is told ----------------------------------------------------------------------

    def _query(self) -> dict[str, str]:
        selectors = {"labelSelector": self._kind.labels, "fieldSelector": self._kind.fields}
        return {name: text for name, text in selectors.items() if text}

    def _lasted(self) -> float:
        since = self._watching_since
        return 0.0 if since is None else self._timing.now() - since

    def _is_current(self) -> None:
        self.stale_since = None
        self._current_at = self._timing.now()
        if self._told:
            self._told = ""
            self._tell(f"note: {self._kind.part}: the API server is followed again")

    def _failed(self, why: str) -> None:
        if self.stale_since is None:
            self.stale_since = self._current_at
        if why != self._told:
            self._told = why
            self._tell(f"warning: {self._kind.part}: {why}")

    def _explained(self, error: RequestError) -> str:
        match error.status:
            case 401:
                return f"{error}: the API server does not take these credentials"
            case 403:
                return f"{error}; its ClusterRole must have: {self._kind.rule}"
            case _:
                return str(error)


def _decoded(data: bytes, what: str) -> Object:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _ListAgainError(f"{what} is no JSON object")
    return value


def _is_named(found: Object) -> bool:
    meta = found.get("metadata")
    return isinstance(meta, dict) and isinstance(meta.get("name"), str) and bool(meta["name"])


def _is_older(version: str, than: str) -> bool:
    """Versions are numbers that grow (KEP-5504); what is none is not compared."""
    if not (version.isascii() and version.isdigit() and than.isascii() and than.isdigit()):
        return False
    return int(version) < int(than)
