"""How an API server is reached and who asks it, as typed values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from svcc.grammar.errors import InputError, Position, Problem

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token and the cluster's CA."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How the API server is to be asked: kube-proxy's ``clientConnection`` and ``--master``.

    ``kubeconfig`` is a path; empty without ``server``: as a pod's service account. ``server``
    takes the place of the kubeconfig's. ``qps`` and ``burst`` bound the requests a second.
    """

    kubeconfig: str = ""
    server: str = ""
    qps: float = 5.0
    burst: int = 10


@dataclass(frozen=True, slots=True)
class FileOrData:
    """What stands in a file, or in its place as bytes; data counts before the file."""

    file: str = ""
    data: bytes = field(default=b"", repr=False)

    def __bool__(self) -> bool:
        return bool(self.file or self.data)


NOTHING = FileOrData()


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that prints a credential (client-go credential plugin, ExecCredential)."""

    api_version: str
    command: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    install_hint: str = ""
    cluster: Mapping[str, object] | None = None
    """Is told to the program; None: ``provideClusterInfo`` is false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A cluster and a user of it. ``source`` names where this was read, for messages.

    ``files`` are those that all this was read from, besides those named in it: when one of them
    changes, it has to be read again.
    """

    source: str
    server: str
    ca: FileOrData = NOTHING
    skip_verify: bool = False
    server_name: str = ""
    proxy: str = ""
    is_compressed: bool = True
    certificate: FileOrData = NOTHING
    key: FileOrData = NOTHING
    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    exec: ExecPlugin | None = None
    files: tuple[str, ...] = ()


def in_cluster(
    environment: Mapping[str, str] = os.environ, account: Path = SERVICE_ACCOUNT
) -> Access:
    """The access of a pod by its service account.

    Source: client-go rest/config.go, InClusterConfig.

    Raises:
        InputError: this is no pod, or it has no service account.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise InputError(
            [
                Problem(
                    Position("KUBERNETES_SERVICE_HOST"),
                    "is not set, so this is no pod of a cluster; give a kubeconfig "
                    "(--kubeconfig, or clientConnection.kubeconfig in the configuration)",
                )
            ]
        )
    token, ca = account / "token", account / "ca.crt"
    for path in (token, ca):
        if not path.is_file():
            raise InputError(
                [
                    Problem(
                        Position(str(path)),
                        "there is no such file; the pod needs a service account whose token is "
                        "mounted (automountServiceAccountToken)",
                    )
                ]
            )
    shown = f"[{host}]" if ":" in host else host
    return Access(
        source="the service account",
        server=f"https://{shown}:{port}",
        ca=FileOrData(str(ca)),
        token_file=str(token),
    )
