"""Runs of random nftables rule sets: what the translation says against what the kernel does."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from random import Random

from svcc.grammar.address import Family
from svcc.verify.rule_files import of_nftables
from svcc.verify.simulator.matching import UndecidableError
from tests.fuzz.compare import Disagreement, disagreements, outside_the_model
from tests.fuzz.nft_rules import NftRuleMaker
from tests.fuzz.run import _FORGET_EVERY, _TRIES, PACKETS_PER_SET, Tally, _kind
from tests.fuzz.traffic import Traffic
from tests.fuzz.wires import Shot, Wires

_KEPT = (
    "}", "flush ruleset", "udp dport 9 accept", "tcp flags rst accept",
    "meta l4proto icmp accept", "meta l4proto ipv6-icmp accept",
)  # fmt: skip
"""Lines without which nothing is a rule set, or nothing can be observed."""


class NftFuzz:
    """One run with one seed."""

    def __init__(self, wires: Wires, family: Family, seed: int) -> None:
        chance = Random(f"{seed} {family.label} nftables")
        self._wires, self._family = wires, family
        self._rules = NftRuleMaker(chance, family)
        self._traffic = Traffic(chance, family, wires.natural_source)
        self.tally = Tally()
        self.refused = 0
        """Texts that nft did not take, mostly for what a map says twice."""

    def run(self, pairs: int, *, say: Callable[[str], None], stop_after: int = 5) -> Tally:
        """Send that many packets; ends early after ``stop_after`` disagreements."""
        started = time.monotonic()
        tally = self.tally
        while tally.pairs < pairs and len(tally.found) < stop_after:
            text = self._rules.make()
            if complaint := self.load(text):
                self.refused += 1
                if self.refused > 20 + tally.rule_sets:
                    raise ValueError(f"nft: {complaint}\n{text}")
                continue
            shots = self._traffic.burst(min(PACKETS_PER_SET, pairs - tally.pairs))
            if tally.rule_sets % _FORGET_EVERY == 0:
                self._wires.forget()
            found = self._trial(text, shots, tally)
            if found:
                self._report(text, shots, found[0], say)
            tally.seconds = time.monotonic() - started
        return tally

    def load(self, text: str) -> str:
        """Load a text; what nft complains about, empty if nothing."""
        path = shutil.which("nft")
        assert path is not None
        with self._wires.node.entered():
            done = subprocess.run(
                [path, "-f", "-"], input=text, capture_output=True, text=True, check=False
            )
        return (done.stderr.strip() or "failed") if done.returncode else ""

    def _trial(
        self, text: str, shots: Sequence[Shot], tally: Tally | None = None
    ) -> list[Disagreement]:
        observed = self._wires.burst(shots)
        if tally is not None:
            tally.rule_sets += 1
            tally.rules += text.count("\n")
            tally.pairs += len(shots)
            tally.kinds.update(_kind(*pair) for pair in zip(shots, observed, strict=True))
        rules = of_nftables(text, "random")[self._family].rules
        try:
            return list(disagreements(rules, shots, observed))
        except UndecidableError:
            left_out = outside_the_model(rules, shots)
            if tally is not None:
                tally.pairs -= len(left_out)
                tally.left_out += len(left_out)
            return list(disagreements(rules, shots, observed, left_out))

    def _report(
        self, text: str, shots: Sequence[Shot], first: Disagreement, say: Callable[[str], None]
    ) -> None:
        same = [s for s in shots[: first.number + 1] if s[1].source == first.shot[1].source]
        shown = self._again(text, same)
        if shown is None:
            self.tally.passing += 1
            say(f"did not come again: {first}")
            return
        lines = text.splitlines()
        smaller = True
        while smaller:
            smaller = False
            for start, size in itertools.product(range(len(lines)), (1,)):
                less = [*lines[:start], *lines[start + size :]]
                if lines[start].endswith("{") or lines[start] in _KEPT:
                    continue
                found = self._again("\n".join(less) + "\n", same)
                if found is not None:
                    lines, shown, smaller = less, found, True
                    break
        before = [f"  after {flow} from {sender}" for sender, flow in same[:-1]]
        text = "\n".join(["disagreement:", *lines, *before, f"  {shown}"])
        self.tally.found.append(text)
        say(text)

    def _again(self, text: str, shots: Sequence[Shot]) -> Disagreement | None:
        for _ in range(_TRIES):
            if self.load(text):
                return None
            self._wires.forget()
            found = self._trial(text, shots)
            if found:
                return found[0]
        return None
