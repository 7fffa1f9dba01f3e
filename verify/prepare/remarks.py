"""What iptables-save says of rules that it does not show.

Source: iptables 1.8, iptables/xtables-save.c and iptables/nft.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from svcc.verify.prepare.loaded import Remark

_LEGACY = re.compile(
    r"^# Warning: (ip6?tables)-legacy tables present, use (\S+) to see them", re.MULTILINE
)
_INCOMPATIBLE = re.compile(r"^# Table [`'](\w+)' is incompatible, use 'nft' tool", re.MULTILINE)


def remarks_of(text: str) -> tuple[Remark, ...]:
    """The remarks of a text, in its order."""
    return tuple(sorted(_remarks(text), key=lambda remark: remark.line))


def _remarks(text: str) -> Iterator[Remark]:
    # Plain search first: nearly no text has any, and patterns take ten times as long.
    if "-legacy tables present" in text:
        for found in _LEGACY.finditer(text):
            yield Remark(_line(text, found), _said(text, found), found[2])
    if "is incompatible, use" in text:
        for found in _INCOMPATIBLE.finditer(text):
            yield Remark(_line(text, found), _said(text, found), "nft list ruleset", found[1])


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def _said(text: str, found: re.Match[str]) -> str:
    end = text.find("\n", found.start())
    return text[found.start() : end if end >= 0 else len(text)].strip("# \r")
