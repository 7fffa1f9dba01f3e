"""Every field of every type that rules are made of, and other legal values for it.

Types and fields are found by looking, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

Path = tuple[object, ...]
"""The way from a value to a field inside it: field names, and positions in containers."""


def is_record(value: object) -> bool:
    """Whether a value has named fields."""
    return dataclasses.is_dataclass(value) or hasattr(value, "_fields")


def field_names(cls: type) -> tuple[str, ...]:
    """The fields of a dataclass or named tuple."""
    if dataclasses.is_dataclass(cls):
        return tuple(item.name for item in dataclasses.fields(cls))
    return tuple(getattr(cls, "_fields", ()))


def members(union: object) -> Iterator[type]:
    """The classes of a union, and all that their fields can hold, each once."""
    seen: dict[type, None] = {}
    waiting = [union]
    while waiting:
        hint = waiting.pop(0)
        if isinstance(hint, type) and is_record(hint) and hint not in seen:
            seen[hint] = None
            waiting += get_type_hints(hint).values()
        waiting += [part for part in get_args(hint) if not isinstance(part, str)]
    yield from seen


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, type, str]]:
    """Every field inside a value: the way to it, whose it is, and its name."""
    if is_record(value):
        for name in field_names(type(value)):
            yield (*path, name), type(value), name
            yield from leaves(getattr(value, name), (*path, name))
    elif isinstance(value, dict | tuple | list):
        for number, part in enumerate(_parts(value)):
            yield from leaves(part, (*path, number))


def changed(
    value: Any, path: Path, new: object, key_of: Callable[[Any], object] | None = None
) -> Any:
    """The value with the field at the end of a way replaced.

    ``key_of``: the key that a member of a dict has, where its fields say it.
    """
    if not path:
        return new
    first, *rest = path
    if isinstance(first, int):
        parts = _parts(value)
        parts[first] = changed(parts[first], tuple(rest), new, key_of)
        if isinstance(value, dict):
            return dict(zip(map(key_of, parts) if key_of else value, parts, strict=True))
        return type(value)(parts)
    name = str(first)
    part = changed(getattr(value, name), tuple(rest), new, key_of)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{name: part})
    return value._replace(**{name: part})


def _parts(value: Any) -> list[Any]:
    return list(value.values() if isinstance(value, dict) else value)


def at(value: Any, path: Path) -> Any:
    """What stands at the end of a way."""
    for step in path:
        value = _parts(value)[step] if isinstance(step, int) else getattr(value, str(step))
    return value


def others(value: object, hint: object) -> Iterator[object]:
    """Other values of a field's type, as different in kind as there are."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        parts = get_args(hint)
        if type(None) in parts and value is not None:
            yield None
        for part in parts:
            if part is not type(None):
                yield from (o for o in others(value, part) if o != value)
    elif origin is Literal:
        yield from (name for name in get_args(hint) if name != value)
    elif origin is tuple:
        yield from _other_tuples(value, get_args(hint))
    elif origin is frozenset:
        yield from _other_sets(value)
    elif isinstance(hint, type):
        yield from _other_plain(value, hint)


def _other_tuples(value: object, parts: tuple[object, ...]) -> Iterator[object]:
    known = value if isinstance(value, tuple) else ()
    if len(parts) == 2 and parts[1] is Ellipsis:
        if known:
            yield known[:-1]
            for new in others(known[0], parts[0]):
                yield (new, *known[1:])
        else:
            for new in others(None, parts[0]):
                yield (new,)
    elif known:
        for number, (part, hint) in enumerate(zip(known, parts, strict=True)):
            for new in others(part, hint):
                yield (*known[:number], new, *known[number + 1 :])
    else:
        yield tuple(next(others(None, hint)) for hint in parts)


def _other_sets(value: object) -> Iterator[object]:
    known = value if isinstance(value, frozenset) else frozenset()
    for member in sorted(known):
        yield known - {member}
    for more in ("INVALID", "NEW", "ESTABLISHED"):
        if more not in known:
            yield known | {more}


def _other_plain(value: object, hint: type) -> Iterator[object]:
    if issubclass(hint, bool):
        yield from (new for new in (True, False) if new is not value)
    elif issubclass(hint, Enum):
        yield from (new for new in hint if new is not value)
    elif issubclass(hint, int):
        known = value if isinstance(value, int) else 0
        yield from (new for new in (known ^ 1, known + 1, known ^ 0x100, 0, 77) if new != value)
    elif issubclass(hint, str):
        yield f"{value or ''}x"
    elif is_record(hint) and not isinstance(value, hint):
        yield from samples(hint)


def samples(cls: type) -> Iterator[Any]:
    """Values of a type: one, and the same with each switch the other way."""
    hints = get_type_hints(cls)
    given = {name: next(others(None, hints[name]), None) for name in field_names(cls)}
    yield cls(**given)
    for name, value in given.items():
        if isinstance(value, bool):
            yield cls(**{**given, name: not value})
