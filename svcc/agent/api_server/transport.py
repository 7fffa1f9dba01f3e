"""Connections to an API server, by urllib3: TLS, proxies, and files that are rotated.

Source: client-go rest/config.go and transport/, net/http ProxyFromEnvironment.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
import urllib3.exceptions

from svcc import __version__
from svcc.agent.api_server.access import Access, FileOrData
from svcc.agent.api_server.credentials import Credential
from svcc.agent.api_server.errors import ClosedError, RequestError
from svcc.agent.api_server.sockets import OpenSockets

CONNECT_TIMEOUT = 10.0
_KEEPALIVE = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
"""A peer that is gone without a word is noticed after a minute."""

Response = urllib3.response.BaseHTTPResponse


class Transport:
    """Sends requests of one access; connections are kept. May be used from several threads."""

    def __init__(self, access: Access, sockets: OpenSockets) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._pool: urllib3.PoolManager | None = None
        self._made_of: object = None
        self._sockets = sockets

    def send(
        self,
        path: str,
        query: Mapping[str, str],
        credential: Credential,
        *,
        silence: float,
        body: bytes | None = None,
    ) -> Response:
        """Ask, or with a ``body`` (JSON) have an object made; the answer's body is not read yet.

        Args:
            path: from the server's root on.
            query: its parameters.
            credential: who asks.
            silence: seconds without a byte after which the server is taken to be gone.

        Raises:
            RequestError: it was not reached.
            ClosedError: the sockets were shut down from here.
        """
        headers = {"Accept": "application/json", "User-Agent": f"svcc/{__version__}"}
        if self._access.is_compressed and "watch" not in query:
            headers["Accept-Encoding"] = "gzip"
        if credential.authorization:
            headers["Authorization"] = credential.authorization
        if body is not None:
            headers["Content-Type"] = "application/json"
        pool = self._pool_for(credential)
        try:
            return pool.request(
                "GET" if body is None else "POST",
                self._access.server + path,
                fields=query if body is None else None,
                body=body,
                headers=headers,
                preload_content=False,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=silence),
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if self._sockets.are_shut:
                raise ClosedError from None
            raise RequestError(f"{self._access.server}: {told(error)}") from None

    def _pool_for(self, credential: Credential) -> urllib3.PoolManager:
        access = self._access
        wanted = (
            credential.certificate,
            credential.key,
            *(stamp(item.file) for item in (access.ca, credential.certificate, credential.key)),
        )
        with self._lock:
            if self._pool is None or wanted != self._made_of:
                # Responses that are being read keep their connection.
                self._pool, self._made_of = self._new_pool(credential), wanted
            return self._pool

    def _new_pool(self, credential: Credential) -> urllib3.PoolManager:
        access = self._access
        options: dict[str, Any] = {"maxsize": 4, "socket_options": _KEEPALIVE}
        if access.server.startswith("https:"):
            options["ssl_context"] = tls_context(access, credential)
            if access.server_name:
                options["server_hostname"] = access.server_name
        if access.skip_verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        proxy = access.proxy or environment_proxy(access.server)
        pool: urllib3.PoolManager
        if proxy:
            user = urlsplit(proxy)
            headers = None
            if user.username:
                pair = f"{user.username}:{user.password or ''}"
                headers = urllib3.make_headers(proxy_basic_auth=pair)
            pool = urllib3.ProxyManager(proxy, proxy_headers=headers, **options)
        else:
            pool = urllib3.PoolManager(**options)
        pool.pool_classes_by_scheme = self._sockets.pool_classes()
        return pool


def stamp(path: str) -> object:
    """Changes when a file does, also by way of a symbolic link; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_ino, found.st_dev, found.st_mtime_ns, found.st_size


def tls_context(access: Access, credential: Credential) -> ssl.SSLContext:
    """What the server must prove, and what is proved to it.

    Raises:
        RequestError: a certificate or key cannot be read.
    """
    # Not create_default_context: since Python 3.13 that refuses CAs without the extensions of
    # RFC 5280, which Go takes and clusters have.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if access.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif access.ca:
        try:
            with ExitStack() as stack:
                context.load_verify_locations(_file(access.ca, stack))
        except (OSError, ValueError) as error:
            what = access.ca.file or f"{access.source}: certificate-authority-data"
            raise RequestError(f"{what}: no CA certificate can be read: {told(error)}") from None
    else:
        context.load_default_certs()
    if credential.certificate:
        try:
            with ExitStack() as stack:
                context.load_cert_chain(
                    _file(credential.certificate, stack), _file(credential.key, stack), lambda: ""
                )
        except (OSError, ValueError) as error:
            what = credential.certificate.file or f"{access.source}: the client certificate"
            raise RequestError(f"{what}: it or its key cannot be used: {told(error)}") from None
    return context


def _file(item: FileOrData, stack: ExitStack) -> str:
    """A path that OpenSSL can read; data is never written to a disk."""
    if not item.data:
        return item.file
    handle = os.memfd_create("svcc", os.MFD_CLOEXEC)
    stack.callback(os.close, handle)
    os.write(handle, item.data)
    return f"/proc/self/fd/{handle}"


def environment_proxy(server: str) -> str:
    """The proxy that the environment names for a server, empty for none.

    Networks in NO_PROXY count too, which Go knows and urllib does not.
    """
    url = urlsplit(server)
    host = url.hostname or ""
    proxies = getproxies_environment()
    proxy = proxies.get(url.scheme, "")
    if not proxy or host == "localhost" or proxy_bypass(url.netloc, proxies):
        return ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return proxy
    if address.is_loopback:
        return ""
    for entry in proxies.get("no", "").split(","):
        try:
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return ""
        except ValueError:
            continue
    return proxy


def told(error: BaseException) -> str:
    """Why a request failed, in one line without Python's names of objects."""
    match error:
        case urllib3.exceptions.NameResolutionError():
            return "the name cannot be resolved"
        case urllib3.exceptions.ConnectTimeoutError() if error.__cause__ is None or isinstance(
            error.__cause__, TimeoutError
        ):
            return f"no connection within {CONNECT_TIMEOUT:.0f} s"
        case urllib3.exceptions.ReadTimeoutError():
            return "no answer in time"
        case urllib3.exceptions.DecodeError():
            return "it is not packed as it says"
        case urllib3.exceptions.ProxyError():
            return f"the proxy: {told(error.original_error)}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not right: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
        case OSError() if error.strerror:
            return error.strerror
    for inner in (error.__cause__, error.__context__, *error.args):
        if isinstance(inner, BaseException) and inner is not error:
            return told(inner)
    match error:
        case urllib3.exceptions.ProtocolError() | http.client.HTTPException() | ValueError():
            return "what comes is no HTTP, or only half of it"
        case _:
            return str(error) or type(error).__name__
