"""What is wrong with a table as a whole: what is named must be there, and be of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from svcc.grammar.nftables.datatypes import GUESSED, VERDICT
from svcc.grammar.nftables.program import (
    Table,
)
from svcc.grammar.nftables.reading.expressions import Datatypes
from svcc.grammar.nftables.reading.parts import SetUse
from svcc.grammar.nftables.reading.rules import Rules

_Kinds = Mapping[str, tuple[Datatypes, Datatypes | None]]


class Checker:
    """Checks one table; ``rules`` knows what its rules and elements name."""

    def __init__(self, table: Table, rules: Rules, types: _Kinds) -> None:
        self._table = table
        self._rules = rules
        self._types = types

    def problems(self) -> Iterator[tuple[int, str]]:
        """Offset and message of each."""
        yield from self._chains()
        yield from self._sets()

    def _chains(self) -> Iterator[tuple[int, str]]:
        chains = self._table.chains
        for name, offset in self._rules.jumps.items():
            chain = chains.get(name)
            if chain is None:
                yield offset, f"no chain {name} in this table; declare it, or correct the name"
            elif chain.base is not None:
                yield offset, f"chain {name} is hooked in; only others can be jumped to"

    def _sets(self) -> Iterator[tuple[int, str]]:
        for (name, use), offset in self._rules.uses.items():
            known = self._types.get(name)
            if known is None:
                yield offset, f"no set or map {name} in this table; declare it, or correct the name"
                continue
            message = _misuse(name, use, *known)
            if message:
                yield offset, message


def _misuse(name: str, use: SetUse, keys: Datatypes, data: Datatypes | None) -> str | None:
    if use.data is None and data is not None:
        return f"{name} is a map; use it with map or vmap"
    if use.data is not None and data is None:
        return f"{name} is a set; a map is wanted here"
    if not _fits(use.keys, keys):
        return f"{name} has keys of {_shown(keys)}, this has {_shown(use.keys)}"
    if use.data and data and use.data == (VERDICT,) and data != (VERDICT,):
        return f"{name} has {_shown(data)}, no verdicts; use it with map"
    if use.data and data == (VERDICT,) and use.data != (VERDICT,):
        return f"{name} has verdicts; use it with vmap"
    return None


def _fits(one: Datatypes, other: Datatypes) -> bool:
    return len(one) == len(other) and all(
        GUESSED in (a, b) or a.name == b.name for a, b in zip(one, other, strict=True)
    )


def _shown(types: Datatypes) -> str:
    return " . ".join(datatype.name for datatype in types)
