"""Lines that the agent writes: for people, or as JSON for programs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

LogFormat = Literal["text", "json"]
Level = Literal["info", "warning", "error"]
LEVELS: dict[str, Level] = {"note": "info", "warning": "warning", "error": "error"}


class Log:
    """Writes lines, from any thread."""

    def __init__(self, write: Callable[[str], None], form: LogFormat = "text") -> None:
        self._write = write
        self._form = form
        self._lock = threading.Lock()

    def tell(self, text: str) -> None:
        """A line as commands have them: ``note: …``, ``warning: …``, ``error: …``."""
        head, _, rest = text.partition(": ")
        level = LEVELS.get(head)
        if level is None:
            self.line("info", text)
        else:
            self.line(level, rest)

    def line(self, level: Level, message: str, **values: object) -> None:
        """One thing that happened, with values that programs may want to read."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._form == "json":
            text = json.dumps({"ts": now, "level": level, "msg": message, **values}, default=str)
        else:
            text = f"{now} {level}: {message}"
        with self._lock:
            self._write(text)
