"""What is said to the person at the terminal, besides results."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"{text}\n")
