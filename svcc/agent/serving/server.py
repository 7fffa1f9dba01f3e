"""A small HTTP server that answers GET from threads of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from svcc.compiler.settings.agent import BindAddress

JSON, TEXT = "application/json", "text/plain; charset=utf-8"
_SECONDS_TO_ASK = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer."""

    code: int
    body: str
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


Routes = Mapping[str, Callable[[], Response]]
"""What is answered by path; the path ``*`` is any."""


class Server:
    """Listens from the time that it is made until it is closed."""

    def __init__(self, at: BindAddress, routes: Routes) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be listened on.
        """
        self._server = _Listener(at, routes)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=f"http {at}", daemon=True
        )
        self._thread.start()
        self.port = int(self._server.server_address[1])

    def close(self) -> None:
        """End; who is being answered is answered to the end."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, at: BindAddress, routes: Routes) -> None:
        self.address_family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        self.routes = routes
        super().__init__((at.host, at.port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the host's name, which HTTPServer does and may wait for."""
        if self.address_family == socket.AF_INET6:
            # Only :: stands for both families, as it does to kube-proxy.
            only_ipv6 = int(self.server_address[0] != "::")
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "svcc", int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: who asked has gone away, which a prober may."""


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    timeout = _SECONDS_TO_ASK

    def do_GET(self) -> None:
        """Answer."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        routes = self.server.routes
        route = routes.get(path) or routes.get("*")
        found = route() if route is not None else Response(404, "404 page not found\n")
        body = found.body.encode()
        self.send_response(found.code)
        self.send_header("Content-Type", found.content_type)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in found.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def version_string(self) -> str:
        """What the header Server says."""
        return "svcc"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: probes come every few seconds."""
