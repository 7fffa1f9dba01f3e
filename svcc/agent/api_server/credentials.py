"""Who asks: tokens that change, programs that print credentials, names and passwords.

Source: client-go transport/token_source.go (a file's last token counts while it cannot be read)
and plugin/pkg/client/auth/exec/exec.go; the format of both ways of a program is
client.authentication.k8s.io, ExecCredential.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from svcc.agent.api_server.access import NOTHING, Access, ExecPlugin, FileOrData
from svcc.agent.api_server.errors import ClosedError, RequestError

EXEC_TIMEOUT = 60.0
"""Seconds that a credential plugin has; nobody is there to answer what it may ask."""
_EXEC_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request carries, and the connection that it goes through."""

    authorization: str = field(default="", repr=False)
    certificate: FileOrData = NOTHING
    key: FileOrData = field(default=NOTHING, repr=False)


class Credentials:
    """The credential of an access as it is now. May be asked from several threads.

    Tokens in files are read each time: requests are few, and kubelets write a new one hourly.
    """

    def __init__(
        self,
        access: Access,
        is_over: Callable[[], bool] = lambda: False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._access = access
        self._is_over = is_over
        self._now = now
        self._lock = threading.Lock()
        self._last_token = access.token
        self._printed: _Printed | None = None

    def current(self) -> Credential:
        """The credential.

        Raises:
            RequestError: there is none to be had.
        """
        access = self._access
        with self._lock:
            if access.token_file or access.token:
                return self._with_own_certificate(f"Bearer {self._token()}")
            if access.username:
                pair = f"{access.username}:{access.password}".encode()
                return self._with_own_certificate(f"Basic {base64.b64encode(pair).decode()}")
            if access.exec is not None:
                return self._of_plugin(access.exec)
            return self._with_own_certificate("")

    def refused(self, credential: Credential) -> bool:
        """The API server answered 401 to a credential; whether there may be another one now."""
        with self._lock:
            if self._access.exec is not None and self._printed is not None:
                if self._printed.credential == credential:
                    self._printed = None
                return True
        return self.current() != credential

    def _with_own_certificate(self, authorization: str) -> Credential:
        return Credential(authorization, self._access.certificate, self._access.key)

    def _token(self) -> str:
        path = self._access.token_file
        if not path:
            return self._access.token
        try:
            token = Path(path).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            if self._last_token:
                return self._last_token
            raise RequestError(f"{path}: the token cannot be read: {_reason(error)}") from None
        if token:
            self._last_token = token
        if not self._last_token:
            raise RequestError(f"{path}: there is no token in it")
        return self._last_token

    def _of_plugin(self, plugin: ExecPlugin) -> Credential:
        known = self._printed
        if known is None or (known.expires is not None and known.expires <= self._now()):
            known = self._printed = _run(plugin, self._access, self._is_over)
        return known.credential


@dataclass(frozen=True, slots=True)
class _Printed:
    credential: Credential
    expires: datetime | None


def _run(plugin: ExecPlugin, access: Access, is_over: Callable[[], bool]) -> _Printed:
    spec: dict[str, object] = {"interactive": False}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    asked = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    environment = {
        **os.environ,
        **plugin.environment,
        "KUBERNETES_EXEC_INFO": json.dumps(asked),
    }
    try:
        process = subprocess.Popen(
            [plugin.command, *plugin.arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError:
        hint = f"; {plugin.install_hint}" if plugin.install_hint else ""
        raise _failed(plugin, f"there is no such program{hint}") from None
    except (OSError, ValueError) as error:
        raise _failed(plugin, _reason(error)) from None
    printed, complained = _outputs(plugin, process, is_over)
    if process.returncode:
        said = complained.decode(errors="replace").strip().splitlines()
        raise _failed(plugin, f"exit code {process.returncode}{': ' + said[-1] if said else ''}")
    try:
        return _read(plugin, json.loads(printed), access)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _failed(plugin, "what it printed is no ExecCredential") from None


def _outputs(
    plugin: ExecPlugin, process: subprocess.Popen[bytes], is_over: Callable[[], bool]
) -> tuple[bytes, bytes]:
    with process:
        for _ in range(int(EXEC_TIMEOUT / _EXEC_LOOK)):
            try:
                return process.communicate(timeout=_EXEC_LOOK)
            except subprocess.TimeoutExpired:
                if is_over():
                    break
        process.kill()
    if is_over():
        raise ClosedError
    raise _failed(plugin, f"it does not end within {EXEC_TIMEOUT:.0f} s")


def _read(plugin: ExecPlugin, printed: Any, access: Access) -> _Printed:
    if printed["kind"] != "ExecCredential" or printed["apiVersion"] != plugin.api_version:
        raise ValueError
    status = printed["status"]
    token = status.get("token") or ""
    certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
    if bool(certificate) != bool(key) or not (token or certificate):
        raise ValueError
    expires = None
    if text := status.get("expirationTimestamp"):
        expires = datetime.fromisoformat(text)
        expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    authorization = f"Bearer {token}" if token else ""
    if certificate:
        pair = FileOrData(data=certificate.encode()), FileOrData(data=key.encode())
    else:
        pair = access.certificate, access.key
    return _Printed(Credential(authorization, *pair), expires)


def _failed(plugin: ExecPlugin, what: str) -> RequestError:
    return RequestError(f"credentials from {plugin.command}: {what}")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
