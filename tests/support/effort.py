"""How much the tests try: with ``SVCC_LONG=1`` everything, else what a short run allows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

LONG = bool(os.environ.get("SVCC_LONG"))

Member = TypeVar("Member")


def some(everything: Sequence[Member], few: int) -> Sequence[Member]:
    """All members in a long run, else ``few`` spread evenly, the first and last among them."""
    if LONG or len(everything) <= few:
        return everything
    last = len(everything) - 1
    return [everything[round(number * last / (few - 1))] for number in range(few)]
