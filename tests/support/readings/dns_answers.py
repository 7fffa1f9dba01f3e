"""Questions to name servers, with what these must say (tests/data/names/answers.txt)."""

from __future__ import annotations

from typing import NamedTuple

from tests.paths import ROOT


class Question(NamedTuple):
    """``answers`` are sorted, as zone files have them; ``NODATA`` or ``NXDOMAIN`` alone if none."""

    name: str
    type: str
    answers: list[str]


def questions() -> list[Question]:
    """All of the file."""
    text = (ROOT / "tests/data/names/answers.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [
        Question(name, type_, sorted(answers.split(" | ")))
        for name, type_, answers in (line.split(" ", 2) for line in lines)
    ]
