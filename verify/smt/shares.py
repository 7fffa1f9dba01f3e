"""Shares of the backends, as exact rationals in SMT-LIB.

Whatever the packet, the walk through the rewriting hooks is a sequence of weights: each rule
takes its part of what reaches it. Each step is bound to a fresh real variable, or the terms
would double with every rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from svcc.grammar.iptables.program import PROBABILITY_ONE
from svcc.verify.model.rules import Condition
from svcc.verify.netfilter.rounding import FIVE_DIGITS, KERNEL_ROUNDING
from svcc.verify.slicing.schema import Hook, Schema, SchemaItem
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.terms import conjunction


class SharesUndecidedError(Exception):
    """A match looks at something that a random choice decided: outside what is modelled."""


class SharesEncoding(Encoding):
    """The rewriting hooks with weights in place of Booleans.

    After :meth:`run`: ``weights`` has (weight, host, port) of every DNAT rule and
    ``elsewhere`` the weights of all other ways out.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        self.weights: list[tuple[str, int, int | None]] = []
        self.elsewhere: list[str] = []
        self._certain = {"0.0", "1.0"}
        """Weights that no chance has a part in."""
        self._mark_by_chance = False
        self._ways_on: list[str] = []
        self._lingering: set[int] = set()

    def _after_translation(self) -> None:
        """Nothing behind the nat hook moves a share."""

    def _balance(self, alive: str) -> str:
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
            self._port = "dport" if port is None else self.port(port)
            stays = self._chain(schema.balanced, weight)
            self.weights.append((stays, host, port))
        self._destination, self._port = "dst", "dport"
        reaches = rest
        if not schema.from_node:
            reaches = self.define("Real", f"(ite local {rest} 0.0)")
            self.elsewhere.append(self.define("Real", f"(ite local 0.0 {rest})"))
        self.elsewhere.append(self._chain(schema.balanced, reaches))
        return alive

    def _share_out(self, weight: str, item: SchemaItem) -> None:
        """Each real server's part of what its virtual server gets."""
        _, choices, _ = item.action
        total = sum(part for *_, part in choices)
        for host, port, part in choices:
            share = self.define("Real", f"(* (/ {part}.0 {total}.0) {weight})")
            self.weights.append((share, host, port))

    def _hooks(self, alive: str, hooks: tuple[Hook, ...]) -> str:
        if hooks is not self.schema.rewriting:
            return "true"
        weight = "1.0"
        for hook in hooks:
            self._ways_on = []
            through = self._chain(hook.items, weight)
            if hook.drops:
                self.elsewhere.append(through)
                through = "0.0"
            weight = self._sum([through, *self._ways_on])
        self.elsewhere.append(weight)
        return "true"

    def _chain(self, items: tuple[SchemaItem, ...], enter: str) -> str:
        here = enter
        back: list[str] = []
        for item in items:
            fires, rest = self._fire(item, here)
            kind = item.action[0]
            if kind == "notrack":
                # Whether nat is passed at all would depend on it.
                raise SharesUndecidedError
            if kind in ("mark", "nothing"):
                if kind == "mark":
                    self._mark_by_chance |= fires not in self._certain
                    self._set_mark(f"(> {fires} 0.0)", item.action[1], item.action[2])
                continue
            if kind == "jump":
                returned = self._chain(item.body, fires)
                if returned != fires:
                    here = self._sum([self._rest(here, rest), returned])
                continue
            here = self._rest(here, rest)
            if kind == "goto":
                back.append(self._chain(item.body, fires))
            elif kind == "return":
                back.append(fires)
            elif kind == "balance":
                self._share_out(fires, item)
            elif kind == "dnat":
                self.weights.append((fires, item.action[1], item.action[2]))
            elif kind in ("accept", "masquerade"):
                # An ACCEPT before nat leaves the rest of the way open.
                self._ways_on.append(fires)
            else:
                self.elsewhere.append(fires)
                if kind == "excused":
                    self.excused.append(f"(> {fires} 0.0)")
                if kind == "unknown":
                    self.unknown_met.append(f"(> {fires} 0.0)")
            if here == "0.0":
                break
        return self._sum([here, *back])

    def _fire(self, item: SchemaItem, here: str) -> tuple[str, str]:
        conditions = []
        threshold = PROBABILITY_ONE
        chances = [c[1] for c in item.conditions if c[0] == "random"]
        for condition in item.conditions:
            if condition[0] == "mark" and self._mark_by_chance:
                raise SharesUndecidedError
            if condition[0] == "recent":
                conditions.append(self._list_condition(item, condition))
            elif condition[0] != "random":
                conditions.append(self._one(condition))
        if any(c[0] == "unknown" for c in item.conditions):
            known = [
                self._one(c) for c in item.conditions if c[0] not in ("unknown", "random", "recent")
            ]
            self.unknown_met.append(self.define("Bool", conjunction([f"(> {here} 0.0)", *known])))
        condition_term = conjunction(conditions)
        if condition_term == "false" or here == "0.0":
            return "0.0", here
        if not chances:
            if condition_term == "true":
                return here, "0.0"
            fires = self.define("Real", f"(ite {condition_term} {here} 0.0)")
            if here in self._certain:
                self._certain.add(fires)
            return fires, f"(ite {condition_term} 0.0 {here})"
        numerator, denominator = 1, 1
        for chance in chances:
            numerator *= chance
            denominator *= threshold
        hit = f"(* (/ {numerator}.0 {denominator}.0) {here})"
        rest = f"(* (/ {denominator - numerator}.0 {denominator}.0) {here})"
        if condition_term == "true":
            return self.define("Real", hit), rest
        fires = self.define("Real", f"(ite {condition_term} {hit} 0.0)")
        return fires, f"(ite {condition_term} {rest} {here})"

    def _rest(self, here: str, rest: str) -> str:
        """Names what goes on behind a rule."""
        name = self.define("Real", rest)
        if here in self._certain and "*" not in rest:
            self._certain.add(name)
        return name

    def _list_condition(self, item: SchemaItem, condition: Condition) -> str:
        _, operation, number, _, _ = condition
        if number in self._lingering:
            raise SharesUndecidedError
        if operation in ("set", "update") and item.action[0] not in ("dnat", "accept", "drop"):
            self._lingering.add(number)
        term = self._recent(condition, "true")
        self.recorded.pop(number, None)
        return term

    def _sum(self, weights: list[str]) -> str:
        kept = [weight for weight in weights if weight != "0.0"]
        if len(kept) < 2:
            return kept[0] if kept else "0.0"
        total = self.define("Real", f"(+ {' '.join(kept)})")
        if self._certain.issuperset(kept):
            self._certain.add(total)
        return total

    def total(self, weights: list[str]) -> str:
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
            yield from (c[1] for c in item.conditions if c[0] == "random")
            yield from walk(item.body)

    for hook in hooks:
        yield from walk(hook.items)


def _five_digits(threshold: int) -> bool:
    count = round(PROBABILITY_ONE / threshold)
    return round(float(f"{1 / count:.5f}") * PROBABILITY_ONE) == threshold
