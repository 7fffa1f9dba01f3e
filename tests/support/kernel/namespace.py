"""Network namespaces for tests that load rules and send packets."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_TOOLS = ("ip", "iptables-legacy-save", "iptables-nft-save", "conntrack", "nft")
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str | None:
    """Why namespaces cannot be used here, None if they can."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(absent)}" if absent else None


class Namespace:
    """A network namespace of its own, with loopback up."""

    def __init__(self) -> None:
        self.name = f"svcc-{uuid.uuid4().hex[:10]}"
        _run("ip", "netns", "add", self.name)
        self.ip("link set lo up")

    def delete(self) -> None:
        """Remove it and all that is in it."""
        _run("ip", "netns", "del", self.name)

    def run(self, *arguments: str, text: str | None = None) -> str:
        """Run a command inside; returns its output."""
        with self.entered():
            return _run(*arguments, text=text)

    def ip(self, *commands: str) -> None:
        """Run commands of ip(8) inside, all in one process; the first that fails is an error."""
        self.run("ip", "-batch", "-", text="".join(f"{command}\n" for command in commands))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and the processes that it starts, are inside."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        target = os.open(Path("/run/netns") / self.name, os.O_RDONLY)
        try:
            _set_namespace(target)
            try:
                yield
            finally:
                _set_namespace(own)
        finally:
            os.close(own)
            os.close(target)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace that is gone afterwards."""
    made = Namespace()
    try:
        yield made
    finally:
        made.delete()


def connect(left: Namespace, right: Namespace, name: str) -> None:
    """A wire between two namespaces; its ends are called ``name`` in both."""
    left.ip(
        f"link add {name} type veth peer name {name} netns {right.name}",
        f"link set {name} up",
    )
    right.ip(f"link set {name} up")


def in_child(action: Callable[[], None]) -> int:
    """Run it in a process of its own; returns the status of os.waitpid."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns failed")


def _run(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
