"""The part of a script that some goals depend on."""

from __future__ import annotations

from collections.abc import Iterable

from svcc.verify.smt.script import Assertion, Command, Script
from svcc.verify.smt.term import Term


def cone(script: Script, goals: Iterable[Term]) -> Script:
    """The commands that define what the goals name, and what is asserted of that alone.

    What is left out can only make fewer goals hold: if none holds here, none does at all.
    """
    needed: set[str] = set()
    pending = [symbol for goal in goals for symbol in goal.free_names]
    while pending:
        symbol = pending.pop()
        if symbol not in needed:
            needed.add(symbol)
            definition = script.definitions.get(symbol)
            if definition is not None:
                pending += definition.meaning.free_names

    def belongs(command: Command) -> bool:
        if isinstance(command, Assertion):
            return needed.issuperset(command.term.free_names)
        return command.constant.symbol in needed

    return script.only(belongs)
