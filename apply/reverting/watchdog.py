"""The process that goes back unless somebody confirms.

It is started before anything is changed, has a session of its own and no terminal, and lives on
when apply ends, is killed, or loses its terminal. The time begins when apply has let go of the
lock, however it ended. Told to end by anybody else than svcc (SIGTERM), it goes back at once.
"""

from __future__ import annotations

import os
import signal
import sys
import syslog
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import svcc
from svcc.apply.reverting import confirmation as records
from svcc.apply.reverting.command import HealthCommand
from svcc.apply.reverting.confirmation import Confirmation
from svcc.apply.reverting.restore import restore
from svcc.apply.reverting.saved import Saved
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.lock import held

_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[2]); import svcc; sys.path.append(sys.path.pop(0)); "
    "from svcc.apply.reverting.watchdog import main; main()"
)
"""The same svcc, whatever else is called so and wherever this is run."""
_WAKE, _ENDED = signal.SIGUSR1, signal.SIGCHLD
_GO_BACK = (signal.SIGTERM, signal.SIGINT)
_BLOCKED = (_WAKE, _ENDED, *_GO_BACK)
_LONGEST_SLEEP = 1.0
"""Seconds: sleeps are by a clock that stands still while the machine does."""
_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0
_READY = b"ready\n"


def start(saved: Saved, timeout: float, command: str | None) -> Confirmation:
    """Start it, before anything is changed and under the lock.

    Args:
        saved: what is loaded now.
        timeout: seconds to confirm, from when the lock is free again.
        command: is run by a shell until it succeeds, which confirms.

    Raises:
        ApplyError: it does not start; nothing was changed.
    """
    begun = Confirmation(state="loading", begun=time.time(), timeout=timeout, command=command)
    try:
        records.keep(saved)
        records.write(begun)
        answer = _spawn()
    except OSError as error:
        records.remove()
        raise ApplyError(
            f"the watchdog that would go back cannot be started: {error.strerror}; nothing was "
            "changed"
        ) from error
    found = records.read()
    if answer != _READY or found is None:
        records.remove()
        reason = answer.decode(errors="replace").strip() or "it ended at once"
        raise ApplyError(
            f"the watchdog that would go back cannot be started: {reason}; nothing was changed"
        )
    return found


def stop(record: Confirmation) -> None:
    """End it before its time has begun, since there is nothing to go back from.

    The caller holds the lock, and so the watchdog does nothing but wait for it.
    """
    with suppress(OSError):
        process = os.pidfd_open(record.watchdog)
        try:
            if records.watchdog_is_alive():
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)
    records.remove()


def _spawn() -> bytes:
    """Start the process; what it says once it is ready, or why it is not."""
    reading, writing = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        home = str(Path(svcc.__file__).resolve().parent.parent)
        starter = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-c", _PROGRAM, "svcc-watchdog", home],
            os.environ,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    with open(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(starter, 0)
    return answer


def main() -> None:
    """The process itself."""
    # Not the leader of its session, it can never get a terminal.
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    with suppress(OSError):
        Path("/proc/self/comm").write_text("svcc-watchdog")
        # Of all processes this one is not to go when memory is short (proc(5)).
        Path("/proc/self/oom_score_adj").write_text("-900")
    try:
        record = records.read()
        if record is None:
            raise ApplyError("there is no apply to wait for")
        alive = records.guard_file()
        watchdog = _Watchdog(record, records.kept(), alive)
        records.write(watchdog.record)
    except (OSError, ApplyError) as error:
        os.write(1, str(error).encode())
        os._exit(1)
    if record.command is None:
        os.chdir("/")
    os.write(1, _READY)
    os.dup2(0, 1)
    watchdog.run()


class _Watchdog:
    """One apply to be confirmed."""

    def __init__(self, record: Confirmation, saved: Saved, alive: int) -> None:
        self.record = replace(record, watchdog=os.getpid())
        self._saved = saved
        self._alive = alive
        self._command = HealthCommand(record.command) if record.command is not None else None

    def run(self) -> None:
        """Wait, and go back unless it is confirmed."""
        if not self._begin():
            return
        try:
            reason = self._wait()
        finally:
            if self._command is not None:
                self._command.stop()
        pause = _FIRST_RETRY
        while reason is not None and not self._go_back(reason):
            # Until somebody ends it.
            self._sleep(pause)
            pause = min(2 * pause, _LAST_RETRY)

    def _begin(self) -> bool:
        """Begin the time when apply has ended, in whatever way; False: there is no need."""
        while True:
            with suppress(ApplyError, OSError), held(None):
                if not self._is_mine():
                    return False
                deadline = records.now() + self.record.timeout
                self.record = replace(self.record, state="waiting", deadline=deadline)
                records.write(self.record)
                return True
            self._sleep(_FIRST_RETRY)

    def _is_mine(self) -> bool:
        """Whether this apply still may go either way. What cannot be read is not confirmed."""
        found = records.read()
        return found is None or (found.is_open and found.watchdog == os.getpid())

    def _wait(self) -> str | None:
        """Why to go back, None if it was confirmed."""
        assert self.record.deadline is not None
        while (left := self.record.deadline - records.now()) > 0:
            if self._command is not None:
                if self._command.has_succeeded():
                    if self._confirm(f"{self.record.command} succeeded"):
                        return None
                    return "the success of the command could not be noted"
                left = min(left, self._command.seconds_to_next())
            received = self._sleep(left)
            if received in _GO_BACK:
                return f"the watchdog was told to end ({signal.Signals(received).name})"
            if received == _WAKE and not self._is_mine():
                return None
        failure = self._command.failure() if self._command is not None else ""
        return f"nobody confirmed it within {self.record.timeout:g} s{failure}"

    def _sleep(self, seconds: float) -> int:
        """Sleep until a signal comes, at most so long; which it was, 0 for none."""
        found = signal.sigtimedwait(_BLOCKED, min(max(seconds, 0.0), _LONGEST_SLEEP))
        return 0 if found is None else found.si_signo

    def _confirm(self, why: str) -> bool:
        """False if that could not be noted."""
        with suppress(ApplyError, OSError), held(None):
            if self._is_mine():
                records.end(self.record, "confirmed", why)
            return True
        return False

    def _go_back(self, reason: str) -> bool:
        """Go back; False if that failed and is to be tried again."""
        try:
            with held(None) as lock:
                if not self._is_mine():
                    return True
                try:
                    restore(self._saved, lock)
                except Exception as error:
                    # Whatever it is: to give up would be worse.
                    what = str(error) or type(error).__name__
                    self._tell(syslog.LOG_ERR, f"{reason}; going back fails: {what}; tried again")
                    self.record = replace(self.record, state="failing", message=what)
                    records.write(self.record)
                    return False
                self._tell(syslog.LOG_WARNING, f"{reason}; what was loaded before is loaded again")
                with suppress(OSError):
                    records.end(self.record, "reverted", reason)
                return True
        except (OSError, ApplyError) as error:
            self._tell(syslog.LOG_ERR, f"{reason}; going back fails: {error}; tried again")
            return False

    def _tell(self, priority: int, text: str) -> None:
        syslog.openlog("svcc", syslog.LOG_PID, syslog.LOG_DAEMON)
        syslog.syslog(priority, f"apply of {records.at(self.record.begun)}: {text}")
