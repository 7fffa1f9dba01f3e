"""Who else changes the Service rules of this network namespace."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from svcc.apply.system.lock import FOLDER
from svcc.apply.system.processes import Process, command_of, processes

_NAMESPACE = Path("/proc/thread-self/ns/net")
_SOCKETS = (Path("/proc/thread-self/net/tcp"), Path("/proc/thread-self/net/tcp6"))
_LISTENING = "0A"
_KUBE_PROXY = "kube-proxy"
_KUBE_PROXY_CHAIN = "KUBE-SERVICES"
_HEALTH_PORT, _METRICS_PORT = 10256, 10249
"""Where a kube-proxy listens (k8s.io/kubernetes/pkg/cluster/ports)."""
_CHANGING = ("apply", "cleanup")


def kube_proxy_at_work(chains: Collection[str]) -> str | None:
    """The kube-proxy that keeps rules here, in words; None if none is seen.

    A kube-proxy in another container, or inside of another program (k3s), shows no process of
    its name. Its chains beside its ports tell it, too.

    Args:
        chains: names of the chains that are loaded.
    """
    for process in _here():
        if process.name == _KUBE_PROXY:
            return f"kube-proxy (process {process.id}: {command_of(process)})"
    if _KUBE_PROXY_CHAIN in chains:
        for port in (_HEALTH_PORT, _METRICS_PORT):
            if port in _listening_ports():
                return f"a kube-proxy (chain {_KUBE_PROXY_CHAIN}, and it listens on port {port})"
    return None


def svcc_at_work() -> str | None:
    """Another svcc that changes rules here and would not wait for this one; None if none is seen.

    It would not wait where its :data:`FOLDER` is another one, as in a container.
    """
    own = os.getpid()
    for process in _here():
        words = process.arguments
        is_svcc = any(word == "svcc" or word.endswith("/svcc") for word in words[:3])
        if process.id == own or not is_svcc or not any(word in _CHANGING for word in words[1:4]):
            continue
        if not _shares_folder(process):
            return f"another svcc (process {process.id}: {command_of(process)})"
    return None


def _here() -> Iterator[Process]:
    """The processes that are seen from here and are in this network namespace."""
    own = _NAMESPACE.stat().st_ino
    return (process for process in processes() if process.network_namespace == own)


def _shares_folder(process: Process) -> bool:
    theirs = process.folder / "root" / FOLDER.relative_to("/")
    try:
        return os.path.samefile(theirs, FOLDER)
    except FileNotFoundError:
        return not process.folder.exists()
    except OSError:
        return True


def _listening_ports() -> frozenset[int]:
    found: set[int] = set()
    for path in _SOCKETS:
        try:
            lines = path.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state = line.split()[:4]
            if state == _LISTENING:
                found.add(int(local.rpartition(":")[2], 16))
    return frozenset(found)
