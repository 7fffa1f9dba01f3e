"""The chains of one table under construction."""

from __future__ import annotations

from typing import NamedTuple

from svcc.compiler.lower.shared.matches import protocol_match
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import (
    AddressMatch,
    ChainDeclaration,
    Comment,
    Goto,
    Jump,
    Match,
    Rule,
    Table,
    Target,
)


class Branches(NamedTuple):
    """How many branches a node has in the tree of addresses, of ports and of backends."""

    addresses: int
    ports: int
    backends: int


class Chains:
    """Rules per chain; base chains first, then svcc's own in the order of their names."""

    def __init__(
        self, table: str, family: Family, branches: Branches, *, comments: bool = True
    ) -> None:
        self.table = table
        self.family = family
        self.branches = branches
        self._comments = comments
        self._own: dict[str, list[Rule]] = {}
        self._base: list[Rule] = []
        self.full_mask = (1 << family.bits) - 1

    def declare(self, chain: str) -> None:
        """Make sure that a chain exists, even without rules."""
        self._own.setdefault(chain, [])

    def __contains__(self, chain: str) -> bool:
        return chain in self._own

    def base(self, rule: Rule) -> None:
        """Add a rule to a base chain."""
        self._base.append(rule)

    def add(
        self,
        chain: str,
        target: Target,
        *,
        source: AddressMatch | None = None,
        destination: AddressMatch | None = None,
        protocol: int | None = None,
        matches: tuple[Match, ...] = (),
        comment: str = "",
    ) -> None:
        """Append a rule to one of svcc's chains."""
        if comment and self._comments:
            matches = (Comment(comment), *matches)
        rule = Rule(
            chain=chain,
            source=source,
            destination=destination,
            protocol=None if protocol is None else protocol_match(protocol),
            matches=matches,
            target=target,
        )
        self.append(rule)

    def append(self, rule: Rule) -> None:
        """Append a finished rule to one of svcc's chains."""
        self._own.setdefault(rule.chain, []).append(rule)

    def host(self, address: int) -> AddressMatch:
        """A match of one address."""
        return AddressMatch(address, self.full_mask)

    def finish(self) -> Table:
        """The table as a restore script."""
        table = Table(self.table)
        for name in sorted(self._own):
            table.chains[name] = ChainDeclaration(name)
        table.commands.extend(self._base)
        for name in sorted(self._own):
            table.commands.extend(self._own[name])
        return table

    def depth(self) -> int:
        """The longest way of jumps and gotos from a base chain, in chains."""
        below: dict[str, int] = {}

        def of(chain: str) -> int:
            if chain not in below:
                below[chain] = 1 + max(
                    (
                        of(rule.target.chain)
                        for rule in self._own[chain]
                        if isinstance(rule.target, Jump | Goto)
                    ),
                    default=0,
                )
            return below[chain]

        return max(
            (of(r.target.chain) for r in self._base if isinstance(r.target, Jump | Goto)),
            default=0,
        )
