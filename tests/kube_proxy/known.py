"""What kube-proxy's tests expect otherwise than svcc without svcc being wrong.

``tests/data/kube-proxy-tests/known.txt`` has a difference a line: the kind of question, a pattern
of the sentence that a test makes of it, and the reason, separated by tabs. What svcc has wrong
has no place there.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from tests.kube_proxy.recorded import FOLDER


class Known(NamedTuple):
    """One line of the file."""

    kind: str
    pattern: re.Pattern[str]
    reason: str


@cache
def known() -> tuple[Known, ...]:
    """All lines of the file."""
    found = []
    for line in (FOLDER / "known.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            kind, pattern, reason = line.split("\t")
            found.append(Known(kind, re.compile(pattern), reason))
    return tuple(found)


def unexplained(kind: str, differences: list[str]) -> list[str]:
    """The differences that no line of the file speaks of."""
    patterns = [item.pattern for item in known() if item.kind == kind]
    return [f"{kind}: {t}" for t in differences if not any(p.search(t) for p in patterns)]
