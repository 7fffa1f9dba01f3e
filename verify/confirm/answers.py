"""What the solver answers about a property."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Values = dict[str, int | bool]


@dataclass(frozen=True, slots=True)
class Violated:
    """A property fails: ``values`` are the solver's packet and world, by SMT name."""

    values: Values
    interfaces: dict[str, int] = field(default_factory=dict)
    patterns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Flag → the interface variable and the pattern that it is true of."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """The solver gave up, or a rule outside the model decides."""

    reason: Literal["solver", "unknown rule"]
    candidate: Violated | None = None
    """A packet that violates the property if the rules outside the model do as the solver likes."""


Answer = Violated | Undecided | None
"""None: proved."""
