"""What every source of objects is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from svcc.agent.sources.documents import Documents

Tell = Callable[[str], None]
"""Is told a line for the log: ``note: …``, ``warning: …``."""


class Source(Protocol):
    """Puts objects into :class:`svcc.agent.sources.documents.Documents`, from a thread of its own.

    A source never ends by itself: what fails is told and tried again, and what was seen last
    stays until it is known to be otherwise.
    """

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that it fills."""

    def start(self, documents: Documents, tell: Tell) -> None:
        """Begin to follow; ``tell`` is called from the source's thread."""

    def close(self) -> None:
        """End, and wait for the thread to be done."""

    @property
    def stale_since(self) -> float | None:
        """Since when (:func:`time.monotonic`) what is known may be out of date; None: it is not."""
