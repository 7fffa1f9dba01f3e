"""Sockets of all connections, so that whoever waits for an answer can be woken."""

from __future__ import annotations

import socket
import threading
import weakref

import urllib3.connection
import urllib3.connectionpool


class OpenSockets:
    """May be used from several threads. What is still being connected is not among them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self.are_shut = False

    def note(self, made: socket.socket | None) -> None:
        """There is a socket; raises OSError once they are shut."""
        with self._lock:
            if made is not None:
                self._sockets.add(made)
            if self.are_shut:
                raise OSError("shut down")

    def shut(self) -> None:
        """End all requests now; none begins any more."""
        with self._lock:
            self.are_shut = True
            for each in list(self._sockets):
                try:
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
                except OSError:
                    continue

    def pool_classes(self) -> dict[str, type[urllib3.connectionpool.HTTPConnectionPool]]:
        """Pools whose connections tell of their sockets."""
        sockets = self

        class Plain(urllib3.connection.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                sockets.note(self.sock)

        class Tls(urllib3.connection.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.note(self.sock)

        class PlainPool(urllib3.connectionpool.HTTPConnectionPool):
            ConnectionCls = Plain

        class TlsPool(urllib3.connectionpool.HTTPSConnectionPool):
            ConnectionCls = Tls

        return {"http": PlainPool, "https": TlsPool}
