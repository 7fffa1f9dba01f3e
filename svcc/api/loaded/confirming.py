"""An apply that goes back by itself unless it is confirmed: confirmed, undone, waited for."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from svcc.apply.reverting import confirmation as records
from svcc.apply.reverting import watchdog
from svcc.apply.reverting.confirmation import Confirmation
from svcc.apply.reverting.saved import take
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.lock import Tell, held
from svcc.grammar.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from svcc.apply.iptables.tool import Iptables
    from svcc.apply.outcome import Outcome
    from svcc.grammar.address import Network
    from svcc.grammar.ipvs.state import Ipvs

Note = Callable[[str], None]
MOST_SECONDS = 7 * 24 * 3600
_POLL_SECONDS = 0.5


def duration(text: str) -> float:
    """Seconds of a duration as Go writes it (``30s``, ``1m30s``).

    Raises:
        ValueError: it is none.
    """
    from svcc.compiler.settings.agent import duration as seconds

    return seconds(text)


class Undo:
    """Has a watchdog go back after an apply, unless that changed nothing or went back itself.

    It is entered under the lock; :meth:`arm` is called there before anything is changed.
    """

    def __init__(
        self,
        tools: Iptables,
        ipvs: Ipvs | None = None,
        exclude: tuple[Network, ...] = (),
        timeout: float | None = None,
        command: str | None = None,
    ) -> None:
        """For an apply.

        Args:
            tools: whose iptables is in use.
            ipvs: what it loads beside rules.
            exclude: addresses whose virtual servers are never touched.
            timeout: seconds; None: nothing goes back.
            command: is run until it succeeds, which confirms.

        Raises:
            InputError: that is no time, or there is a command without one.
        """
        if timeout is None and command is not None:
            raise _bad_input("--confirm-command", "only together with --confirm-timeout")
        if timeout is not None and not 0 < timeout <= MOST_SECONDS:
            raise _bad_input("--confirm-timeout", "more than 0 s and at most 7 days (168h)")
        self._tools = tools
        self._ipvs = ipvs
        self._exclude = exclude
        self._timeout = timeout
        self._command = command
        self._started: Confirmation | None = None
        self.outcome: Outcome | None = None
        """What was done, once it is."""

    def arm(self) -> None:
        """Keep what is loaded, and start the watchdog.

        Raises:
            ApplyError: one of the two cannot be done; nothing was changed.
        """
        if self._timeout is not None and self._started is None:
            saved = take(self._tools, self._ipvs, self._exclude)
            self._started = watchdog.start(saved, self._timeout, self._command)

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._started is None:
            return
        is_as_before = self.outcome is not None and not self.outcome.changed
        if isinstance(error, ApplyError):
            is_as_before = error.restored
        if is_as_before:
            watchdog.stop(self._started)


def describe(found: Confirmation) -> str:
    """What became of an apply, or will, in words."""
    return records.describe(found)


def awaited() -> Confirmation | None:
    """The :func:`apply` of this network namespace that waits to be confirmed, or the last one that
    did; None if there was none since the last boot.
    """
    return records.read()


def confirm(*, wait: float | None = None, note: Note | None = None) -> Confirmation:
    """Keep what is loaded.

    Args:
        wait: seconds to wait for an apply that is at work, None without limit.
        note: is told whom is waited for.

    Raises:
        ApplyError: no apply waits to be confirmed, or that cannot be noted.
    """
    with held(wait, _told(note)):
        return _end(_open(), "confirmed", "svcc confirm")


def revert(*, wait: float | None = None, note: Note | None = None) -> tuple[Confirmation, Outcome]:
    """Go back to what was loaded before, at once; arguments as of :func:`confirm`.

    Returns:
        What became of the apply, and what was done.

    Raises:
        ApplyError: no apply waits to be confirmed, or going back fails; then its watchdog still
            tries when its time is over.
    """
    from svcc.apply.reverting.restore import restore

    with held(wait, _told(note)) as lock:
        found = _open()
        outcome = restore(records.kept(), lock)
        return _end(found, "reverted", "svcc confirm --revert"), outcome


def _open() -> Confirmation:
    found = records.read()
    if found is None:
        raise ApplyError("no apply waits to be confirmed here")
    if not found.is_open:
        raise ApplyError(f"no apply waits to be confirmed here; {records.describe(found)}")
    return found


def _end(found: Confirmation, state: records.Ended, why: str) -> Confirmation:
    try:
        return records.end(found, state, why)
    except OSError as error:
        raise ApplyError(f"it cannot be noted: {error}", restored=False) from error


def wait_for_end(found: Confirmation, or_input: int | None = None) -> Confirmation | None:
    """Wait until an apply is confirmed or undone, or going back fails.

    Args:
        found: the apply.
        or_input: a descriptor; None is returned once there is something to read from it.

    Raises:
        OSError: the descriptor is none that can be waited for.
    """
    try:
        process = os.pidfd_open(found.watchdog)
    except OSError:
        process = None
    try:
        while True:
            now = records.read() or found
            if not now.is_open or now.state == "failing" or not records.watchdog_is_alive():
                return records.read() or found
            watched = [item for item in (process, or_input) if item is not None]
            ready, _, _ = select.select(watched, [], [], _POLL_SECONDS)
            if or_input in ready:
                return None
    finally:
        if process is not None:
            os.close(process)


def _bad_input(what: str, message: str) -> InputError:
    return InputError([Problem(Position(what), message)])


def _told(note: Note | None) -> Tell | None:
    return None if note is None else lambda text: note(f"note: {text}")
