"""The name that was most likely meant."""

from __future__ import annotations

from collections.abc import Iterable

LIKENESS = 0.75
"""Of difflib: a letter left out, put in, exchanged or two swapped in a short word still counts."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that ``word`` is a slip of, whatever the case; None if it is like none."""
    by_folded = {name.lower(): name for name in known}
    folded = word.lower()
    if folded in by_folded:
        return by_folded[folded]
    if len(word) > 60:
        return None
    from difflib import get_close_matches

    found = get_close_matches(folded, by_folded, 1, LIKENESS)
    return by_folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean NAME?``, or nothing."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""
