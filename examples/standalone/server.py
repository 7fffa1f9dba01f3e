"""What runs on a host: ``server.py hosts/rack-1.yaml``, or ``server.py NAME ADDRESS PORT``.

Each port of the HostList gets an HTTP server that answers with the name of its entry. The command
returns once all of them listen; they run until they are killed.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import yaml


class Server(ThreadingHTTPServer):
    """Takes as many connections at a time as a busy client makes."""

    request_queue_size = 128
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers everything with a name."""

    names: ClassVar[dict[tuple[str, int], str]] = {}

    def do_GET(self) -> None:
        """Say who is asked."""
        body = f"{self.names[self.server.server_address[:2]]}\n".encode()  # type: ignore[index]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the client says who answered."""


def listed(path: Path) -> Iterator[tuple[str, str, int]]:
    """Name, address and port of what a HostList says is served; the name server runs by itself."""
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] == "HostList":
            for host in document["hosts"]:
                for port in host["ports"]:
                    if host["labels"]["app"] != "dns":
                        yield host["name"], host["ip"], port["port"]


def main(arguments: list[str]) -> None:
    """Listen, then go into the background."""
    match arguments:
        case [path]:
            backends = list(listed(Path(path)))
        case [name, address, port]:
            backends = [(name, address, int(port))]
        case _:
            sys.exit(__doc__)
    Handler.names.update({(ip, number): entry for entry, ip, number in backends})
    servers = [Server((ip, number), Handler) for _, ip, number in backends]
    if os.fork():
        os._exit(0)
    os.setsid()
    with open(os.devnull, "r+b") as null:
        for descriptor in range(3):
            os.dup2(null.fileno(), descriptor)
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
