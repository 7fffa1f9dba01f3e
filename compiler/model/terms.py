"""What every kind of object has: protocols, and the place where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from typing import Protocol as Interface

from svcc.grammar.errors import Position

Protocol = Literal["TCP", "UDP", "SCTP"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object stands: ``path`` leads from the document's root to it.

    Lines and columns are found from this only when a message needs them
    (:meth:`svcc.compiler.load.document.Source.locate`).
    """

    file: str
    document: int = 0
    path: tuple[str | int, ...] = ()

    def below(self, *path: str | int) -> Origin:
        """A place in the same object."""
        return Origin(self.file, self.document, (*self.path, *path))


class Locates(Interface):
    """A text in which places can be found."""

    def locate(
        self, wanted: Iterable[tuple[int, tuple[str | int, ...]]]
    ) -> dict[tuple[int, tuple[str | int, ...]], Position]:
        """The position of each document and path."""
        ...


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """``ports[]`` of a container; ``name`` is "" where it has none."""

    name: str
    protocol: Protocol
    port: int
