"""Rules with the name of what they were read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from svcc.grammar.iptables.ruleset import RuleSet

Part = Literal["tables", "virtual servers", "sets"]
EVERYTHING: frozenset[Part] = frozenset({"tables", "virtual servers", "sets"})


@dataclass(frozen=True, slots=True)
class Remark:
    """What iptables-save says in a text of rules that the text does not show.

    ``table``: of this one; without it of all that ``command`` prints. ``line`` is 1-based.
    """

    line: int
    text: str
    command: str
    table: str = ""


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """One family's rules, and the name of the text that they were read from.

    ``whole``: the parts of which nothing was left out, so that what is not in ``rules`` is not in
    the kernel either. ``other_order``: the rules with tables the other way round that stand at one
    priority, where nobody can say which of them was registered first.
    """

    rules: RuleSet
    source: str
    whole: frozenset[Part] = frozenset()
    remarks: tuple[Remark, ...] = ()
    other_order: RuleSet | None = None
