"""What was done, or would be, in words and as text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from svcc.apply.held import Held
from svcc.apply.ipvs.steps import Change, ReleaseServed
from svcc.apply.nftables.read import Reading
from svcc.apply.nftables.steps import ReleaseTranslated, TableStep, Transact
from svcc.apply.service_changes import ServiceChange
from svcc.apply.steps import Load, ReleaseFlows, Step
from svcc.apply.system.route_localnet import SetRouteLocalnet


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or would be in a dry run.

    ``released`` counts the kinds of UDP flows (frontend and answering backend) deleted from
    conntrack. ``warnings`` are for the operator to act on, ``notes`` to know.
    """

    steps: tuple[Step | TableStep, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    released: int = 0
    dry_run: bool = False
    reading: Reading | None = field(default=None, compare=False, repr=False)
    """What svcc's nftables tables hold now, where that is certain."""
    before: Held = field(default=Held(), compare=False, repr=False)
    after: Held = field(default=Held(), compare=False, repr=False)
    """What svcc held, and what it holds now or would, as far as it was looked at."""
    services: tuple[ServiceChange, ...] = field(default=(), compare=False)
    """What that changes of Services, where somebody asked."""

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return bool(self.steps)

    def summary(self) -> str:
        """What was done, a line for each step."""
        if not self.steps:
            return "nothing to do: the node already is as wanted\n"
        heading = "planned, not done: " if self.dry_run else ""
        return "".join(f"{heading}{step.describe()}\n" for step in self.steps)

    def scripts(self) -> str:
        """Every step as text, in order: restore scripts under a comment that names the step."""
        parts = []
        for step in self.steps:
            parts.append(f"# {step.describe()}\n")
            match step:
                case Load(delta=delta):
                    parts.append(delta.script)
                case Change() | Transact():
                    parts.append(step.text())
                case SetRouteLocalnet() | ReleaseFlows() | ReleaseServed() | ReleaseTranslated():
                    pass
                case _:
                    assert_never(step)
        return "".join(parts)
