"""Where a missing rule is likeliest to have stood, among places that are as good for the packet."""

from __future__ import annotations

from collections.abc import Sequence

from svcc.grammar.iptables.program import (
    Goto,
    Jump,
    Masquerade,
    RandomMatch,
    Reject,
    Rule,
    SetMark,
    Verdict,
)
from svcc.verify.cause.changes import Bench, ChainName, Change
from svcc.verify.cause.operands import operands

USUAL: dict[tuple[str, str], tuple[str, ...]] = {
    ("cluster IP", ""): ("KUBE-SERVICES", "SVCC-REFUSE"),
    ("node port", ""): ("SVCC-REFUSE-NP", "KUBE-EXTERNAL-SERVICES"),
    ("external IP", ""): ("KUBE-EXTERNAL-SERVICES", "SVCC-REFUSE"),
    ("loadbalancer IP", ""): ("KUBE-EXTERNAL-SERVICES", "SVCC-REFUSE"),
    ("source ranges", ""): ("KUBE-PROXY-FIREWALL", "SVCC-REFUSE"),
    ("", "DROP"): ("KUBE-FIREWALL", "SVCC-INPUT"),
    ("", "REJECT"): ("SVCC-REFUSE",),
    ("", "ACCEPT"): ("KUBE-NODEPORTS", "SVCC-INPUT"),
}
"""Where kube-proxy and svcc refuse packets to frontends of each kind. A name decides nothing here
but which of several chains is named, all of which mend the packet."""


class Likeness:
    """Compares rules that may be missing with those that are there."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._of_family: dict[tuple[str, str], set[object]] = {}
        leads: dict[ChainName, list[tuple[ChainName, bool]]] = {}
        for table, chains in bench.rules.tables.items():
            for name, chain in chains.items():
                kinds = self._of_family.setdefault((table, _family(name)), set())
                kinds.update(_kind(rule) for rule in chain.rules)
                for rule in chain.rules:
                    if isinstance(rule.target, Jump | Goto):
                        place = ChainName(table, rule.target.chain)
                        above = (ChainName(table, name), operands(rule) > 1)
                        leads.setdefault(place, []).append(above)
        self._leads = leads
        self._own: dict[ChainName, bool] = {}

    def is_own(self, place: ChainName) -> bool:
        """Whether a chain is for some frontends only: every way to it leads through a rule that
        chooses by more than one thing.
        """
        if place not in self._own:
            above = self._leads.get(place, [])
            self._own[place] = False
            self._own[place] = bool(above) and all(
                chooses or self.is_own(other) for other, chooses in above
            )
        return self._own[place]

    def of(self, change: Change, kind: str, order: Sequence[ChainName]) -> tuple[int, ...]:
        """The more, the likelier: a usual chain, like rules in the chain, like rules in chains of
        its family, a chain of the frontend's own, one that has nothing else to say, one that is
        not a base chain. ``kind`` is that of the frontend, ``order`` that of the chains on the
        packet's way.
        """
        place = change.place
        if place is None:
            return (change.like,)
        before = self._bench.chain(place)
        known = {id(rule) for rule in before}
        added = next((rule for rule in change.rules if id(rule) not in known), None)
        if added is None or len(change.rules) <= len(before):
            return self._of_rule(place, change)
        kind_of_rule = _kind(added)
        like = any(_kind(rule) == kind_of_rule for rule in before[:1000])
        refuses = isinstance(added.target, Reject | Verdict)
        verdict = added.target.name if isinstance(added.target, Verdict) else "REJECT"
        chains = USUAL.get((kind, verdict if not kind else ""), ())
        usual = refuses and place.table == "filter" and place.chain in chains
        rank = -chains.index(place.chain) if usual else 0
        marks = 0
        at = next(n for n, rule in enumerate(change.rules) if rule is added)
        # A mark is given before the choices, not between them.
        chosen = any(isinstance(m, RandomMatch) for rule in before[:at] for m in rule.matches)
        is_mark = place.table == "nat" and self._marks(place.table, added)
        if is_mark and chosen:
            return ()
        if is_mark and self.is_own(place):
            marks = 1 + len(order) - order.index(place)
        user = self._bench.rules.tables[place.table][place.chain].policy is None
        return (
            int(usual),
            rank,
            marks,
            int(like),
            int(kind_of_rule in self._of_family[place.table, _family(place.chain)]),
            int(self.is_own(place)),
            int(user and not before),
            int(user),
        )

    def _marks(self, table: str, rule: Rule) -> bool:
        """Whether a rule has to do with the source alone."""
        target = rule.target
        if isinstance(target, Jump | Goto):
            rules = self._bench.chain(ChainName(table, target.chain))
            return all(isinstance(each.target, SetMark) for each in rules)
        return isinstance(target, SetMark | Masquerade)

    def _of_rule(self, place: ChainName, change: Change) -> tuple[int, ...]:
        """The likelier at fault is a rule in a chain of few packets, and one that chooses."""
        changed = {id(rule) for rule in change.rules}
        rules = self._bench.chain(place)
        rule = next((rule for rule in rules if id(rule) not in changed), None)
        asked = 0 if rule is None else min(operands(rule), 2)
        user = self._bench.rules.tables[place.table][place.chain].policy is None
        return int(self.is_own(place)), int(user or asked > 0), asked


def _family(chain: str) -> str:
    """What chains of one purpose share, where there are many: ``KUBE-SVC-``."""
    family = chain.rpartition("-")[0]
    return family if "-" in family else chain


def _kind(rule: Rule) -> object:
    """What rules of one purpose share: the chain, or the family of chains, or the target."""
    target = rule.target
    if isinstance(target, Jump | Goto):
        return "jump", _family(target.chain)
    if isinstance(target, SetMark):
        return "mark", target.value, target.mask
    return "target", getattr(target, "name", type(target).__name__)
