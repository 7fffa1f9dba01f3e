"""Which fields the API has: names that no version knows are told with the nearest right one.

``fields.json`` has the names of the fields of each type that the objects consist of, as
the OpenAPI documents of Kubernetes 1.16 to 1.37 list them (every name that any of them has, so
that old and new clusters are read without a word), and those of KubeProxyConfiguration from
k8s.io/kube-proxy/config/v1alpha1. The value is the field's type: "" for a plain value, "{}"
for a map with keys of the user's own, the name of a type, or the name in brackets for a list.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from svcc.compiler.api_names.nearest import nearest

_NOT_LOOKED_INTO = frozenset({"managedFields", "ownerReferences", "targetRef"})
"""Only the cluster itself writes them, and they make up half of a dump."""


class _Type:
    """A type's fields; ``nested`` are those that are objects (or lists of them) themselves."""

    __slots__ = ("fields", "has", "names", "nested")

    def __init__(self) -> None:
        self.fields: dict[str, tuple[_Type, bool] | None] = {}
        self.names: frozenset[str] = frozenset()
        self.has = self.names.issuperset
        self.nested: tuple[tuple[str, _Type, bool], ...] = ()


class Unknown(NamedTuple):
    """A field that no version has. ``meant`` is the right name, ``elsewhere`` where it stands."""

    path: tuple[str | int, ...]
    meant: str | None
    elsewhere: str | None


@lru_cache(maxsize=1)
def _kinds() -> dict[tuple[str, str], _Type]:
    text = Path(__file__).with_name("fields.json").read_text(encoding="utf-8")
    data = json.loads(text)
    types = {name: _Type() for name in data["types"]}
    for name, fields in data["types"].items():
        known = types[name]
        for field, kind in fields.items():
            inner = types.get(kind.strip("[]"))
            known.fields[field] = None if inner is None else (inner, kind.startswith("["))
        known.names = frozenset(fields)
        known.has = known.names.issuperset
        known.nested = tuple(
            (field, *found)
            for field, found in known.fields.items()
            if found is not None and field not in _NOT_LOOKED_INTO
        )
    return {
        (kind, version): types[name]
        for kind, versions in data["kinds"].items()
        for version, name in versions.items()
    }


def unknown_fields(kind: str, version: str, value: dict[str, Any]) -> Iterable[Unknown]:
    """The fields of an object that its kind has not, in their order."""
    top = _kinds()[kind, version]
    try:
        if _all_known(value, top):
            return ()
    except TypeError:
        # A value of another type than the field's: the close look passes it over.
        pass
    return _unknown(value, top, (), top)


def _all_known(value: dict[str, Any], known: _Type) -> bool:
    """A quick look: nearly all objects have nothing unknown."""
    if not known.has(value):
        return False
    for field, inner, is_list in known.nested:
        if field not in value:
            continue
        below = value[field]
        if inner.nested:
            for item in below if is_list else (below,):
                if not _all_known(item, inner):
                    return False
        elif not is_list:
            if not inner.has(below):
                return False
        else:
            for item in below:
                if not inner.has(item):
                    return False
    return True


def _unknown(
    value: Any, known: _Type, path: tuple[str | int, ...], top: _Type
) -> Iterator[Unknown]:
    if not isinstance(value, dict):
        return
    for field, below in value.items():
        if field not in known.names:
            meant = nearest(field, known.names)
            elsewhere = None if meant else _elsewhere(field, top)
            yield Unknown((*path, field), meant, elsewhere)
            continue
        found = known.fields[field]
        if found is None or field in _NOT_LOOKED_INTO:
            continue
        inner, is_list = found
        if is_list and isinstance(below, list):
            for index, item in enumerate(below):
                yield from _unknown(item, inner, (*path, field, index), top)
        elif not is_list:
            yield from _unknown(below, inner, (*path, field), top)


def _elsewhere(field: str, top: _Type) -> str | None:
    """Where in the object a field of that name belongs, the highest such place."""
    level: list[tuple[str, _Type]] = [("", top)]
    while level:
        below = []
        for shown, known in level:
            if field in known.names:
                return f"{shown}{field}"
            below += [
                (f"{shown}{name}{'[]' if is_list else ''}.", inner)
                for name, inner, is_list in known.nested
            ]
        level = below
    return None
