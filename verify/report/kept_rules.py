"""What a region keeps of the rules, as values that can be printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from svcc.grammar.address import Family
from svcc.verify.confirm.rule_words import rule_words
from svcc.verify.report.condition_words import action_words, condition_words
from svcc.verify.slicing.cutter import ChainSlice, Cut
from svcc.verify.slicing.items import InlinedRun, Item
from svcc.verify.slicing.regions import Region

STAGES = {
    "rewriting": "as it comes",
    "balanced": "through IPVS",
    "onward": "if it leaves the node",
    "inward": "if it ends on the node",
    "resent": "once more, as IPVS sends it on",
}
"""Where on its way a packet meets rules, by the names of :class:`Cut`."""


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule that can touch packets of a region. ``line`` 0: it stands in no text.

    ``text`` is the rule as it was read, ``open`` what is left of its conditions, ``action`` what
    it does then; ``body`` are the rules of the chain that it leads to.
    """

    file: str
    line: int
    chain: str
    text: str
    open: tuple[str, ...]
    action: str
    body: tuple[KeptRule, ...]

    @property
    def place(self) -> str:
        """``FILE:LINE: ``, or nothing."""
        return f"{self.file}:{self.line}: " if self.line else ""


@dataclass(frozen=True, slots=True)
class KeptChain:
    """A base chain of a region; the virtual servers have no table, chain and policy."""

    stage: str
    table: str
    chain: str
    policy: str
    rules: tuple[KeptRule, ...]


@dataclass(frozen=True, slots=True)
class RegionSlice:
    """What a region keeps of every base chain; those that it keeps nothing of are left out."""

    region: Region
    chains: tuple[KeptChain, ...]


def region_slice(region: Region, cut: Cut, family: Family, source: str) -> RegionSlice:
    """A region's slices; ``source`` is what the rules were read from."""
    writer = _Writer(family, source)
    return RegionSlice(region, tuple(writer.chains(cut)))


def with_bodies(rules: Iterable[KeptRule]) -> Iterator[KeptRule]:
    """Rules and all in their bodies, in the order in which packets meet them."""
    for rule in rules:
        yield rule
        yield from with_bodies(rule.body)


class _Writer:
    def __init__(self, family: Family, source: str) -> None:
        self._family, self._source = family, source
        self._known: dict[int, tuple[Item, tuple[KeptRule, ...]]] = {}

    def chains(self, cut: Cut) -> Iterator[KeptChain]:
        yield from self._stage("rewriting", cut.rewriting)
        if cut.balanced:
            yield KeptChain("balanced", "", "", "", self._rules(cut.balanced))
        yield from self._stage("onward", cut.onward)
        yield from self._stage("inward", cut.inward)
        yield from self._stage("resent", cut.resent)

    def _stage(self, stage: str, slices: Sequence[ChainSlice]) -> Iterator[KeptChain]:
        for each in slices:
            policy = "DROP" if each.drops else "ACCEPT"
            yield KeptChain(stage, each.table, each.chain, policy, self._rules(each.items))

    def _rules(self, items: Iterable[Item]) -> tuple[KeptRule, ...]:
        return tuple(rule for item in items for rule in self._item(item))

    def _item(self, item: Item) -> tuple[KeptRule, ...]:
        """One rule; a run of rules is its rules."""
        known = self._known.get(id(item))
        if known is None:
            known = self._known[id(item)] = (item, self._kept(item))
        return known[1]

    def _kept(self, item: Item) -> tuple[KeptRule, ...]:
        if isinstance(item.action, InlinedRun):
            return self._rules(item.body)
        rule = item.record.rule
        virtual = item.record.table == "ipvs"
        action = action_words(item, self._family)
        return (
            KeptRule(
                "ipvsadm" if virtual else self._source,
                rule.line,
                rule.chain,
                action if virtual else rule_words(rule, self._family),
                tuple(condition_words(each, self._family) for each in item.conditions),
                action,
                self._rules(item.body),
            ),
        )
