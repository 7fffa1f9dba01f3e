"""What is known of the apply that waits to be confirmed, or of the last one that did.

A small file in svcc's own folder, one for each network namespace; what was loaded before is in
another beside it for as long as one may go back. Both are changed under the lock only.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from svcc.apply.reverting import saved as texts
from svcc.apply.reverting.saved import Saved
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.own_files import (
    boot,
    namespace_cookie,
    path_of,
    read_private,
    write_private,
)
from svcc.grammar.errors import InputError

State = Literal["loading", "waiting", "failing", "confirmed", "reverted"]
Ended = Literal["confirmed", "reverted"]
OPEN: tuple[State, ...] = ("loading", "waiting", "failing")
"""States of an apply that is neither confirmed nor undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """One apply.

    ``state``: ``loading`` while it is at work, ``waiting`` to be confirmed, ``failing`` while
    going back fails, then ``confirmed`` or ``reverted``. ``watchdog`` is the process that goes
    back. ``begun`` and ``ended`` are seconds since 1970, for people; ``timeout`` is in seconds,
    and ``deadline`` is when it ends by the clock of :func:`now`, None while it has not begun.
    ``command`` is what confirms it by succeeding; ``message`` says why it ended as it did, or
    what fails.
    """

    state: State
    begun: float
    timeout: float
    watchdog: int = 0
    deadline: float | None = None
    ended: float | None = None
    command: str | None = None
    message: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it may still go either way."""
        return self.state in OPEN

    @property
    def seconds_left(self) -> float | None:
        """Until it goes back; None where that is not known."""
        return None if self.deadline is None else max(0.0, self.deadline - now())


def now() -> float:
    """Seconds of a clock that nobody sets and that goes on while the machine sleeps
    (clock_gettime(2), CLOCK_BOOTTIME).
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read() -> Confirmation | None:
    """The last apply of this network namespace that was to be confirmed, None without one."""
    try:
        found = json.loads(read_private(_record()))
        if (found.pop("boot"), found.pop("namespace")) != (boot(), namespace_cookie()):
            return None
        return Confirmation(**found)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(record: Confirmation) -> None:
    """Note it.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps({"boot": boot(), "namespace": namespace_cookie(), **asdict(record)})
    write_private(_record(), text)


def remove() -> None:
    """Forget it, and what was loaded before."""
    for path in (_record(), _saved(), _noted_before()):
        with suppress(OSError):
            path.unlink()


def keep(saved: Saved) -> None:
    """Note what is loaded before an apply.

    Raises:
        OSError: it cannot be written.
    """
    write_private(_saved(), texts.write(saved))
    with suppress(OSError):
        write_private(_noted_before(), read_private(_noted()))


def kept() -> Saved:
    """What was loaded before the apply that waits.

    Raises:
        ApplyError: it is not there, or cannot be read.
    """
    path = _saved()
    try:
        return texts.read(read_private(path))
    except (OSError, ValueError, InputError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ApplyError(f"{path}, which has what was loaded before: {reason}") from error


def guard_file() -> int:
    """Hold what tells that a watchdog is alive; a descriptor, for as long as the process lives.

    Raises:
        OSError: there is nothing to go back to.
    """
    descriptor = os.open(_saved(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def watchdog_is_alive() -> bool:
    """Whether somebody will go back by itself."""
    try:
        descriptor = os.open(_saved(), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def end(record: Confirmation, state: Ended, message: str) -> Confirmation:
    """Note how it ended, forget what was loaded before, and let the watchdog go.

    Raises:
        OSError: it cannot be written.
    """
    ended = Confirmation(
        state=state,
        begun=record.begun,
        timeout=record.timeout,
        watchdog=record.watchdog,
        ended=time.time(),
        command=record.command,
        message=message,
    )
    write(ended)
    wake(record)
    with suppress(OSError):
        _saved().unlink()
    with suppress(OSError):
        if state == "reverted":
            _noted().unlink()
            _noted_before().replace(_noted())
        else:
            _noted_before().unlink()
    return ended


def wake(record: Confirmation) -> None:
    """Have the watchdog look at the record."""
    if record.watchdog in (0, os.getpid()):
        return
    with suppress(OSError):
        process = os.pidfd_open(record.watchdog)
        try:
            # It lives, so the number is not yet another process's.
            if watchdog_is_alive():
                signal.pidfd_send_signal(process, signal.SIGUSR1)
        finally:
            os.close(process)


def at(seconds: float) -> str:
    """A time of day for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def demand_none() -> None:
    """That no apply waits to be confirmed.

    Raises:
        ApplyError: one does.
    """
    record = read()
    if record is not None and record.is_open:
        raise ApplyError(
            f"{describe(record)}; svcc confirm keeps what is loaded, svcc confirm --revert goes "
            "back; nothing was changed"
        )


def describe(record: Confirmation) -> str:
    """What became of it, or will, in words."""
    which = f"the apply of {at(record.begun)}"
    match record.state:
        case "confirmed":
            return f"{which} is confirmed: {record.message}"
        case "reverted":
            return f"{which} is undone: {record.message}"
        case _ if not watchdog_is_alive():
            return (
                f"{which} is not confirmed, and its watchdog (process {record.watchdog}) is gone, "
                "so nothing goes back by itself"
            )
        case "failing":
            return f"{which} was not confirmed, and going back fails: {record.message}"
        case "loading":
            return f"{which} is at work, and is to be confirmed within {record.timeout:g} s"
        case "waiting":
            return (
                f"{which} waits to be confirmed, and goes back by itself in "
                f"{record.seconds_left or 0:.0f} s"
            )


def _record() -> Path:
    return path_of("confirm")


def _saved() -> Path:
    return path_of("saved")


def _noted() -> Path:
    """What is noted of what is loaded (:mod:`svcc.apply.seen.memory`)."""
    return path_of("loaded")


def _noted_before() -> Path:
    return path_of("loaded-before")
