"""Findings that last: told once when they have, and once when they are over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding

Identity = tuple[Family, str, str, str, str]
"""Family, frontend, property, code and verdict."""


def identity(finding: Finding) -> Identity:
    """What tells a finding from others, and finds it again."""
    return finding.family, finding.frontend, finding.property, finding.code, finding.verdict


@dataclass(frozen=True, slots=True)
class News:
    """What there is to tell. ``again`` is when something may be due next, None: nothing is."""

    lasting: list[Finding]
    over: list[Finding]
    again: float | None


class Lasting:
    """What was found, and since when. Times are seconds of a clock that never goes back.

    A proxy needs some time for each change, in which its rules are those of before: what is found
    counts when it was there for ``settle`` seconds without a break.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._since: dict[Identity, float] = {}
        self._told: dict[Identity, Finding] = {}

    def look(self, found: Iterable[Finding], now: float) -> News:
        """What is found now, all of it."""
        by_identity = {identity(f): f for f in found if f.verdict != "proved"}
        self._since = {key: self._since.get(key, now) for key in by_identity}
        due = {
            key: finding
            for key, finding in by_identity.items()
            if key not in self._told and now - self._since[key] >= self._settle
        }
        over = [finding for key, finding in self._told.items() if key not in by_identity]
        self._told = {key: f for key, f in self._told.items() if key in by_identity} | due
        waiting = [
            since + self._settle for key, since in self._since.items() if key not in self._told
        ]
        return News(list(due.values()), over, min(waiting, default=None))

    @property
    def told(self) -> list[Finding]:
        """What was told and lasts."""
        return list(self._told.values())
