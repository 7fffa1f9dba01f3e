"""``subprocess.run`` by way of :mod:`tests.kernel.uml.spawner`, where there is one."""

from __future__ import annotations

import array
import fcntl
import marshal
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from tests.kernel.uml.spawner import LARGEST, VARIABLE

_own_run: Any = subprocess.run
_find = cache(shutil.which)
_UNDERSTOOD = {
    "input", "stdin", "capture_output", "text", "check", "cwd", "pass_fds", "start_new_session",
}  # fmt: skip


class _Spawner:
    """Runs commands that are run to their end and whose output is wanted; hands on all others.

    Processes that were forked from this one may ask, too: a record lock is a process's own, and
    goes with it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._asked = connection, 0
        self._among_threads = threading.Lock()
        self._among_processes = os.memfd_create("spawner")

    def run(self, arguments: Sequence[str], **options: Any) -> Any:
        """As :func:`subprocess.run`."""
        program = _found(arguments[0]) if isinstance(arguments, list | tuple) else None
        understood = (
            program is not None
            and options.keys() <= _UNDERSTOOD
            and options.get("capture_output")
            and options.get("stdin") in (None, subprocess.DEVNULL)
        )
        if program is not None and understood:
            with self._mine() as is_mine:
                if is_mine:
                    return self._run([program, *map(str, arguments[1:])], arguments, options)
        return _own_run(arguments, **options)

    @contextmanager
    def _mine(self) -> Iterator[bool]:
        """Whether nobody else is asking. Who finds it busy must not wait: the command that runs
        may be waiting for the other.
        """
        if not self._among_threads.acquire(blocking=False):
            yield False
            return
        try:
            try:
                fcntl.lockf(self._among_processes, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            try:
                yield True
            finally:
                fcntl.lockf(self._among_processes, fcntl.LOCK_UN)
        finally:
            self._among_threads.release()

    def _run(self, words: list[str], arguments: Sequence[str], options: dict[str, Any]) -> Any:
        text = options.get("text", False)
        given = options.get("input")
        kept = tuple(options.get("pass_fds", ()))
        folder = str(options.get("cwd") or os.getcwd())
        opened = [os.open("/proc/thread-self/ns/net", os.O_RDONLY)]
        try:
            opened += [os.memfd_create(name) for name in ("input", "output", "errors")]
            network, source, output, errors = opened
            if given:
                os.write(source, given.encode() if text else given)
                os.lseek(source, 0, os.SEEK_SET)
            self._asked += 1
            mark = f"{os.getpid()} {self._asked}"
            request = marshal.dumps(
                (mark, words, dict(os.environ), folder, (0, 1, 2, *kept), bool(
                    options.get("start_new_session")))
            )  # fmt: skip
            if len(request) > LARGEST:
                return _own_run(arguments, **options)
            descriptors = array.array("i", (network, source, output, errors, *kept))
            self._connection.sendmsg(
                [request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)]
            )
            answered = ""
            while answered != mark:
                # Another is for somebody who did not live to hear it.
                answered, code, error = marshal.loads(self._connection.recv(LARGEST))
            if code is None:
                raise OSError(error, os.strerror(error), words[0])
            printed = [_content(one) for one in (output, errors)]
        finally:
            for one in opened:
                os.close(one)
        done = subprocess.CompletedProcess(
            arguments, code, *([p.decode() for p in printed] if text else printed)
        )
        if options.get("check"):
            done.check_returncode()
        return done


def _found(name: object) -> str | None:
    return _find(str(name), path=os.environ.get("PATH"))


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def install() -> None:
    """Have ``subprocess.run`` ask the spawner, if this process was started by one."""
    number = os.environ.pop(VARIABLE, None)
    if number is not None:
        os.set_inheritable(int(number), False)
        # What annotates itself with it keeps the class.
        subprocess.run = _Spawner(socket.socket(fileno=int(number))).run  # type: ignore[assignment]
