"""What decides how the rest of a rule can be put behind something that it does."""

from __future__ import annotations

from svcc.grammar.iptables import program
from svcc.grammar.nftables.program import (
    Counter,
    Goto,
    Jump,
    Log,
    MapLookup,
    Notrack,
    SetField,
    Statement,
    Verdict,
)
from svcc.verify.nftables.atoms import Atom, Atoms
from svcc.verify.nftables.choices import Data

_UNSTABLE = (program.MarkMatch, program.RandomMatch, program.RecentMatch, program.OtherMatch)
"""What may be answered otherwise when it is asked again behind something that was done."""


def asks_lists(atoms: Atoms) -> bool:
    """Whether a recent list is asked."""
    return any(
        isinstance(atom.asked, program.RecentMatch) and atom.asked.operation != "set"
        for atom in atoms
    )


def is_unstable(atom: Atom) -> bool:
    """Whether a condition may be answered otherwise behind something that was done."""
    return isinstance(atom.asked, _UNSTABLE)


def goes_on(data: Data) -> bool:
    """Whether the chain goes on behind a verdict."""
    return isinstance(data, Jump) or data == Verdict("continue")


def leaves_by(data: Data) -> bool:
    """Whether a verdict leaves the chain by the way that it was come to."""
    return isinstance(data, Goto) or data == Verdict("return")


def is_certain(statement: Statement) -> bool:
    """Whether a statement holds for every packet."""
    return isinstance(statement, Counter | Log | Notrack | Verdict | Goto) or (
        isinstance(statement, SetField) and not isinstance(statement.value, MapLookup)
    )
