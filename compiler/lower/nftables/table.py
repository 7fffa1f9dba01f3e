"""The table that is being written: each chain, set and map once, under its name."""

from __future__ import annotations

from svcc.grammar.nftables.program import (
    MAX_COMMENT,
    AnyVerdict,
    BaseChain,
    Chain,
    Expression,
    Rule,
    Set,
    Statement,
    Table,
    TableFamily,
    Types,
)

NAME = "svcc"
_TO_VERDICTS = Types(("verdict",))


class TableWriter:
    """Writes svcc's table of one family; ``comments`` False leaves comments out."""

    def __init__(self, family: TableFamily, *, comments: bool, table: Table | None = None) -> None:
        self.table = Table(family, NAME) if table is None else table
        self._comments = comments

    def comment(self, text: str) -> str | None:
        """A comment no longer than nft takes it, if any is wanted."""
        return text.encode()[:MAX_COMMENT].decode(errors="ignore") if self._comments else None

    def base(self, name: str, base: BaseChain) -> None:
        """Declare a base chain."""
        self.table.chains[name] = Chain(name, base)

    def chain(self, name: str, *rules: tuple[Statement, ...], comment: str | None = None) -> str:
        """A chain of these rules, unless it is there; its name."""
        if name not in self.table.chains:
            made = Chain(name, None, [Rule(rule) for rule in rules], comment)
            self.table.chains[name] = made
        return name

    def rule(self, chain: str, *statements: Statement) -> None:
        """Add a rule to a chain."""
        self.table.chains[chain].rules.append(Rule(statements))

    def collection(
        self,
        name: str,
        key: Types | Expression,
        data: Types | Expression | None = None,
        flags: frozenset[str] = frozenset(),
    ) -> Set:
        """The set of this name, or map if there is ``data``; made if it is not there."""
        found = self.table.sets.get(name)
        if found is None:
            found = self.table.sets[name] = Set(name=name, key=key, data=data, flags=flags)
        return found

    def verdict(
        self,
        name: str,
        types: Types,
        key: Expression,
        verdict: AnyVerdict,
        comment: str | None = None,
    ) -> None:
        """Add an element to a map of verdicts."""
        self.collection(name, types, _TO_VERDICTS).add(key, verdict, comment)

    def has(self, name: str) -> bool:
        """Whether there is a set or map of this name."""
        return name in self.table.sets
