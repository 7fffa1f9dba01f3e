"""Files in svcc's own folder, which nobody but this user reads or writes.

What is noted there holds until the next boot and for one network namespace.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path

from svcc.apply.system.lock import FOLDER

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/thread-self/ns/net")
_SO_NETNS_COOKIE = 71
"""include/uapi/asm-generic/socket.h, since Linux 5.14."""


def path_of(suffix: str) -> Path:
    """The file of this network namespace for one purpose."""
    return FOLDER / f"{os.stat(_NAMESPACE).st_ino}.{suffix}"


def write_private(path: Path, text: str) -> None:
    """Put a text in the place of what is there, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    # What a killed process of the same number has left.
    with suppress(FileNotFoundError):
        unfinished.unlink()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise


def read_private(path: Path) -> str:
    """A file that nobody but this user has written.

    Raises:
        OSError: it is not there, or somebody else's.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="utf-8") as file:
        status = os.fstat(file.fileno())
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{path} is somebody else's")
        return file.read()


def boot() -> str:
    """What tells one boot from another (random(4)).

    Raises:
        OSError: /proc is not there.
    """
    return _BOOT.read_text(encoding="ascii").strip()


def namespace_cookie() -> int:
    """What tells this network namespace from all others of this boot, those that are gone too,
    whose inode it may have; 0 where the kernel has no such number.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            value = probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
    except OSError:
        return 0
    return int.from_bytes(value, sys.byteorder)
