"""What ``iptables -S`` prints: all rules of a table (iptables(8)), but not the table's name.

The base chains tell which table it is: only nat has POSTROUTING without FORWARD, only mangle
both, only raw PREROUTING and OUTPUT alone. INPUT, FORWARD and OUTPUT are filter's; security has
the same, and is hardly ever used.
"""

from __future__ import annotations

import re

from svcc.grammar.errors import InputError, Position, Problem

_BEGINS = re.compile(r"(?:\s*(?:#.*)?\n)*-[PNA] [A-Za-z]")
_TABLE = re.compile(r"^\*", re.MULTILINE)
_NAT_TARGET = re.compile(r" -j (?:DNAT|SNAT|MASQUERADE|REDIRECT)\b")


def is_listing(text: str) -> bool:
    """Whether the text is such a listing: chains and rules without a table around them."""
    return _BEGINS.match(text.removeprefix("\ufeff")) is not None and not _TABLE.search(text)


def tables_of(text: str, source: str) -> dict[int, str]:
    """The table that begins at each line; listings of several tables may follow each other.

    Raises:
        InputError: the base chains do not tell, or two listings are of one table.
    """
    starts: list[int] = []
    chains: list[set[str]] = []
    lines = text.split("\n")
    was_policy = False
    for number, line in enumerate(lines, 1):
        words = line.removeprefix("\ufeff").split()
        if not words or words[0].startswith("#"):
            continue
        is_policy = words[0] == "-P" and len(words) > 1
        if not starts or (is_policy and not was_policy):
            starts.append(number)
            chains.append(set())
        if is_policy:
            chains[-1].add(words[1])
        was_policy = is_policy
    found: dict[int, str] = {}
    problems = []
    for index, (start, names) in enumerate(zip(starts, chains, strict=True)):
        end = starts[index + 1] - 1 if index + 1 < len(starts) else len(lines)
        table = _table(names, "\n".join(lines[start - 1 : end]))
        if table is None:
            message = (
                "this is no whole table as iptables -S prints it; give what iptables-save prints"
            )
            problems.append(Problem(Position(source, start, 1), message))
        elif table in found.values():
            message = f"table {table} for the second time; give what iptables-save prints"
            problems.append(Problem(Position(source, start, 1), message))
        else:
            found[start] = table
    if problems:
        raise InputError(problems)
    return found


def _table(base_chains: set[str], text: str) -> str | None:
    if "FORWARD" in base_chains:
        return "mangle" if "PREROUTING" in base_chains else "filter"
    if "POSTROUTING" in base_chains or (base_chains and _NAT_TARGET.search(text)):
        return "nat"
    return "raw" if base_chains == {"PREROUTING", "OUTPUT"} else None
