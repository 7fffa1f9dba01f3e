"""One svcc at a time in each network namespace.

iptables-nft has no lock, and the lock of iptables-legacy covers a single call, not the whole
of read, plan, commit and read back. The lock is an abstract unix socket name (unix(7)):
abstract names belong to the network namespace, like the rules, and vanish with the last
process that holds the socket. The tools inherit it, so a tool that outlives a killed svcc
still keeps the next svcc waiting.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from svcc.apply.system.errors import ApplyError

NAME = "\0svcc-apply"
_POLL_SECONDS = 0.05


@contextmanager
def held(wait: float | None) -> Iterator[int]:
    """Hold the lock; yields the descriptor that keeps it.

    Args:
        wait: seconds to wait for another holder, None without limit.

    Raises:
        ApplyError: somebody else held it all the time.
    """
    deadline = None if wait is None else time.monotonic() + wait
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        while not _take(lock):
            if deadline is not None and time.monotonic() >= deadline:
                raise ApplyError(
                    f"another svcc {_holder()}is at work in this network namespace, and did not "
                    f"end within {wait:g} s; nothing was changed; try again, or wait longer (-w)"
                )
            time.sleep(_POLL_SECONDS)
        yield lock.fileno()


def _take(lock: socket.socket) -> bool:
    try:
        lock.bind(NAME)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    lock.listen(1)
    return True


def _holder() -> str:
    """``(process N) `` if the kernel tells, else empty (SO_PEERCRED, unix(7))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(NAME)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return ""
    process = struct.unpack("3i", credentials)[0]
    return f"(process {process}) " if process else ""
