"""What a service manager is told: sd_notify(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class ServiceManager:
    """Whoever started this process and wants to be told, by ``$NOTIFY_SOCKET``; maybe nobody."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        microseconds = environment.get("WATCHDOG_USEC", "")
        of = environment.get("WATCHDOG_PID", "")
        is_ours = not of or of == str(os.getpid())
        self.watchdog: float | None = None
        """Seconds within which a sign of life is expected, None: never."""
        if microseconds.isdigit() and is_ours and int(microseconds):
            self.watchdog = int(microseconds) / 1e6

    def tell(self, *states: str) -> None:
        """Say so: ``READY=1``, ``STATUS=…``, ``WATCHDOG=1``, ``STOPPING=1``."""
        if not self._address:
            return
        # Who does not listen is not told.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto("\n".join(states).encode(), self._address)
