"""Names of chains and lists: stable, and short enough for the kernel."""

from __future__ import annotations

import base64
import hashlib

HASH_LENGTH = 12


def digest(text: str, length: int = HASH_LENGTH) -> str:
    """The first letters of a SHA-256 in base 32: five bits each."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:length]
