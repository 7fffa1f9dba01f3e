"""The part of a text that some goals depend on."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = re.compile(r"[A-Za-z_]\w*")
_DECLARATION = re.compile(r"\(declare-const (\w+) ")
_DEFINITION = re.compile(r"\(assert \(= (t\d+) ")


def cone(text: str, goals: Sequence[str]) -> str:
    """The lines that define what the goals name, and what is asserted of that alone.

    What is left out can only make fewer goals hold: if none holds here, none does at all.
    """
    declarations: dict[str, str] = {}
    definitions: dict[str, str] = {}
    assertions = []
    for line in text.split("\n"):
        if found := _DECLARATION.match(line):
            declarations[found[1]] = line
        elif (found := _DEFINITION.match(line)) and found[1] not in definitions:
            definitions[found[1]] = line
        else:
            assertions.append(line)

    def named(term: str) -> list[str]:
        return [name for name in _NAME.findall(term) if name in declarations]

    needed: set[str] = set()
    pending = [name for goal in goals for name in named(goal)]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += named(definitions.get(name, ""))
    return "\n".join(
        [
            *(line for name, line in declarations.items() if name in needed),
            *(line for name, line in definitions.items() if name in needed),
            *(line for line in assertions if needed.issuperset(named(line))),
        ]
    )
