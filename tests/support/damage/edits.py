"""Changes of rule texts by name, and the edits that they are made of.

A change that changes nothing is an error: what it was made for is no longer there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Edit = Callable[[str], str]
Lines = list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """A named change: of the rules that belong to ``base``, in ``file`` of a bundle."""

    name: str
    base: str
    edit: Edit
    file: str = ""

    def of(self, text: str) -> str:
        """The changed text."""
        changed = self.edit(text)
        assert changed != text, f"{self.name} changes nothing"
        return changed


def sub(pattern: str, new: str, count: int = 1) -> Edit:
    """Substitute the first ``count`` matches (0: all); ``^`` and ``$`` are ends of lines."""
    return lambda text: re.sub(pattern, new, text, count=count, flags=re.MULTILINE)


def drop(pattern: str, count: int = 1) -> Edit:
    """Leave out the first ``count`` matching lines (0: all)."""

    def edit(lines: Lines) -> Lines:
        matching = [index for index, line in enumerate(lines) if re.search(pattern, line)]
        assert matching, f"no line matches {pattern!r}"
        gone = set(matching[: count or None])
        return [line for index, line in enumerate(lines) if index not in gone]

    return _of_lines(edit)


def replace(pattern: str, old: str, new: str) -> Edit:
    """Substitute inside the first matching line."""

    def edit(lines: Lines) -> Lines:
        index = _first(lines, pattern)
        changed = re.sub(old, new, lines[index], count=1)
        assert changed != lines[index], f"{old!r} is not in {lines[index]!r}"
        return [*lines[:index], changed, *lines[index + 1 :]]

    return _of_lines(edit)


def before(pattern: str, line: str) -> Edit:
    """Insert a line before the first matching one."""

    def edit(lines: Lines) -> Lines:
        index = _first(lines, pattern)
        return [*lines[:index], line, *lines[index:]]

    return _of_lines(edit)


def swap(first: str, second: str) -> Edit:
    """Exchange the first lines that match each pattern."""

    def edit(lines: Lines) -> Lines:
        one, other = _first(lines, first), _first(lines, second)
        result = list(lines)
        result[one], result[other] = result[other], result[one]
        return result

    return _of_lines(edit)


def everywhere(old: str, new: str) -> Edit:
    """Substitute every match."""
    return sub(old, new, 0)


def add(line: str) -> Edit:
    """A line at the end."""
    return lambda text: f"{text}{line}\n"


def _first(lines: Lines, pattern: str) -> int:
    for index, line in enumerate(lines):
        if re.search(pattern, line):
            return index
    raise AssertionError(f"no line matches {pattern!r}")


def _of_lines(edit: Callable[[Lines], Lines]) -> Edit:
    return lambda text: "".join(f"{line}\n" for line in edit(text.splitlines()))


# -- any rule ------------------------------------------------------------------------------

RULE_CHANGES = (
    (r"(\d+) -j DNAT", r"\1 -j RETURN"),
    (r":(\d+)$", r":1\1"),
    (r"! -s", "-s"),
    (r"-s (\S+)/\d+", r"-s \1/3"),
    (r"-d (\S+)/\d+", r"-d \1/9"),
    (r"--dport (\d+)", r"--dport 1:\1"),
    (r"! --mark", "--mark"),
    (r"-p tcp (.*)-m tcp", r"-p udp \1-m udp"),
    (r"-j (REJECT.*|DROP)", "-j ACCEPT"),
    (r"-g (\S+)", r"-j \1"),
    (r"--set-xmark \S+", "--set-xmark 0x0/0x4000"),
    (r"-j MARK --set-xmark \S+", "-j ACCEPT"),
)
"""Substitutions that make some rule or other a wrong one."""

HOST_DROPS = (
    (r"-A FORWARD -j", "-A FORWARD -s 203.0.113.0/24 -j DROP\n-A FORWARD -j"),
    (r"-A FORWARD -j", "-A FORWARD -d 10.244.2.0/23 -j DROP\n-A FORWARD -j"),
    (r"-A INPUT -j", "-A INPUT -p tcp -j DROP\n-A INPUT -j"),
)
"""Substitutions that put a drop of the host's own in front of a jump to the service rules."""


def with_a_rule_changed(
    text: str, number: int, how: str, change: tuple[str, str] = ("", "")
) -> str:
    """The text with one rule changed, whichever ``number`` comes to.

    Args:
        text: a restore script.
        number: chooses among the rules that can be changed so.
        how: ``drop`` it, have it ``twice``, ``swap`` it with the next, or ``change`` it.
        change: the substitution.
    """
    lines = text.splitlines()
    rules = [at for at, line in enumerate(lines) if line.startswith("-A")]
    if how == "change":
        rules = [at for at in rules if re.search(change[0], lines[at])] or rules
    if not rules:
        return text
    at = rules[number % len(rules)]
    match how:
        case "drop":
            del lines[at]
        case "twice":
            lines.insert(at, lines[at])
        case "swap":
            if lines[at + 1].startswith("-A"):
                lines[at], lines[at + 1] = lines[at + 1], lines[at]
        case _:
            lines[at] = re.sub(change[0], change[1], lines[at])
    return "\n".join(lines) + "\n"
