"""One svcc at a time in each network namespace.

iptables-nft has no lock, and the lock of iptables-legacy covers a single call, not the whole
of read, plan, commit and read back. The lock is flock(2) on a file named by the inode of the
network namespace, in a folder that only root can enter: whoever may not change rules cannot keep
apply from it. The kernel frees it with the last process that holds the file, and the tools
inherit it, so a tool that outlives a killed svcc still keeps the next svcc waiting.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from svcc.apply.system.errors import ApplyError
from svcc.apply.system.processes import command_of, processes

FOLDER = Path("/run/svcc")
_NAMESPACE = Path("/proc/thread-self/ns/net")
_POLL_SECONDS = 0.05
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_OPEN = stat.S_IRWXG | stat.S_IRWXO

Tell = Callable[[str], None]
"""Is told what a person should know meanwhile."""


@contextmanager
def held(wait: float | None, tell: Tell | None = None, folder: Path = FOLDER) -> Iterator[int]:
    """Hold the lock; yields the descriptor that keeps it.

    Args:
        wait: seconds to wait for another holder, None without limit.
        tell: is told whom is waited for.
        folder: where the files are.

    Raises:
        ApplyError: somebody else held it all the time, or the file is not one that only this
            user can open.
    """
    with _opened(folder) as directory:
        name = f"{_inode_of_namespace()}.lock"
        while True:
            descriptor = _open_file(directory, name, folder / name)
            try:
                _wait(descriptor, folder / name, wait, tell)
                # A file that was removed meanwhile is no lock: the next svcc makes another one.
                if _is_still(descriptor, directory, name):
                    yield descriptor
                    return
            finally:
                os.close(descriptor)


def _wait(descriptor: int, path: Path, wait: float | None, tell: Tell | None) -> None:
    """Take the lock.

    Raises:
        ApplyError: somebody else held it all the time.
    """
    deadline = None if wait is None else time.monotonic() + wait
    told = False
    while not _take(descriptor):
        if deadline is not None and time.monotonic() >= deadline:
            raise ApplyError(
                f"{_holder(descriptor, path.name)} is at work in this network namespace, and did "
                f"not end within {wait:g} s; nothing was changed; try again, or wait longer (-w)"
            )
        if tell is not None and not told:
            tell(
                f"waiting for {_holder(descriptor, path.name)}, which is at work in this network "
                f"namespace and holds {path}; -w SECONDS bounds the wait"
            )
            told = True
        time.sleep(_POLL_SECONDS)


def _inode_of_namespace() -> int:
    try:
        return _NAMESPACE.stat().st_ino
    except OSError as error:
        raise ApplyError(
            f"{_NAMESPACE}: {error.strerror}; it tells one network namespace from another: mount "
            "/proc, then run it again; nothing was changed"
        ) from error


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The folder, if nobody but this user can put anything into it.

    Raises:
        ApplyError: somebody can, or it cannot be made.
    """
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        what = "it is a symbolic link" if folder.is_symlink() else error.strerror
        raise ApplyError(
            f"the folder for svcc's lock, {folder}, cannot be used: {what}; apply needs it for "
            "itself, on a file system that can be written (in a container, mount the host's); "
            "nothing was changed"
        ) from error
    try:
        _demand(os.fstat(directory), folder, _OTHERS_MAY_WRITE, "chmod 700")
        yield directory
    finally:
        os.close(directory)


def _open_file(directory: int, name: str, path: Path) -> int:
    """The file, made if need be, if nobody but this user can open it.

    Raises:
        ApplyError: somebody can, or it is no plain file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    except OSError as error:
        what = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise ApplyError(
            f"svcc's lock {path} cannot be used: {what}; remove it, then run it again; nothing "
            "was changed"
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ApplyError(
                f"svcc's lock {path} is no plain file; remove it, then run it again; nothing was "
                "changed"
            )
        _demand(status, path, _OTHERS_MAY_OPEN, "chmod 600")
    except ApplyError:
        os.close(descriptor)
        raise
    return descriptor


def _demand(status: os.stat_result, path: Path, forbidden: int, remedy: str) -> None:
    """That a file is this user's, and that others may not do what is forbidden.

    Raises:
        ApplyError: otherwise.
    """
    if status.st_uid != os.geteuid():
        raise ApplyError(
            f"{path} belongs to user {status.st_uid}, who could keep apply from its lock; remove "
            "it, then run it again; nothing was changed"
        )
    if status.st_mode & forbidden:
        raise ApplyError(
            f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):o}), who could "
            f"keep apply from its lock; {remedy} {path}, then run it again; nothing was changed"
        )


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(descriptor: int, directory: int, name: str) -> bool:
    """Whether the name still stands for the open file."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(status, os.fstat(descriptor))


def _holder(descriptor: int, name: str) -> str:
    """``another svcc (process N: its command)``, as far as it can be seen from here.

    What /proc shows of an open file has the lock in it for those that hold it, and for tools
    that inherited it, but not for those that wait (proc_pid_fdinfo(5)).
    """
    status = os.fstat(descriptor)
    for process in processes():
        if any(process.has_lock(number) for number in process.open_numbers(name, status)):
            return f"another svcc (process {process.id}: {command_of(process)})"
    return "another svcc (its process is not seen from here, such as one in another container)"
