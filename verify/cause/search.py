"""The cause of a violation: the smallest change of the rules with which its packet is right.

Each rule that the packet met is tried: left out, with another operand, with another target,
elsewhere; then rules that may be missing. A change counts if the packet sees what it must with it
and no packet that is right now is wrong with it (:mod:`svcc.verify.cause.witnesses`); of several
the one counts that mends most of what else is wrong. The simulator alone is asked; nothing here
has a part in a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from svcc.grammar.address import Address
from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.cause.changes import Bench, Change
from svcc.verify.cause.choices import (
    lists_renamed,
    missing_choices,
    missing_returns,
    other_lists,
    other_orders,
    other_probabilities,
)
from svcc.verify.cause.deciding import deciding
from svcc.verify.cause.entries import other_entries
from svcc.verify.cause.likeness import Likeness
from svcc.verify.cause.operands import (
    Hints,
    Variant,
    bare,
    corrected,
    for_a_hairpin,
    for_some,
    loosened,
    narrowed,
    operands,
)
from svcc.verify.cause.servers import other_addresses, other_servers
from svcc.verify.cause.targets import Actions, missing_rules, other_targets
from svcc.verify.cause.walks import Met, Walks
from svcc.verify.cause.witnesses import Witness, Witnesses
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Counterexample, Finding, Retry
from svcc.verify.simulator.packet import Packet
from svcc.verify.slicing.regions import Regions
from svcc.verify.spec import codes
from svcc.verify.spec.node_ports import loopback_network
from svcc.verify.spec.properties import FAIR, MASQUERADES, REACHES

MAX_SEARCHES = 12
"""Findings for which everything is tried; of more only whether the causes known by then are
theirs."""
MAX_TRIES = 2500
"""Changes of rules that are tried in one search; then the best that was found is the cause."""
MAX_KNOWN = 12
"""Known causes that are tried on a finding."""
ENOUGH = 200
"""Findings of one code that a change has mended before the next, with a walk through the same
chain, are taken to have the same cause without being tried."""
MAX_BESIDE = 12
"""Other findings that a change is tried on."""

_DID_TOO_MUCH = {codes.CAPTURED, codes.MASQUERADED, codes.LOST, codes.OTHER_REFUSAL,
                 codes.WRONG_BACKEND}  # fmt: skip


@dataclass(slots=True)
class _Known:
    """A change that was the cause of a finding of ``code``, and then of ``times`` others."""

    change: Change
    cause: Cause
    walk: tuple[int, ...]
    code: str
    times: int = 0


class Causes:
    """Finds the causes of one family's violations."""

    def __init__(self, regions: Regions, rules: RuleSet, source: str, hints: Hints) -> None:
        self.regions, self._rules, self.hints = regions, rules, hints
        self.bench = Bench(rules, source)
        self.beside: list[tuple[str, Retry]] = []
        self._searches = 0
        self._known: list[_Known] = []
        self._made: tuple[Witnesses, Actions, Likeness] | None = None

    def of(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """The findings, those that are violated with their causes."""
        self.beside = self._sample(findings)
        causes: dict[int, Cause | None] = {}
        bound = {
            f.frontend.removeprefix("virtual IP "): f.cause
            for f in findings
            if f.code == codes.SURPLUS_ADDRESS
        }
        # What a rule does too much is seldom all that is wrong with it.
        for finding in sorted(findings, key=lambda f: f.code in _DID_TOO_MUCH):
            example = finding.counterexample
            if finding.verdict == "violated" and example is not None and finding.cause is None:
                surplus = bound.get(finding.frontend.removeprefix("other ports of "))
                causes[id(finding)] = surplus or self._cause(finding, example)
        for finding in findings:
            cause = causes.get(id(finding))
            yield finding if cause is None else replace(finding, cause=cause)

    def _sample(self, findings: Iterable[Finding]) -> list[tuple[str, Retry]]:
        """Findings of all kinds, each with its Service."""
        found: dict[tuple[str, str, bool], list[tuple[str, Retry]]] = {}
        for finding in findings:
            example = finding.counterexample
            if finding.verdict == "violated" and example is not None and example.retry is not None:
                key = (finding.code, finding.property, example.packet.from_node)
                found.setdefault(key, []).append((finding.service(), example.retry))
        each = [of[place] for place in range(3) for of in found.values() if place < len(of)]
        return each[:MAX_BESIDE]

    def tools(self) -> tuple[Witnesses, Actions, Likeness]:
        """What all searches share, made for the first."""
        if self._made is None:
            self._made = (
                Witnesses(self.regions, self._rules, self.hints.pods),
                Actions(self.bench, self.hints.mark),
                Likeness(self.bench),
            )
        return self._made

    def _cause(self, finding: Finding, example: Counterexample) -> Cause | None:
        if example.retry is None:
            return deciding(finding, self.bench)
        walk = tuple(id(step.rule) for step in example.trace)
        chains = {step.chain for step in example.trace}
        chains |= {s.effect.removeprefix("to ") for s in example.trace}
        known = self._known
        for each in known[-MAX_KNOWN:]:
            # The same way through the same rules, to a frontend that is missing as well.
            if each.walk == walk and each.cause.missing:
                return each.cause
            if each.cause.table and each.cause.chain not in chains:
                continue
            if each.times >= ENOUGH and each.code == finding.code:
                return each.cause
            if self.is_right(each.change, example.retry):
                each.times += each.code == finding.code
                return each.cause
        if self._searches >= MAX_SEARCHES:
            return deciding(finding, self.bench)
        self._searches += 1
        change = _Search(self, finding, example, example.retry).found()
        if change is None:
            return deciding(finding, self.bench)
        cause = change.cause()
        known.append(_Known(change, cause, walk, finding.code))
        return cause

    def is_right(self, change: Change, retry: Retry) -> bool:
        """Whether a packet that is wrong is right with a change."""
        with self.bench.changed(change) as rules:
            return retry.is_right(rules, change.world(retry.world))


class _Search:
    """The search for one finding's cause."""

    def __init__(
        self, causes: Causes, finding: Finding, example: Counterexample, retry: Retry
    ) -> None:
        self._bench, self._regions = causes.bench, causes.regions
        self._hints, self._causes, self._tries = causes.hints, causes, 0
        self._about = {REACHES: "destination", FAIR: "destination", MASQUERADES: "source"}.get(
            finding.property, ""
        )
        witnesses, self._actions, self._likeness = causes.tools()
        self._finding, self._retry = finding, retry
        self._walks = Walks(self._bench, example, retry)
        self._right, wrong = witnesses.of(finding.frontend)
        self._entries = witnesses.entries(finding.frontend)
        self._wrong: list[Witness | Retry] = [*wrong]
        self._wrong += [other for _, other in causes.beside if other is not retry]

    def found(self) -> Change | None:
        """The change that mends most; the first of those that mend as much."""
        best: tuple[tuple[int, ...], Change] | None = None
        for phase in self._phases():
            if self._tries > MAX_TRIES:
                break
            of_phase: list[tuple[tuple[int, ...], Change]] = []
            for change in phase:
                if not self._is_right(change) or not self._does_no_harm(change):
                    continue
                of_phase.append((self._rank(change), change))
            if not of_phase:
                continue
            first = max(of_phase, key=lambda each: each[0])
            if best is None or first[0][0] > best[0][0]:
                best = first
            if best[0][0] == len(self._wrong):
                break
        return None if best is None else best[1]

    def _rank(self, change: Change) -> tuple[int, ...]:
        """How much a change mends, and of those that mend as much how likely it is."""
        # Who guards loopback does so for all ports.
        packet = self._retry.packet
        guarded = loopback_network(packet.family).holds(Address(packet.family, packet.destination))
        usual = "" if guarded else self._entries.usual
        like = self._likeness.of(change, usual, self._walks.places)
        return self._mended(change), -change.pins, *like

    def _is_right(self, change: Change) -> bool:
        self._tries += 1
        return self._causes.is_right(change, self._retry)

    def _does_no_harm(self, change: Change) -> bool:
        with self._bench.changed(change) as rules:
            for at, witness in enumerate(self._right):
                if not witness.is_right(rules, change.world(witness.world)):
                    # Who speaks against one change will speak against the next.
                    self._right.insert(0, self._right.pop(at))
                    return False
        return True

    def _mended(self, change: Change) -> int:
        with self._bench.changed(change) as rules:
            return sum(w.is_right(rules, change.world(w.world)) for w in self._wrong)

    def _phases(self) -> Iterator[Iterable[Change]]:
        bench, walks, actions = self._bench, self._walks, self._actions
        yield other_addresses(bench, walks)
        missing_first = self._finding.code == codes.NOT_REFUSED
        yield from other_entries(bench, walks, self._entries, missing_first=missing_first)
        yield other_servers(bench, walks, self._is_declared)
        removable = self._removable()
        yield (bench.without(m.place, m.position, m.effect) for m in removable)
        yield self._narrowed(removable, own=True)
        yield other_targets(bench, walks, actions, of_jumps=False)
        fulfillable = self._fulfillable()
        yield self._otherwise(fulfillable, corrected)
        if self._finding.code in _DID_TOO_MUCH:
            yield self._for_some(removable)
            yield self._narrowed(removable, own=False)
        yield other_lists(bench, walks)
        yield other_probabilities(bench, walks)
        yield other_orders(bench, walks)
        yield other_targets(bench, walks, actions, of_jumps=True)
        if self._finding.code not in _DID_TOO_MUCH:
            yield self._for_some(removable)
        yield missing_choices(bench, walks, actions)
        yield missing_returns(bench, walks)
        missing = self._placed()
        yield missing
        yield self._otherwise(fulfillable, loosened)
        if self._finding.code not in _DID_TOO_MUCH:
            yield self._narrowed(removable, own=False)
        yield lists_renamed(bench, walks)

    def _placed(self) -> list[Change]:
        """Rules that may be missing, at the places where they mend this packet."""
        found: list[Change] = []
        for place in missing_rules(
            self._bench, self._walks, self._actions, self._hints, self._about
        ):
            # The first say most of the packet: by the frontend, and by being a hairpin.
            if not any(self._is_right(change) for change in place[:2]):
                continue
            for change in sorted(place, key=lambda c: c.pins):
                if self._is_right(change) and self._does_no_harm(change):
                    # Who says less of the packet mends as much.
                    found.append(change)
                    break
        return found

    def _is_declared(self, address: int | None, protocol: int, port: int) -> bool:
        if address is None:
            return (protocol, port) in self._regions.node_ports
        return self._regions.declared(address, protocol, port)

    def _removable(self) -> list[Met]:
        """The rules that must not do to the packet what they do."""
        return [
            met
            for met in self._walks.fired
            if self._is_right(self._bench.without(met.place, met.position))
        ]

    def _narrowed(self, removable: list[Met], *, own: bool) -> Iterator[Change]:
        """Those rules for fewer packets; first those that choose by most."""
        for met in sorted(removable, key=lambda m: -operands(m.rule)):
            if own or operands(met.rule):
                yield from self._each(met, narrowed(met.rule, self._retry.packet, own=own))

    def _fulfillable(self) -> list[Met]:
        """Rules that passed the packet by and must not."""
        return [
            met
            for met in self._walks.passed()
            if self._would_mend(met, bare(met.rule))
            or (
                (hairpin := for_a_hairpin(met.rule, self._retry.packet)) is not None
                and self._would_mend(met, hairpin)
            )
        ]

    def _would_mend(self, met: Met, other: Rule) -> bool:
        change = self._bench.instead(met.place, met.position, other, "")
        return self._is_right(change)

    def _for_some(self, removable: list[Met]) -> Iterator[Change]:
        is_own = self._retry.world.is_local(self._retry.packet.source)
        for met in removable:
            packet, hints = self._retry.packet, self._hints
            yield from self._each(met, for_some(met.rule, packet, hints, is_own))

    def _otherwise(
        self,
        every: list[Met],
        variants: Callable[[Rule, Packet, Hints], Iterator[Variant]],
    ) -> Iterator[Change]:
        for met in every:
            yield from self._each(met, variants(met.rule, self._retry.packet, self._hints))

    def _each(self, met: Met, variants: Iterable[Variant]) -> Iterator[Change]:
        for variant in variants:
            yield self._bench.instead(
                met.place, met.position, variant.rule, variant.remedy, met.effect
            )
