"""Requests to an API server: who asks, how often, and what its refusals mean."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import urllib3.exceptions

from svcc.agent.api_server.access import Access, ClientSettings
from svcc.agent.api_server.credentials import Credentials
from svcc.agent.api_server.errors import ClosedError, RequestError
from svcc.agent.api_server.kubeconfig import access_of
from svcc.agent.api_server.sockets import OpenSockets
from svcc.agent.api_server.timing import RateLimit, Timing
from svcc.agent.api_server.transport import Response, Transport, stamp, told
from svcc.grammar.errors import InputError

LONGEST_LINE = 64 << 20
"""Bytes of an event; etcd takes objects of 1.5 MiB."""
_MOST_OF_AN_ERROR = 64 << 10


class Client:
    """An API server as settings name it. May be used from several threads."""

    def __init__(
        self,
        settings: ClientSettings,
        timing: Timing,
        warn: Callable[[str], None],
        read: Callable[[ClientSettings], Access] = access_of,
    ) -> None:
        """Read the settings' files; no request is sent.

        Raises:
            InputError: something is wrong with the settings or their files.
        """
        self._settings = settings
        self._timing = timing
        self._warn = warn
        self._read = read
        self._sockets = OpenSockets()
        self._limit = RateLimit(settings.qps, settings.burst, timing.now)
        self._lock = threading.Lock()
        self._used = self._use(read(settings))

    def close(self) -> None:
        """End all requests, also those that wait for an answer."""
        self._sockets.shut()

    def get(self, path: str, query: Mapping[str, str], *, silence: float) -> Response:
        """Ask; the answer is 200, and its body not read yet.

        Args:
            path: from the server's root on.
            query: its parameters.
            silence: seconds without a byte after which the server is taken to be gone.

        Raises:
            RequestError: there is no such answer.
            ClosedError: :meth:`close` was called.
        """
        return self._send(path, query, silence, None)

    def create(self, path: str, document: Mapping[str, object], *, silence: float) -> None:
        """Have an object made.

        Args:
            path: of the collection, from the server's root on.
            document: the object.
            silence: as of :meth:`get`.

        Raises:
            RequestError: it was not made, or nobody knows.
            ClosedError: :meth:`close` was called.
        """
        self.body(self._send(path, {}, silence, json.dumps(document).encode()))

    def _send(
        self, path: str, query: Mapping[str, str], silence: float, body: bytes | None
    ) -> Response:
        response = self._ask(path, query, silence, body, is_last=False)
        if response is None:
            response = self._ask(path, query, silence, body, is_last=True)
        if response is None:
            raise RequestError("unauthorized", status=401)
        return response

    def _ask(
        self,
        path: str,
        query: Mapping[str, str],
        silence: float,
        body: bytes | None,
        *,
        is_last: bool,
    ) -> Response | None:
        """None: refused with 401, but there may be another credential now."""
        if (delay := self._limit.take()) and self._timing.wait(delay):
            raise ClosedError
        used = self._current()
        credential = used.credentials.current()
        response = used.transport.send(path, query, credential, silence=silence, body=body)
        if response.status in ((200,) if body is None else (200, 201, 202)):
            return response
        failure = self._failure(response)
        if response.status == 401 and not is_last and used.credentials.refused(credential):
            return None
        raise failure

    def _current(self) -> _Used:
        """What is used now; files that have changed are read again."""
        with self._lock:
            used = self._used
            stamps = _stamps(used.access)
            if stamps != used.stamps:
                try:
                    self._used = self._use(self._read(self._settings))
                except InputError as error:
                    self._used = replace(used, stamps=stamps)
                    self._warn(f"{error}; what it said before still counts")
            return self._used

    def _use(self, access: Access) -> _Used:
        return _Used(
            access,
            _stamps(access),
            Transport(access, self._sockets),
            Credentials(access, self._timing.is_over),
        )

    def body(self, response: Response) -> bytes:
        """All of a body.

        Raises:
            RequestError: it broke off.
            ClosedError: :meth:`close` was called.
        """
        try:
            body = response.read(decode_content=True)
            response.release_conn()
            return body
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._broken(error) from None

    def more(self, response: Response) -> bytes:
        """What has come of a body, at least a byte; nothing at its end.

        Raises:
            RequestError: it broke off.
            ClosedError: :meth:`close` was called.
        """
        try:
            data = response.read1(1 << 16)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise self._broken(error) from None
        if not data and self._sockets.are_shut:
            raise ClosedError
        return data

    def _broken(self, error: Exception) -> Exception:
        if self._sockets.are_shut:
            return ClosedError()
        is_silence = isinstance(error, urllib3.exceptions.ReadTimeoutError | TimeoutError)
        return RequestError(f"the answer broke off: {told(error)}", is_silence=is_silence)

    def _failure(self, response: Response) -> RequestError:
        try:
            body = response.read(_MOST_OF_AN_ERROR, decode_content=True)
            response.drain_conn()
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError):
            body = b""
        try:
            status = json.loads(body)
        except (ValueError, RecursionError):
            status = None
        return failure_of(status, response.status, response.headers.get("Retry-After", ""))


@dataclass(frozen=True, slots=True)
class _Used:
    access: Access
    stamps: tuple[object, ...]
    transport: Transport
    credentials: Credentials


def _stamps(access: Access) -> tuple[object, ...]:
    return tuple(stamp(path) for path in access.files)


def failure_of(status: Any, code: int = 0, retry_after: str = "") -> RequestError:
    """The failure that a metav1.Status tells, or that HTTP tells where there is none."""
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    if not isinstance(status, dict) or status.get("kind") != "Status":
        return RequestError(f"HTTP {code}", status=code, retry_after=seconds)
    details = status.get("details")
    details = details if isinstance(details, dict) else {}
    if seconds is None and isinstance(details.get("retryAfterSeconds"), int):
        seconds = float(details["retryAfterSeconds"]) or None
    causes = details.get("causes")
    is_too_large = any(
        isinstance(cause, dict) and cause.get("reason") == "ResourceVersionTooLarge"
        for cause in (causes if isinstance(causes, list) else [])
    )
    given = status.get("code")
    return RequestError(
        str(status.get("message") or status.get("reason") or f"HTTP {code}").strip(),
        status=given if isinstance(given, int) else code,
        reason=str(status.get("reason") or ""),
        retry_after=seconds,
        is_version_too_large=is_too_large,
    )
