"""What /proc tells of the processes that can be seen from here (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its id; what is asked of one that has ended meanwhile is empty."""

    id: int

    @property
    def folder(self) -> Path:
        """Its folder below /proc."""
        return PROC / str(self.id)

    @property
    def name(self) -> str:
        """The name of its program, at most 15 bytes of it."""
        with suppress(OSError):
            return (self.folder / "comm").read_text(errors="replace").rstrip("\n")
        return ""

    @property
    def arguments(self) -> list[str]:
        """Its command line, empty for threads of the kernel."""
        with suppress(OSError):
            text = (self.folder / "cmdline").read_bytes().decode(errors="replace")
            return text.rstrip("\0").split("\0") if text else []
        return []

    @property
    def network_namespace(self) -> int | None:
        """The inode of its network namespace; None if this user may not know."""
        with suppress(OSError):
            return (self.folder / "ns" / "net").stat().st_ino
        return None

    def open_numbers(self, name: str, status: os.stat_result) -> Iterator[str]:
        """The descriptors by which it has a file of that name open."""
        with suppress(OSError):
            for entry in os.scandir(self.folder / "fd"):
                with suppress(OSError):
                    # Others' files are not asked: one on a dead server would keep svcc waiting.
                    is_named = os.readlink(entry.path).endswith(f"/{name}")
                    if is_named and os.path.samestat(os.stat(entry.path), status):
                        yield entry.name

    def has_lock(self, number: str) -> bool:
        """Whether a lock of flock(2) is on what it has open by a descriptor."""
        with suppress(OSError):
            text = (self.folder / "fdinfo" / number).read_text()
            return any("FLOCK" in line for line in text.splitlines() if line.startswith("lock:"))
        return False


def processes() -> Iterator[Process]:
    """All that can be seen, by their ids."""
    numbers = (int(name) for name in os.listdir(PROC) if name.isdigit())
    return (Process(number) for number in sorted(numbers))


def command_of(process: Process) -> str:
    """Its command line, in one line and not too long."""
    text = " ".join(" ".join(process.arguments).split()) or process.name or "it has ended"
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return printable if len(printable) <= _LONGEST else f"{printable[:_LONGEST]}…"
