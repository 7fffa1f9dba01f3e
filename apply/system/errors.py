"""Failures of apply, as messages for the person at the terminal."""

from __future__ import annotations


class ToolError(Exception):
    """A tool or a kernel setting could not be used: what was tried and what it answered."""


class UnreadableTableError(ToolError):
    """A table is there, but iptables cannot print it: svcc's rules may be in it unseen."""


class ApplyError(Exception):
    """Apply, diff or cleanup failed.

    ``restored`` tells whether the node is as it was before; the message says so too.
    """

    def __init__(self, message: str, *, restored: bool = True) -> None:
        self.restored = restored
        super().__init__(message)
