"""The rules that concern a frontend: those that any slice of its regions keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from svcc.verify.report.kept_rules import KeptRule, RegionSlice, with_bodies
from svcc.verify.report.smt_script import direction

Open = tuple[str, ...]


@dataclass(slots=True)
class ConcernedRule:
    """A rule as it was read. ``kept``: what is open of its conditions, in each place that it is
    met, with where packets come from for which it is.
    """

    rule: KeptRule
    kept: dict[Open, list[str]] = field(default_factory=dict)

    def reasons(self) -> Iterator[str]:
        """Why it concerns the frontend, a line for each thing that may be open."""
        senders = {sender for each in self.kept.values() for sender in each}
        for open_, of in self.kept.items():
            whose = f"{', '.join(of)}: " if len(of) < len(senders) else ""
            yield whose + (f"if {' '.join(open_)}" if open_ else "every packet that gets here")


@dataclass(slots=True)
class ConcernedHook:
    """The rules that are met from one base chain on, in the order in which they are."""

    table: str
    chain: str
    rules: dict[tuple[str, int, str], ConcernedRule] = field(default_factory=dict)


def concerned_rules(slices: Iterable[RegionSlice]) -> tuple[ConcernedHook, ...]:
    """The rules in the slices of one frontend's regions."""
    hooks: dict[tuple[str, str], ConcernedHook] = {}
    for each in slices:
        sender = direction(each.region)
        for chain in each.chains:
            place = (chain.table, chain.chain)
            hook = hooks.setdefault(place, ConcernedHook(*place))
            for rule in with_bodies(chain.rules):
                key = (rule.file, rule.line, rule.text)
                found = hook.rules.setdefault(key, ConcernedRule(rule))
                of = found.kept.setdefault(rule.open, [])
                if sender not in of:
                    of.append(sender)
    return tuple(hook for hook in hooks.values() if hook.rules)
