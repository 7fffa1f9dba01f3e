"""The addresses of the dummy device: as ``ip -batch`` adds them, or as ip(8) shows them."""

from __future__ import annotations

import re
from collections.abc import Collection

from svcc.grammar.address import Family, parse_address
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.ipvs.state import DEVICE

DUMMY_DEVICES = (DEVICE, "kube-ipvs0")

_BATCH = re.compile(r"(link|address|addr) ")
_DEVICE = re.compile(r"\d+: ([^\s:@]+)(?:@\S+)?:? ")
_SHOWN = re.compile(r"(?:\d+: (\S+))?\s+inet6? (\S+)")


def is_address_text(first: str) -> bool:
    """Whether a text begins as one of the two does."""
    return bool(_BATCH.match(first) or _DEVICE.match(first))


def parse(
    text: str, *, source: str, devices: Collection[str] = DUMMY_DEVICES
) -> dict[Family, dict[int, int]]:
    """The addresses of the dummy devices by family, sorted, each with its line (1-based).

    Of what ``ip address show`` prints (``-o`` too), link-local ones and other devices' are left
    out, by default all but those of ipvs mode.

    Raises:
        InputError: a line is neither of the one kind nor of the other.
    """
    first = next((line for line in text.splitlines() if line.strip() and line[0] != "#"), "")
    lines = _shown(text, devices) if _DEVICE.match(first) else _batch(text)
    found: dict[Family, dict[int, int]] = {family: {} for family in Family}
    problems = []
    for number, written in lines:
        try:
            address = parse_address(written.partition("/")[0])
        except ValueError as error:
            problems.append(Problem(Position(source, number, 1), str(error)))
            continue
        found[address.family].setdefault(address.value, number)
    if problems:
        raise InputError(problems)
    return {family: dict(sorted(values.items())) for family, values in found.items()}


def _batch(text: str) -> list[tuple[int, str]]:
    """The addresses that are added, with their lines; of another line its first word."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#") or words[0] == "link":
            continue
        is_added = words[0] in ("address", "addr") and words[1:2] == ["add"] and len(words) > 2
        found.append((number, words[2] if is_added else line.strip()))
    return found


def _shown(text: str, devices: Collection[str]) -> list[tuple[int, str]]:
    found = []
    device = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _DEVICE.match(line):
            device = header[1]
        shown = _SHOWN.match(line)
        if shown and (shown[1] or device) in devices and " scope link" not in line:
            found.append((number, shown[2]))
    return found
