"""The server: TLS, who asks, list and watch over HTTP, and what goes wrong on demand."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import queue
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.api_server.store import Event, Object, Selectors, StatusError, Store

PATHS = {
    "/api/v1/services": "services",
    "/api/v1/nodes": "nodes",
    "/apis/discovery.k8s.io/v1/endpointslices": "endpointslices",
}
EVENTS = re.compile(r"/api/v1/namespaces/([a-z0-9-]+)/events")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
COMPRESSED_FROM = 128 << 10
"""Bytes from which on a kube-apiserver compresses a list."""


@dataclass(frozen=True)
class Request:
    """What was asked, by whom."""

    resource: str
    query: dict[str, str]
    user: str
    headers: dict[str, str] = field(repr=False)

    @property
    def verb(self) -> str:
        """As roles have it."""
        if "create" in self.query:
            return "create"
        return "watch" if "watch" in self.query else "list"


class Watch:
    """A watch that is going on; what a test says to it, the client sees."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.to_send: queue.SimpleQueue[bytes | str] = queue.SimpleQueue()

    def event(self, event: Object) -> None:
        """An event."""
        self.raw(json.dumps(event).encode() + b"\n")

    def raw(self, data: bytes) -> None:
        """Any bytes."""
        self.to_send.put(data)

    def end(self) -> None:
        """End as an API server does after timeoutSeconds."""
        self.to_send.put("end")

    def drop(self) -> None:
        """Cut the connection."""
        self.to_send.put("drop")


Fault = Callable[["Handler", Request], bool]
"""Answers in place of the server; False: it has, the server need not."""


class ApiServer:
    """Listens on a loopback port from the start until :meth:`close`.

    ``tokens`` and ``passwords`` say who a user is; a client certificate says so itself.
    ``forbidden`` are pairs of verb and resource. ``faults`` are asked in order, each until it
    has answered.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, port: int = 0, store: Store | None = None
    ) -> None:
        self.store = store or Store()
        self.tokens = {"right": "svcc"}
        self.passwords: dict[str, str] = {}
        self.forbidden: set[tuple[str, str]] = set()
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.watches: list[Watch] = []
        self.events: list[Object] = []
        self.ignores_limit = False
        """As a kube-apiserver does that has all in its cache, for resourceVersion=0."""
        self.changed = threading.Condition()
        self._tls = tls
        self.store.listeners.append(self._tell_watches)
        self._http = _Http(("127.0.0.1", port), self, tls)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """How it is reached."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End, and cut all connections."""
        self._http.shutdown()
        self._http.server_close()
        self._http.cut_all()

    def asked(self, resource: str, verb: str = "") -> list[Request]:
        """The requests about a resource so far."""
        with self.changed:
            return [r for r in self.requests if r.resource == resource and verb in ("", r.verb)]

    def watching(self, resource: str) -> list[Watch]:
        """The watches of a resource that go on."""
        with self.changed:
            return [watch for watch in self.watches if watch.request.resource == resource]

    def fail(self, times: int, answer: Fault, *, resource: str = "", verb: str = "") -> None:
        """Have the next so many requests (of a resource, of a verb) answered otherwise."""
        left = [times]

        def fault(handler: Handler, request: Request) -> bool:
            if resource not in ("", request.resource) or verb not in ("", request.verb):
                return True
            with self.changed:
                if not left[0]:
                    return True
                left[0] -= 1
            return answer(handler, request)

        self.faults.append(fault)

    def note(self, request: Request) -> None:
        """A request has come."""
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()

    def _tell_watches(self, event: Event) -> None:
        for watch in self.watching(event.resource):
            if event.version <= int(watch.request.query.get("resourceVersion") or "0"):
                continue
            seen = selectors(watch.request).seen(event)
            if seen is not None:
                watch.event(seen)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: tuple[str, int], owner: ApiServer, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(address, Handler)
        self.owner = owner
        self._tls = tls
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        made, address = super().get_request()
        if self._tls is not None:
            # The handshake waits for the thread of the connection.
            made = self._tls.wrap_socket(made, server_side=True, do_handshake_on_connect=False)
        self._open.add(made)
        return made, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut_all(self) -> None:
        for each in list(self._open):
            cut(each)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def cut(connection: socket.socket) -> None:
    """End a connection at once."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """A connection."""

    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        """Answer a request."""
        owner = self.server.owner
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        request = Request(PATHS.get(url.path, ""), query, self._user(), dict(self.headers.items()))
        owner.note(request)
        try:
            for fault in list(owner.faults):
                if not fault(self, request):
                    return
            self._answer(owner, request)
        except StatusError as error:
            self.answer(error.code, error.body)

    def do_POST(self) -> None:
        """Make an Event, held to what a kube-apiserver asks of one."""
        owner = self.server.owner
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = EVENTS.fullmatch(urlsplit(self.path).path)
        request = Request("events", {"create": ""}, self._user(), dict(self.headers.items()))
        owner.note(request)
        try:
            if not request.user:
                raise StatusError(401, "Unauthorized", "Unauthorized")
            if ("create", "events") in owner.forbidden:
                raise StatusError(403, "Forbidden", "events is forbidden")
            meta, about = body["metadata"], body["involvedObject"]
            # pkg/apis/core/validation/events.go
            if (
                found is None
                or meta["namespace"] != found[1]
                or about.get("namespace", "default") != meta["namespace"]
                or not SUBDOMAIN.fullmatch(meta["name"])
                or len(meta["name"]) > 253
                or len(body["message"].encode()) > 1024
                or body["type"] not in ("Normal", "Warning")
            ):
                raise StatusError(422, "Invalid", "Event is invalid")
        except StatusError as error:
            self.answer(error.code, error.body)
            return
        with owner.changed:
            owner.events.append(body)
        self.answer(201, body)

    def _answer(self, owner: ApiServer, request: Request) -> None:
        if not request.user:
            raise StatusError(401, "Unauthorized", "Unauthorized")
        if not request.resource:
            raise StatusError(404, "NotFound", "the server could not find the requested resource")
        if (request.verb, request.resource) in owner.forbidden:
            group = "discovery.k8s.io" if request.resource == "endpointslices" else ""
            raise StatusError(
                403,
                "Forbidden",
                f'{request.resource} is forbidden: User "{request.user}" cannot {request.verb} '
                f'resource "{request.resource}" in API group "{group}" at the cluster scope',
                details={"kind": request.resource},
            )
        if request.verb == "watch":
            self._watch(owner, request)
            return
        query = dict(request.query)
        if owner.ignores_limit and query.get("resourceVersion") == "0":
            query.pop("limit", None)
        self.answer(200, owner.store.page(request.resource, selectors(request), query))

    def _user(self) -> str:
        owner = self.server.owner
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer":
            return owner.tokens.get(value, "")
        if kind == "Basic":
            name, _, password = base64.b64decode(value).decode().partition(":")
            return name if owner.passwords.get(name) == password else ""
        if isinstance(self.connection, ssl.SSLSocket):
            certificate: dict[str, Any] = dict(self.connection.getpeercert() or {})
            names = dict(pair for part in certificate.get("subject", ()) for pair in part)
            return str(names.get("commonName", ""))
        return ""

    def answer(self, code: int, body: Object, headers: dict[str, str] | None = None) -> None:
        """A whole answer."""
        data = json.dumps(body, separators=(",", ":")).encode()
        more = dict(headers or {})
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(data) >= COMPRESSED_FROM:
            data = gzip.compress(data, 1)
            more["Content-Encoding"] = "gzip"
        self.bytes(code, data, {"Content-Type": "application/json", **more})

    def bytes(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        """Any answer."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def drop(self) -> None:
        """Cut the connection."""
        self.close_connection = True
        cut(self.connection)

    def _watch(self, owner: ApiServer, request: Request) -> None:
        watch = Watch(request)
        with owner.store.lock:
            try:
                since = int(request.query.get("resourceVersion") or "0")
                for event in owner.store.events(request.resource, since):
                    seen = selectors(request).seen(event)
                    if seen is not None:
                        watch.event(seen)
            except StatusError as error:
                if error.code != 410:
                    raise
                watch.event({"type": "ERROR", "object": error.body})
                watch.end()
            with owner.changed:
                owner.watches.append(watch)
                owner.changed.notify_all()
        try:
            self.send_watch(watch, float(request.query.get("timeoutSeconds", "1800")))
        finally:
            with owner.changed:
                owner.watches.remove(watch)
                owner.changed.notify_all()

    def send_watch(self, watch: Watch, seconds: float) -> None:
        """Answer with what a watch is given to send, until it ends or after some seconds."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            try:
                data = watch.to_send.get(timeout=seconds)
            except queue.Empty:
                data = "end"
            if data == "drop":
                self.drop()
                return
            if isinstance(data, str):
                self.wfile.write(b"0\r\n\r\n")
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is printed."""


def selectors(request: Request) -> Selectors:
    """What a request selects."""
    return Selectors(request.query.get("labelSelector", ""), request.query.get("fieldSelector", ""))


def status(code: int, reason: str, message: str, retry_after: str = "") -> Fault:
    """Answers with a refusal."""

    def answer(handler: Handler, request: Request) -> bool:
        headers = {"Retry-After": retry_after} if retry_after else {}
        handler.answer(code, StatusError(code, reason, message).body, headers)
        return False

    return answer


def garbage(data: bytes, code: int = 200) -> Fault:
    """Answers with any bytes."""

    def answer(handler: Handler, request: Request) -> bool:
        handler.bytes(code, data, {"Content-Type": "application/json"})
        return False

    return answer


def dropped(handler: Handler, request: Request) -> bool:
    """Cuts the connection instead of an answer."""
    handler.drop()
    return False


def half(handler: Handler, request: Request) -> bool:
    """Cuts the connection in the middle of an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b'{"kind": "ServiceList", "items": [')
    handler.wfile.flush()
    handler.drop()
    return False


class Hang:
    """Does not answer until it is let go."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.begun = threading.Event()

    def __call__(self, handler: Handler, request: Request) -> bool:
        self.begun.set()
        self.released.wait()
        return True


def stream(*pieces: bytes | Object, cut_off: bool = False) -> Fault:
    """Answers a watch with these bytes or events, and then ends it or cuts the connection."""

    def answer(handler: Handler, request: Request) -> bool:
        watch = Watch(request)
        for piece in pieces:
            if isinstance(piece, bytes):
                watch.raw(piece)
            else:
                watch.event(piece)
        if cut_off:
            watch.drop()
        else:
            watch.end()
        handler.send_watch(watch, 60.0)
        return False

    return answer
