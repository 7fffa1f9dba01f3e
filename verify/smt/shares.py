"""Shares of the backends, as terms over exact rationals.

Whatever the packet, the walk through the rewriting hooks is a sequence of weights: each rule
takes its part of what reaches it. Each step is bound to a fresh real variable, or the terms
would double with every rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from math import prod
from typing import assert_never

from svcc.grammar.iptables.program import PROBABILITY_ONE
from svcc.verify.model.actions import (
    Accept,
    Continue,
    Drop,
    Excused,
    Masquerade,
    Notrack,
    Reject,
    Return,
    SetMark,
    UnknownTarget,
)
from svcc.verify.model.conditions import Mark, Probability, Unknown
from svcc.verify.netfilter.rounding import FIVE_DIGITS, KERNEL_ROUNDING
from svcc.verify.slicing.schema import Hook, Schema, SchemaItem
from svcc.verify.slicing.schema_conditions import (
    InlinedGoto,
    InlinedJump,
    NumberedBalance,
    NumberedDnat,
    NumberedRecent,
)
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.term import (
    FALSE,
    ONE,
    TRUE,
    ZERO,
    Term,
    add,
    conjunction,
    greater,
    ite,
    scale,
)


class SharesUndecidedError(Exception):
    """A match looks at something that a random choice decided: outside what is modelled."""


class SharesEncoding(Encoding):
    """The rewriting hooks with weights in place of Booleans.

    After :meth:`run`: ``weights`` has (weight, host, port) of every DNAT rule and
    ``elsewhere`` the weights of all other ways out.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        self.weights: list[tuple[Term, int, int | None]] = []
        self.elsewhere: list[Term] = []
        self._certain = {ZERO, ONE}
        """Weights that no chance has a part in."""
        self._mark_by_chance = False
        self._ways_on: list[Term] = []
        self._lingering: set[int] = set()

    def _after_translation(self) -> None:
        """Nothing behind the nat hook moves a share."""

    def _balance(self, alive: Term) -> Term:
        """Split what IPVS gets among its real servers."""
        schema = self.schema
        if not schema.balanced:
            return alive
        rest, before = self.elsewhere.pop(), self.weights
        self.weights = []
        for weight, host, port in before:
            if host not in schema.local_hosts and not schema.from_node:
                self.weights.append((weight, host, port))
                continue
            self._destination = self.host(host)
            self._port = self.packet.dport if port is None else self.port(port)
            stays = self._chain(schema.balanced, weight)
            self.weights.append((stays, host, port))
        self._destination, self._port = self.packet.dst, self.packet.dport
        reaches = rest
        if not schema.from_node:
            reaches = self.define(ite(self.packet.local, rest, ZERO))
            self.elsewhere.append(self.define(ite(self.packet.local, ZERO, rest)))
        self.elsewhere.append(self._chain(schema.balanced, reaches))
        return alive

    def _share_out(self, weight: Term, balance: NumberedBalance) -> None:
        """Each real server's part of what its virtual server gets."""
        total = sum(part for *_, part in balance.choices)
        for host, port, part in balance.choices:
            share = self.define(scale(Fraction(part, total), weight))
            self.weights.append((share, host, port))

    def _hooks(self, alive: Term, hooks: tuple[Hook, ...]) -> Term:
        if hooks is not self.schema.rewriting:
            return TRUE
        weight = ONE
        for hook in hooks:
            self._ways_on = []
            through = self._chain(hook.items, weight)
            if hook.drops:
                self.elsewhere.append(through)
                through = ZERO
            weight = self._sum([through, *self._ways_on])
        self.elsewhere.append(weight)
        return TRUE

    def _chain(self, items: tuple[SchemaItem, ...], enter: Term) -> Term:
        here = enter
        back: list[Term] = []
        lingering, ways_on = set(self._lingering), len(self._ways_on)
        for item in items:
            fires, rest = self._fire(item, here)
            match item.action:
                case Notrack():
                    # Whether nat is passed at all would depend on it.
                    raise SharesUndecidedError
                case SetMark(value, mask):
                    self._mark_by_chance |= fires not in self._certain
                    self._set_mark(greater(fires, ZERO), value, mask)
                    continue
                case Continue():
                    continue
                case InlinedJump():
                    returned = self._chain(item.body, fires)
                    if returned is not fires:
                        here = self._sum([self._rest(here, rest), returned])
                    continue
                case _:
                    here = self._rest(here, rest)
            match item.action:
                case InlinedGoto():
                    back.append(self._chain(item.body, fires))
                case Return():
                    back.append(fires)
                case NumberedBalance():
                    self._share_out(fires, item.action)
                case NumberedDnat(host, port):
                    self.weights.append((fires, host, port))
                case Accept() | Masquerade():
                    # An ACCEPT before nat leaves the rest of the way open.
                    self._ways_on.append(fires)
                case Drop() | Reject():
                    self.elsewhere.append(fires)
                case Excused():
                    self.elsewhere.append(fires)
                    self.excused.append(greater(fires, ZERO))
                case UnknownTarget():
                    self.elsewhere.append(fires)
                    self.unknown_met.append(greater(fires, ZERO))
                case _:
                    assert_never(item.action)
            if here is ZERO:
                break
        left = self._sum([here, *back])
        if left is ZERO and len(self._ways_on) == ways_on:
            # Nobody who was recorded here meets another rule.
            self._lingering = lingering
        return left

    def _fire(self, item: SchemaItem, here: Term) -> tuple[Term, Term]:
        conditions = []
        chances = [c.threshold for c in item.conditions if isinstance(c, Probability)]
        for condition in item.conditions:
            if isinstance(condition, Mark) and self._mark_by_chance:
                raise SharesUndecidedError
            if isinstance(condition, NumberedRecent):
                conditions.append(self._list_condition(item, condition))
            elif not isinstance(condition, Probability):
                conditions.append(self._one(condition))
        if any(isinstance(c, Unknown) for c in item.conditions):
            known = [
                self._one(c)
                for c in item.conditions
                if not isinstance(c, Unknown | Probability | NumberedRecent)
            ]
            self.unknown_met.append(self.define(conjunction([greater(here, ZERO), *known])))
        matches = conjunction(conditions)
        if matches is FALSE or here is ZERO:
            return ZERO, here
        if not chances:
            if matches is TRUE:
                return here, ZERO
            fires = self.define(ite(matches, here, ZERO))
            if here in self._certain:
                self._certain.add(fires)
            return fires, ite(matches, ZERO, here)
        chance = prod((Fraction(one, PROBABILITY_ONE) for one in chances), start=Fraction(1))
        hit, rest = scale(chance, here), scale(1 - chance, here)
        if matches is TRUE:
            return self.define(hit), rest
        return self.define(ite(matches, hit, ZERO)), ite(matches, rest, here)

    def _rest(self, here: Term, rest: Term) -> Term:
        """Names what goes on behind a rule."""
        named = self.define(rest)
        by_chance = any(part.operator == "*" for part in (rest, *rest.arguments))
        if here in self._certain and not by_chance:
            self._certain.add(named)
        return named

    def _list_condition(self, item: SchemaItem, condition: NumberedRecent) -> Term:
        if condition.number in self._lingering:
            raise SharesUndecidedError
        if condition.records and not isinstance(item.action, NumberedDnat | Accept | Drop):
            self._lingering.add(condition.number)
        term = self._recent(condition, TRUE)
        self.recorded.pop(condition.number, None)
        return term

    def _sum(self, weights: Iterable[Term]) -> Term:
        kept = [weight for weight in weights if weight is not ZERO]
        if len(kept) < 2:
            return kept[0] if kept else ZERO
        total = self.define(add(kept))
        if self._certain.issuperset(kept):
            self._certain.add(total)
        return total

    def total(self, weights: Iterable[Term]) -> Term:
        """The sum of some weights, as a term."""
        return self._sum(weights)


def tolerance(schema: Schema) -> Fraction:
    """How far a share may be from 1/n: what rounding accounts for.

    Every probability is stored in units of 2**-31. Before 1.17 kube-proxy printed five
    digits; a slice whose every probability is such a rounding of some 1/k is measured by it.
    """
    thresholds = list(_thresholds(schema.rewriting))
    if thresholds and all(_five_digits(threshold) for threshold in thresholds):
        return FIVE_DIGITS
    return KERNEL_ROUNDING


def _thresholds(hooks: Iterable[Hook]) -> Iterator[int]:
    def walk(items: tuple[SchemaItem, ...]) -> Iterator[int]:
        for item in items:
            yield from (c.threshold for c in item.conditions if isinstance(c, Probability))
            yield from walk(item.body)

    for hook in hooks:
        yield from walk(hook.items)


def _five_digits(threshold: int) -> bool:
    count = round(PROBABILITY_ONE / threshold)
    return round(float(f"{1 / count:.5f}") * PROBABILITY_ONE) == threshold
