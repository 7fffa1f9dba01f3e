"""How much the tests try: with ``SVCC_LONG=1`` everything, else what a short run allows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings

LONG = bool(os.environ.get("SVCC_LONG"))

Member = TypeVar("Member")


def load_profile() -> None:
    """Hypothesis for all tests: no clock decides, and a short run tries the same each time."""
    settings.register_profile(
        "svcc",
        deadline=None,
        derandomize=not LONG,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("svcc")


def examples(few: int, many: int, *, shrink: bool = True) -> settings:
    """Settings of a property test.

    Args:
        few: examples of a short run.
        many: examples of a long run.
        shrink: whether a smaller example is sought for one that fails, which takes longer
            than it is worth where each example takes seconds.
    """
    phases = tuple(Phase) if shrink else (Phase.generate,)
    return settings(max_examples=many if LONG else few, phases=phases)


def some(everything: Sequence[Member], few: int) -> Sequence[Member]:
    """All members in a long run, else ``few`` spread evenly, the first and last among them."""
    if LONG or len(everything) <= few:
        return everything
    last = len(everything) - 1
    return [everything[round(number * last / (few - 1))] for number in range(few)]
