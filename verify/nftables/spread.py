"""Choices that are no chance of their own: ``numgen inc`` and ``jhash``.

``numgen inc`` counts up with each packet that comes to the rule (nft_numgen.c), so that for one
packet each number is possible, and in the long run each comes as often. ``jhash`` gives packets
with the same fields the same number (nft_hash.c); with the source port among them each connection
has its own, and over all source ports each number comes as often. Both are modelled as chances.

Two such choices on one way would not be: two counters that the same packets come to go on in step,
and two hashes of the same fields go together. So no packet may meet more than one of them.
"""

from __future__ import annotations

from functools import cached_property

from svcc.grammar.nftables.program import (
    Chain,
    Concatenation,
    Element,
    Expression,
    Field,
    Jhash,
    Jump,
    MapLookup,
    Nat,
    Numgen,
    Rule,
    Ruleset,
    Statement,
    Table,
    Verdict,
    VerdictMap,
)
from svcc.grammar.nftables.walks import goals, parts_of
from svcc.verify.nftables.atoms import Atoms, protocol
from svcc.verify.nftables.fields import PROTOCOLS, OutsideError

_HASHED = frozenset(
    {"meta l4proto", "ip protocol", "ip6 nexthdr", "ip saddr", "ip daddr", "ip6 saddr", "ip6 daddr"}
)
_TRANSLATING = frozenset({"prerouting", "output"})


class Spread:
    """The choices of one rule set."""

    def __init__(self, ruleset: Ruleset) -> None:
        self._ruleset = ruleset
        self._most: dict[tuple[object, str], int] = {}

    @cached_property
    def is_one_on_each_way(self) -> bool:
        """Whether every packet meets one such choice at most, and that where connections are
        translated."""
        on_hook = dict.fromkeys(_TRANSLATING, 0)
        for table in self._ruleset.tables.values():
            if "dormant" in table.flags:
                continue
            for chain in table.chains.values():
                base = chain.base
                if base is None or not (most := self._of_chain(table, chain)):
                    continue
                if base.type != "nat" or base.hook not in _TRANSLATING:
                    return False
                on_hook[base.hook] += most
        return max(on_hook.values()) <= 1

    def _of_chain(self, table: Table, chain: Chain) -> int:
        """The most choices on a way through a chain and what it leads to."""
        key = (table.key, chain.name)
        known = self._most.get(key)
        if known is not None:
            return known
        # Where chains lead back to themselves, the kernel takes none of them.
        self._most[key] = 0
        before = most = 0
        for rule in chain.rules:
            own = _choices_of(rule)
            ways = [(goal, table.chains.get(goal.chain)) for goal in goals(table, rule)]
            behind = [
                (isinstance(goal, Jump), self._of_chain(table, to))
                for goal, to in ways
                if to is not None
            ]
            most = max([most, before + own, *(before + own + count for _, count in behind)])
            if not own:
                # A choice that is modelled ends the way.
                before += max((count for is_jump, count in behind if is_jump), default=0)
        self._most[key] = max(most, before)
        return self._most[key]


def is_own_chance(choice: Numgen | Jhash) -> bool:
    """Whether a choice has nothing to do with any other, whatever the packet is."""
    return isinstance(choice, Numgen) and choice.kind == "random"


def implied(choice: Numgen | Jhash) -> tuple[Atoms, tuple[str, ...]]:
    """What a packet must be so that the choice is made, and the fields that it looks at.

    Raises:
        OutsideError: the choice is the same for all connections from one address, or by fields
            that the model does not know.
    """
    if isinstance(choice, Numgen):
        return (), ()
    of = choice.expression
    parts = of.parts if isinstance(of, Concatenation) else (of,)
    names = [part.name for part in parts if isinstance(part, Field)]
    atoms: Atoms = ()
    for name in names:
        header, _, rest = name.partition(" ")
        if rest in ("sport", "dport"):
            if header != "th":
                atoms += (protocol(PROTOCOLS[header]),)
        elif name not in _HASHED:
            raise OutsideError
    if len(names) != len(parts) or not any(name.endswith(" sport") for name in names):
        raise OutsideError
    return atoms, tuple(names)


def ends(element: Element) -> bool:
    """Whether a packet that a choice has led to an element comes to no rule behind it."""
    data = element.data
    if isinstance(data, Verdict):
        return data.name != "continue"
    return not isinstance(data, Jump)


def _choices_of(rule: Rule) -> int:
    return sum(
        isinstance(part, Numgen | Jhash) and not is_own_chance(part)
        for statement in rule.statements
        for key in _keys(statement)
        for part in parts_of(key)
    )


def _keys(statement: Statement) -> list[Expression]:
    match statement:
        case VerdictMap():
            return [statement.key]
        case Nat(kind="dnat", address=MapLookup(key)):
            return [key]
        case _:
            return []
