"""Values that are made in hundreds of thousands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, ParamSpec, Self, TypeVar, cast, dataclass_transform

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[Value]) -> type[Value]:
    """A frozen dataclass with slots, as mypy sees it, that is built as fast as one that is not.

    Nobody changes one: mypy refuses it. A class may have a ``__hash__`` of its own.
    """
    return dataclass(slots=True, unsafe_hash="__hash__" not in vars(cls))(cls)


class Single:
    """A value without fields: there is one object of each class."""

    __slots__ = ()
    _of_class: ClassVar[dict[type[Single], Single]] = {}

    def __new__(cls) -> Self:
        found = Single._of_class.get(cls)
        if found is None:
            found = Single._of_class[cls] = super().__new__(cls)
        assert isinstance(found, cls)
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


_MOST = 1 << 14


def interned(make: Callable[Parameters, Value]) -> Callable[Parameters, Value]:
    """``make``, giving the same object for equal arguments for as long as it is remembered.

    It must make values: nothing but speed may depend on whether two are one object.
    """
    # typeshed takes any hashable arguments for what lru_cache returns.
    return cast("Callable[Parameters, Value]", lru_cache(maxsize=_MOST)(make))
