"""Frontends as they are loaded, whatever the mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from svcc.grammar.address import Family, format_address
from svcc.grammar.ipvs.ipvsadm import endpoint
from svcc.grammar.numbers import TRANSPORTS

PROTOCOLS = {number: name.upper() for name, number in TRANSPORTS.items()}


class Key(NamedTuple):
    """What a frontend is known by; ``address`` None: a node port, on any address of the node."""

    family: Family
    protocol: int
    address: int | None
    port: int

    def __str__(self) -> str:
        if self.address is None:
            return f"*:{self.port}/{PROTOCOLS[self.protocol]}"
        where = endpoint(self.family, self.address, self.port)
        return f"{where}/{PROTOCOLS[self.protocol]}"


class Backend(NamedTuple):
    """Where packets go; ``address`` is of the frontend's family."""

    address: int
    port: int


@dataclass(slots=True)
class Frontend:
    """One frontend.

    ``label`` is the Service port's (``namespace/name:port``) and ``kind`` what it is of the
    Service (``cluster IP``, ``external IP``, ``loadbalancer IP``, ``node port``), both empty where
    nothing says so. ``rules`` name what of the rules is its own, such as a chain.
    ``connections`` counts those that were begun since the rule was loaded, None where nothing
    counts.
    """

    key: Key
    label: str = ""
    kind: str = ""
    backends: set[Backend] = field(default_factory=set)
    rules: list[str] = field(default_factory=list)
    connections: int | None = None

    @property
    def service(self) -> str:
        """``namespace/name``, empty if that is not known."""
        return self.label.partition(":")[0]

    def backend_texts(self) -> list[str]:
        """The backends, sorted, as ``ADDRESS:PORT``."""
        return [backend_text(self.key.family, backend) for backend in sorted(self.backends)]


Frontends = dict[Key, Frontend]
Names = Mapping[Key, tuple[str, str]]
"""Label and kind of frontends."""


def backend_text(family: Family, backend: Backend) -> str:
    """``ADDRESS:PORT``, an IPv6 address in brackets."""
    return endpoint(family, backend.address, backend.port)


def address_text(key: Key) -> str:
    """The address alone; ``*`` for any of the node's."""
    return "*" if key.address is None else format_address(key.family, key.address)


def add(found: Frontends, key: Key, comment: str = "") -> Frontend:
    """The frontend of a key, made if need be; ``comment`` is that of its rule."""
    known = found.setdefault(key, Frontend(key))
    label, _, kind = comment.partition(" ")
    if "/" in label and not known.label:
        known.label, known.kind = label, _KINDS.get(kind, "")
    return known


_KINDS = {kind: kind for kind in ("cluster IP", "external IP", "loadbalancer IP", "node port")}


def together(parts: Iterable[Frontends]) -> Frontends:
    """What several modes or variants hold; a frontend of two has the backends of both."""
    found: Frontends = {}
    for part in parts:
        for key, item in part.items():
            if key not in found:
                found[key] = replace(item, backends={*item.backends}, rules=[*item.rules])
                continue
            known = found[key]
            known.label, known.kind = known.label or item.label, known.kind or item.kind
            known.backends |= item.backends
            known.rules += [name for name in item.rules if name not in known.rules]
            if item.connections is not None:
                known.connections = (known.connections or 0) + item.connections
    return found


def without(part: Frontends, known: Frontends) -> Frontends:
    """Those whose frontends are not known better."""
    return {key: item for key, item in part.items() if key not in known}


def named(found: Frontends, names: Names) -> Frontends:
    """The same with names for those that have none of their own."""
    made = {}
    for key, item in found.items():
        label, kind = names.get(key, ("", ""))
        made[key] = replace(item, label=item.label or label, kind=item.kind or kind)
    return made
