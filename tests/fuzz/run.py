"""Runs of the fuzz: many rule sets, many packets for each, and the shrinking of what differs."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from svcc.grammar.address import Family
from svcc.verify.simulator.matching import UndecidableError
from tests.fuzz.compare import Disagreement, disagreements, outside_the_model, read_rules
from tests.fuzz.rules import RuleMaker, RuleText
from tests.fuzz.traffic import Traffic
from tests.fuzz.wires import Shot, Wires
from tests.support.kernel.testbed import Outcome, Variant

PACKETS_PER_SET = 50
_FORGET_EVERY = 10
_TRIES = 4
"""How often a disagreement is tried again: a random choice may hide it."""


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    rule_sets: int = 0
    rules: int = 0
    pairs: int = 0
    left_out: int = 0
    """Packets for which the model says that it has no answer; they are not among the pairs."""
    passing: int = 0
    """Disagreements that did not come again."""
    kinds: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.kinds.items()))
        return (
            f"{self.rule_sets} rule sets with {self.rules} rules, {self.pairs} pairs ({kinds}), "
            f"{self.left_out} outside the model, {len(self.found)} disagreements, "
            f"{self.passing} passing ones, {self.seconds:.0f} s"
        )


class Fuzz:
    """One run with one seed."""

    def __init__(self, wires: Wires, family: Family, variant: Variant, seed: int) -> None:
        random = Random(f"{seed} {family.label}")
        self._wires = wires
        self._family = family
        self._variant = variant
        self._rules = RuleMaker(random, family)
        self._traffic = Traffic(random, family, wires.natural_source)
        self._salts = itertools.count()
        self.tally = Tally()

    def run(self, pairs: int, *, say: Callable[[str], None], stop_after: int = 5) -> Tally:
        """Send that many packets; ends early after ``stop_after`` disagreements."""
        started = time.monotonic()
        tally = self.tally
        while tally.pairs < pairs and len(tally.found) < stop_after:
            rules = self._rules.make()
            shots = self._traffic.burst(min(PACKETS_PER_SET, pairs - tally.pairs))
            if tally.rule_sets % _FORGET_EVERY == 0:
                self._wires.forget()
            found = self._trial(rules, shots, tally)
            if found:
                self._report(rules, shots, found[0], say)
            tally.seconds = time.monotonic() - started
        return tally

    def _trial(
        self, rules: RuleText, shots: Sequence[Shot], tally: Tally | None = None
    ) -> list[Disagreement]:
        text = rules.text().replace("@", str(next(self._salts)))
        complaint = self._wires.load(self._variant, self._family, text)
        if complaint:
            raise ValueError(f"iptables-restore: {complaint}\n{text}")
        observed = self._wires.burst(shots)
        if tally is not None:
            tally.rule_sets += 1
            tally.rules += rules.rules()
            tally.pairs += len(shots)
            tally.kinds.update(_kind(*pair) for pair in zip(shots, observed, strict=True))
        loaded = read_rules(text, self._family)
        try:
            return list(disagreements(loaded, shots, observed))
        except UndecidableError:
            left_out = outside_the_model(loaded, shots)
            if tally is not None:
                tally.pairs -= len(left_out)
                tally.left_out += len(left_out)
            return list(disagreements(loaded, shots, observed, left_out))

    # -- shrinking ---------------------------------------------------------------------

    def _report(
        self,
        rules: RuleText,
        shots: Sequence[Shot],
        first: Disagreement,
        say: Callable[[str], None],
    ) -> None:
        last = first.shot
        same = [s for s in shots[: first.number + 1] if s[1].source == last[1].source]
        for kept in ([last], same, list(shots)):
            again = self._again(rules, kept)
            if again:
                rules, shown = self._smallest(rules, kept, again)
                break
        else:
            self.tally.passing += 1
            say(f"did not come again: {first}")
            return
        lines = [
            " ".join(p for p in (f"-t {table} -A {chain}", *parts) if p)
            for (table, chain), found in rules.chains.items()
            for parts in found
        ]
        lines += [f"-t {table} -P {chain} DROP" for table, chain in sorted(rules.drops)]
        lines += [f"after {flow} from {sender}" for sender, flow in kept[:-1][-5:]]
        text = "\n".join(["disagreement:", *(f"  {line}" for line in lines), f"  {shown}"])
        self.tally.found.append(text)
        say(text)

    def _again(self, rules: RuleText, shots: Sequence[Shot]) -> Disagreement | None:
        for _ in range(_TRIES):
            self._wires.forget()
            found = self._trial(rules, shots)
            if found:
                return found[0]
        return None

    def _smallest(
        self, rules: RuleText, shots: Sequence[Shot], shown: Disagreement
    ) -> tuple[RuleText, Disagreement]:
        """Leave out whatever the disagreement does not need."""
        smaller = True
        while smaller:
            smaller = False
            for less in rules.smaller():
                try:
                    found = self._again(less, shots)
                except ValueError:
                    continue
                if found:
                    rules, shown, smaller = less, found, True
                    break
        return rules, shown


def _kind(shot: Shot, seen: frozenset[Outcome]) -> str:
    outcomes = {type(outcome).__name__.lower() for outcome in seen}
    outcomes = outcomes - {"refused"} or outcomes or {"lost"}
    name = "/".join(sorted(outcomes))
    flow = next((getattr(o, "flow", None) for o in seen if getattr(o, "flow", None)), None)
    if flow is None:
        return name
    if (flow.destination, flow.destination_port) != (
        shot[1].destination,
        shot[1].destination_port,
    ):
        name += " translated"
    return name + (" masqueraded" if flow.source != shot[1].source else "")
