"""What is wrong with a table as a whole: what is named must be there, and be of its kind, no packet
may be led round or too deep, and none to what the kernel does not take where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from svcc.grammar.nftables.datatypes import GUESSED, VERDICT
from svcc.grammar.nftables.hooks import Bound, bounds_of
from svcc.grammar.nftables.program import (
    AnonymousSet,
    BaseChain,
    Chain,
    Element,
    Goto,
    Jump,
    Rule,
    SetReference,
    Table,
    VerdictMap,
)
from svcc.grammar.nftables.reading.expressions import Datatypes
from svcc.grammar.nftables.reading.parts import SetUse
from svcc.grammar.nftables.reading.rules import Rules

_MOST_CHAINS = 16
"""Chains on one way, the base chain's among them (NFT_JUMP_STACK_SIZE); a goto counts as a jump
does (net/netfilter/nf_tables_api.c, nft_chain_validate)."""

_Kinds = Mapping[str, tuple[Datatypes, Datatypes | None]]


class Checker:
    """Checks one table; ``rules`` knows what its rules and elements name."""

    def __init__(self, table: Table, rules: Rules, types: _Kinds) -> None:
        self._table = table
        self._rules = rules
        self._types = types
        self._goals: dict[str, tuple[str, ...]] = {}

    def problems(self) -> Iterator[tuple[int, str]]:
        """Offset and message of each."""
        found = [*self._chains(), *self._sets()]
        yield from found
        if not found:
            yield from self._ways()

    def _chains(self) -> Iterator[tuple[int, str]]:
        chains = self._table.chains
        for name, offset in self._rules.jumps.items():
            chain = chains.get(name)
            if chain is None:
                yield offset, f"no chain {name} in this table; declare it, or correct the name"
            elif chain.base is not None:
                yield offset, f"chain {name} is hooked in; only others can be jumped to"

    def _ways(self) -> Iterator[tuple[int, str]]:
        """Ways from base chains that never end, or are longer than the kernel allows."""
        leads: dict[str, tuple[str, ...]] = {}
        deepest: dict[str, int] = {}
        within: dict[str, frozenset[Bound]] = {}
        for chain in self._table.chains.values():
            if chain.base is None:
                continue
            # Depth first, without recursion: a way may be as long as there are chains.
            way: list[tuple[str, Iterator[str]]] = []
            pending = chain.name
            while True:
                if pending:
                    if pending not in leads:
                        leads[pending] = self._leads_to(self._table.chains[pending])
                    way.append((pending, iter(leads[pending])))
                name, goals = way[-1]
                pending = next((goal for goal in goals if goal not in deepest), "")
                if pending:
                    if any(pending == before for before, _ in way):
                        offset = self._rules.jumps.get(pending, 0)
                        yield offset, f"chain {pending} leads back to itself; the kernel refuses it"
                        return
                    continue
                way.pop()
                deepest[name] = 1 + max((deepest[goal] for goal in leads[name]), default=0)
                own = self._bounds(self._table.chains[name])
                within[name] = own.union(*(within[goal] for goal in leads[name]))
                if not way:
                    break
            yield from self._misplaced(chain, chain.base, leads, within)
            if deepest[chain.name] > _MOST_CHAINS:
                goal = max(leads[chain.name], key=lambda goal: deepest[goal])
                offset = self._rules.jumps.get(goal, 0)
                message = f"{chain.name} leads through more than {_MOST_CHAINS - 1} chains"
                yield offset, f"{message}; the kernel refuses it"

    def _misplaced(
        self,
        chain: Chain,
        base: BaseChain,
        leads: Mapping[str, tuple[str, ...]],
        within: Mapping[str, frozenset[Bound]],
    ) -> Iterator[tuple[int, str]]:
        """What the kernel does not take where packets come from a base chain."""
        for bound in sorted(within[chain.name], key=lambda bound: bound.what):
            if bound.admits(base):
                continue
            name = chain.name
            while (rule := self._rule_with(bound, self._table.chains[name])) is None:
                name = next(goal for goal in leads[name] if bound in within[goal])
            there = f"chain {chain.name} (type {base.type}, hook {base.hook})"
            yield (
                self._rules.offset(rule, bound.what.split()[0]),
                f"the kernel refuses {bound.what} for packets from {there}; jump to it from "
                f"{bound.where} alone",
            )

    def _rule_with(self, bound: Bound, chain: Chain) -> Rule | None:
        family = self._table.family
        return next(
            (r for r in chain.rules for s in r.statements if bound in bounds_of(s, family)), None
        )

    def _bounds(self, chain: Chain) -> frozenset[Bound]:
        family = self._table.family
        return frozenset(
            bound
            for rule in chain.rules
            for statement in rule.statements
            for bound in bounds_of(statement, family)
        )

    def _leads_to(self, chain: Chain) -> tuple[str, ...]:
        """The chains that the rules of a chain lead to."""
        found: dict[str, None] = {}
        for rule in chain.rules:
            for statement in rule.statements:
                match statement:
                    case Jump() | Goto():
                        found[statement.chain] = None
                    case VerdictMap(_, AnonymousSet(elements)):
                        found.update(dict.fromkeys(_goals(elements)))
                    case VerdictMap(_, SetReference() as reference):
                        found.update(dict.fromkeys(self._of_map(reference.name)))
                    case _:
                        pass
        return tuple(found)

    def _of_map(self, name: str) -> tuple[str, ...]:
        known = self._goals.get(name)
        if known is None:
            elements = self._table.sets[name].elements.values()
            known = self._goals[name] = tuple(dict.fromkeys(_goals(elements)))
        return known

    def _sets(self) -> Iterator[tuple[int, str]]:
        for (name, use), offset in self._rules.uses.items():
            known = self._types.get(name)
            if known is None:
                yield offset, f"no set or map {name} in this table; declare it, or correct the name"
                continue
            message = _misuse(name, use, *known)
            if message:
                yield offset, message


def _goals(elements: Iterable[Element]) -> Iterator[str]:
    for element in elements:
        data = element.data
        if isinstance(data, Jump | Goto):
            yield data.chain


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
