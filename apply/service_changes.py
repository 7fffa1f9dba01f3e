"""What an apply changes of Services, in words and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from svcc.apply.frontends import PROTOCOLS, Backend, Frontend, address_text, backend_text
from svcc.grammar.address import Family

UNNAMED = "frontends of no known Service"
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class FrontendChange:
    """One frontend that comes, goes or leads elsewhere; ``added`` and ``removed`` are backends."""

    frontend: Frontend
    change: Literal["added", "removed", "changed"]
    added: tuple[Backend, ...]
    removed: tuple[Backend, ...]


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What changes of one Service.

    ``service`` is ``namespace/name``, empty if nothing says it. ``added`` and ``removed`` are the
    backends that none of its frontends led to before, or leads to any more.
    """

    service: str
    frontends: tuple[FrontendChange, ...]
    added: tuple[tuple[Family, Backend], ...]
    removed: tuple[tuple[Family, Backend], ...]

    def to_text(self) -> str:
        """A line: ``shop/web: +10.244.2.9:8080 -10.244.2.7:8080``."""
        parts = [_few(self._backends())] if self.added or self.removed else []
        coming = [item for item in self.frontends if item.change == "added"]
        going = [item for item in self.frontends if item.change == "removed"]
        for sign, items in (("+", coming), ("-", going)):
            if items:
                parts.append(f"frontend {_few(f'{sign}{item.frontend.key}' for item in items)}")
        for item in self.frontends:
            if item.change == "changed" and not self._says_it(item):
                parts.append(f"at {item.frontend.key} {_few(_signed(item))}")
        return f"{self.service or UNNAMED}: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "service": self.service or None,
            "frontends": [
                {
                    **frontend_json(item.frontend),
                    "change": item.change,
                    "backends": {
                        "added": [_text(item, backend) for backend in item.added],
                        "removed": [_text(item, backend) for backend in item.removed],
                    },
                }
                for item in self.frontends
            ],
        }

    def _backends(self) -> Iterator[str]:
        yield from (f"+{backend_text(*item)}" for item in self.added)
        yield from (f"-{backend_text(*item)}" for item in self.removed)

    def _says_it(self, item: FrontendChange) -> bool:
        """Whether what changes at a frontend is what changes of the Service."""
        family = item.frontend.key.family
        added = {(family, backend) for backend in item.added}
        removed = {(family, backend) for backend in item.removed}
        return added <= {*self.added} and removed <= {*self.removed}


def frontend_json(item: Frontend) -> dict[str, Any]:
    """What a frontend is, for programs; ``address`` is null for a node port."""
    key = item.key
    return {
        "family": key.family.label.lower(),
        "protocol": PROTOCOLS[key.protocol],
        "address": None if key.address is None else address_text(key),
        "port": key.port,
        "servicePort": item.label or None,
        "kind": item.kind or None,
    }


def _signed(item: FrontendChange) -> Iterator[str]:
    yield from (f"+{_text(item, backend)}" for backend in item.added)
    yield from (f"-{_text(item, backend)}" for backend in item.removed)


def _text(item: FrontendChange, backend: Backend) -> str:
    return backend_text(item.frontend.key.family, backend)


def _few(texts: Iterable[str]) -> str:
    listed = list(texts)
    more = len(listed) - _MOST_NAMED
    return " ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
