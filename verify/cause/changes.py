"""Changes of rules that are tried, and the rules that they are tried on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import Chain, RuleSet
from svcc.grammar.ipvs.state import Ipvs
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.rule_words import rule_words
from svcc.verify.simulator.packet import World


@dataclass(frozen=True, slots=True)
class ChainName:
    """A chain of a table."""

    table: str
    chain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one chain, or of what IPVS has; ``cause`` is what it blames.

    ``local``: addresses that are the node's own with it, or not any more. ``pins``: how much the
    change says of the one packet, where less is likelier to be what is wrong.
    """

    cause: Callable[[], Cause]
    place: ChainName | None = None
    chain: Chain | None = None
    ipvs: Ipvs | None = None
    local: dict[int, bool] = field(default_factory=dict)
    pins: int = 0
    like: int = 0
    """How much what is missing is like what stands where it should."""

    @property
    def rules(self) -> list[Rule]:
        """The changed chain's."""
        return [] if self.chain is None else self.chain.rules

    def world(self, world: World) -> World:
        """The world with the change made."""
        if not self.local:
            return world
        return replace(world, is_local=lambda a: self.local.get(a, world.is_local(a)))


class Bench:
    """A rule set that changes are made to, and undone; the one that it is made of stays as it is.

    A change takes no longer for a large rule set than for a small one.
    """

    def __init__(self, rules: RuleSet, source: str) -> None:
        self.rules = replace(rules, tables={t: dict(c) for t, c in rules.tables.items()})
        self.source = source
        self.family = rules.family

    def chain(self, place: ChainName) -> list[Rule]:
        """The rules of a chain; none if there is no such chain."""
        found = self.rules.tables.get(place.table, {}).get(place.chain)
        return [] if found is None else found.rules

    @contextmanager
    def changed(self, change: Change) -> Iterator[RuleSet]:
        """The rules with a change, until the end of the block."""
        ipvs, place = self.rules.ipvs, change.place
        if place is not None and change.chain is not None:
            chains = self.rules.tables[place.table]
            before = chains[place.chain]
            chains[place.chain] = change.chain
        if change.ipvs is not None:
            self.rules.ipvs = change.ipvs
        try:
            yield self.rules
        finally:
            self.rules.ipvs = ipvs
            if place is not None and change.chain is not None:
                chains[place.chain] = before

    def other(self, place: ChainName, rules: list[Rule]) -> Chain:
        """A chain with other rules."""
        chain = self.rules.tables[place.table][place.chain]
        return Chain(chain.name, chain.policy, rules)

    # -- what is blamed ----------------------------------------------------------------

    def at_rule(self, place: ChainName, rule: Rule, remedy: str, effect: str = "") -> Cause:
        """A rule that is at fault."""
        text = rule_words(rule, self.family)
        file = self.source if rule.line else ""
        return Cause(file, rule.line, place.table, place.chain, text, remedy=remedy, effect=effect)

    def missing(self, place: ChainName, position: int, what: str) -> Cause:
        """A rule that is missing in a chain, in front of the one at ``position``."""
        rules = self.chain(place)
        behind = rules[position - 1] if position else None
        line = next((r.line for r in reversed(rules[:position]) if r.line), 0)
        # Of a chain without rules in front, what follows is nearest.
        line = line or next((r.line for r in rules[position:] if r.line), 0)
        text = "" if behind is None else rule_words(behind, self.family)
        return Cause(self.source, line, place.table, place.chain, "", what, text)

    # -- changes of chains -------------------------------------------------------------

    def without(self, place: ChainName, position: int, effect: str = "") -> Change:
        """A rule left out."""
        rules = self.chain(place)
        rule = rules[position]
        return Change(
            cause=lambda: self.at_rule(place, rule, "right without it", effect),
            place=place,
            chain=self.other(place, [*rules[:position], *rules[position + 1 :]]),
        )

    def instead(
        self, place: ChainName, position: int, other: Rule, remedy: str, effect: str = ""
    ) -> Change:
        """Another rule in the place of one."""
        rules = self.chain(place)
        rule = rules[position]
        return Change(
            cause=lambda: self.at_rule(place, rule, remedy, effect),
            place=place,
            chain=self.other(place, [*rules[:position], other, *rules[position + 1 :]]),
        )

    def exchanged(self, place: ChainName, one: int, other: int) -> Change:
        """Two rules of a chain, each in the other's place."""
        rules = list(self.chain(place))
        first, second = rules[one], rules[other]
        rules[one], rules[other] = second, first
        text = rule_words(second, self.family)
        return Change(
            cause=lambda: self.at_rule(place, first, f"right behind {text}"),
            place=place,
            chain=self.other(place, rules),
        )

    def inserted(
        self, place: ChainName, position: int, rule: Rule, what: str, *, pins: int = 0
    ) -> Change:
        """One rule more."""
        rules = self.chain(place)
        return Change(
            cause=lambda: self.missing(place, position, what),
            place=place,
            chain=self.other(place, [*rules[:position], rule, *rules[position:]]),
            pins=pins,
        )
