"""What a verification found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from svcc.compiler.model.objects import Origin
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.confirm.causes import Cause
from svcc.verify.simulator.packet import Packet, Step, World
from svcc.verify.spec.outcomes import Outcome

VerdictName = Literal["proved", "violated", "undecided"]

_RANK: dict[VerdictName, int] = {"proved": 0, "undecided": 1, "violated": 2}


def worst(verdicts: Iterable[VerdictName]) -> VerdictName:
    """``violated`` before ``undecided`` before ``proved``; the latter if there are none."""
    return max(verdicts, key=_RANK.__getitem__, default="proved")


def is_worse(verdict: VerdictName, than: VerdictName) -> bool:
    """Whether the one says more against the rules than the other."""
    return _RANK[verdict] > _RANK[than]


OUTSIDE = "decided by rules outside the model"
SHARES_BY_MARKS = "outside the model: shares that depend on marks"
_SERVICE = re.compile(r"\((\S+/[^\s:)]+)(?::[^\s)]*)?\)$")


@dataclass(frozen=True, slots=True)
class Retry:
    """A packet that is wrong, to be tried again with other rules.

    ``is_right`` sends it through rules in a world. ``wanted``: what it may see instead; empty
    where that is no outcome of a frontend's packet.
    """

    packet: Packet
    world: World
    wanted: tuple[Outcome, ...]
    is_right: Callable[[RuleSet, World], bool]
    wanted_verdict: Literal["ACCEPT", "DROP"] | None = None
    """What a rule of the filter table must say to it, where that is wanted."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A packet that shows a violation, confirmed by the simulator."""

    packet: Packet
    trace: tuple[Step, ...]
    expected: str
    got: str
    other: tuple[Step, ...] = ()
    """The way through the rules that these are compared with."""
    world: World | None = field(default=None, compare=False, repr=False)
    """What the packet does not say, as it must be for this to happen."""
    retry: Retry | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Finding:
    """One property of one frontend (or of the whole rule set)."""

    property: str
    frontend: str
    family: Family
    verdict: VerdictName
    counterexample: Counterexample | None = None
    reason: str = ""
    code: str = ""
    """A number of :mod:`svcc.verify.spec.codes`; empty if proved."""
    says: str = ""
    """What is wrong, as the sentence goes on behind the frontend's name."""
    rules: tuple[Rule, ...] = ()
    """Those outside the model that may decide."""
    cause: Cause | None = None
    """What a violation is due to, as far as it was found."""
    place: Origin | None = None
    """Where it stands in the objects, if it is about one of them."""
    about: str = ""
    """What the property is asked of, whatever the verdict; empty: the frontend."""

    def service(self) -> str:
        """``namespace/name`` of the Service that the frontend is of; empty if of none."""
        named = _SERVICE.search(self.frontend)
        return "" if named is None else named[1]

    def sentence(self) -> str:
        """What was found, in words."""
        return f"{self.frontend} {self.says}" if self.says else self.frontend
