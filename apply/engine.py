"""Apply, diff and cleanup: from wanted rule programs to the kernel of this network namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from svcc.apply import lock, sysctl
from svcc.apply.commit import Done, commit, respell_all
from svcc.apply.difference import difference
from svcc.apply.errors import ApplyError, ToolError, UnreadableTableError
from svcc.apply.iptables import Iptables
from svcc.apply.snapshot import (
    PREFIX,
    TABLES,
    Tables,
    TableState,
    holds_own_rules,
    read_families,
    read_table,
)
from svcc.apply.steps import Load, Step, has_loopback_guard, make_steps, own_rules
from svcc.grammar.address import Family
from svcc.grammar.program import Program

__all__ = ["ApplyError", "Iptables", "Outcome", "apply", "cleanup", "diff"]

FAMILIES = (Family.IPV4, Family.IPV6)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or would be in a dry run.

    ``released`` counts the kinds of UDP flows (frontend and answering backend) deleted from
    conntrack. ``warnings`` are for the operator to act on, ``notes`` to know.
    """

    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    released: int = 0
    dry_run: bool = False

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
            if isinstance(step, Load):
                parts.append(step.delta.script)
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Situation:
    """One reading of the node, beside what is wanted of it."""

    before: dict[Family, Tables]
    current: dict[Family, Tables]
    wanted: dict[Family, Tables]
    is_localnet: bool | None
    set_localnet: bool | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def steps(self) -> tuple[Step, ...]:
        return tuple(make_steps(self.current, self.wanted, self.set_localnet))


def apply(
    wanted: Mapping[Family, Program],
    *,
    route_localnet: bool,
    tools: Iptables | None = None,
    wait: float | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Make the node's own part of the rules be what is wanted, or leave it as it was.

    Args:
        wanted: whole programs; all rules in chains named ``SVCC-…`` or jumping to one.
        route_localnet: whether loopback node ports need ``route_localnet``.
        tools: whose iptables; those on PATH by default.
        wait: seconds to wait for another svcc and for the xtables lock, None without limit.
        dry_run: only plan.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    tools = tools or Iptables()
    with _locked(tools, wait):
        situation = _look(wanted, route_localnet, tools)
        steps = situation.steps()
        warnings, notes = situation.warnings, situation.notes
        if dry_run or not steps:
            return Outcome(steps, warnings, notes, dry_run=dry_run)
        done = commit(tools, steps, situation.before, situation.wanted, wait)
        return Outcome(steps, (*warnings, *done.warnings), notes, done.released)


def diff(
    wanted: Mapping[Family, Program],
    *,
    route_localnet: bool,
    tools: Iptables | None = None,
    wait: float | None = None,
) -> str:
    """What :func:`apply` would change, like a unified diff; empty if nothing.

    Raises:
        ApplyError: the node's rules cannot be read.
    """
    tools = tools or Iptables()
    with _locked(tools, wait):
        now = _look(wanted, route_localnet, tools)
    return difference(now.current, now.wanted, (now.is_localnet, now.set_localnet))


def cleanup(
    *, tools: Iptables | None = None, wait: float | None = None, dry_run: bool = False
) -> Outcome:
    """Remove all that is svcc's, in both families and both variants, and nothing else.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    tools = tools or Iptables()
    with _locked(tools, wait):
        other = tools.other_variant()
        variants = [tools, other] if other else [tools]
        looks = [_look_for_own(variant, must_read=variant is tools) for variant in variants]
        outcome = Outcome((), dry_run=dry_run)
        for variant, (before, notes) in zip(variants, looks, strict=True):
            wanted = {family: {table: TableState() for table in TABLES} for family in before}
            steps = tuple(make_steps(before, wanted, _localnet_to_set(before, wanted=False)))
            try:
                done = Done() if dry_run else commit(variant, steps, before, wanted, wait)
            except ApplyError as error:
                if not outcome.changed:
                    raise
                message = f"the rules of one variant were removed, those of the other not: {error}"
                raise ApplyError(message, restored=False) from error
            outcome = Outcome(
                outcome.steps + steps,
                (*outcome.warnings, *done.warnings),
                outcome.notes + notes,
                outcome.released + done.released,
                dry_run,
            )
        return outcome


def _look_for_own(
    tools: Iptables, *, must_read: bool
) -> tuple[dict[Family, Tables], tuple[str, ...]]:
    """What svcc has loaded with one variant, and notes about what could not be read."""
    before, unusable = _own_rules_of(tools)
    reasons = [f"{family.label}: {error}" for family, error in unusable.items()]
    hidden = any(isinstance(error, UnreadableTableError) for error in unusable.values())
    if hidden or (must_read and len(unusable) == len(FAMILIES)):
        raise ApplyError(f"the rules cannot be read: {'; '.join(reasons)}; nothing was changed")
    return before, tuple(f"not looked at, {reason}" for reason in reasons)


@contextmanager
def _locked(tools: Iptables, wait: float | None) -> Iterator[None]:
    with lock.held(wait) as descriptor:
        tools.keep_open = (descriptor,)
        try:
            yield
        finally:
            tools.keep_open = ()


def _look(wanted: Mapping[Family, Program], route_localnet: bool, tools: Iptables) -> _Situation:
    targets = {family: _target(program) for family, program in wanted.items()}
    before, unusable = read_families(tools, FAMILIES)
    notes = []
    for family, error in unusable.items():
        if isinstance(error, UnreadableTableError):
            raise ApplyError(f"{error}; nothing was changed")
        if family in targets and _has_frontends(targets[family]):
            raise ApplyError(
                f"{family.label} has frontends, but its tables cannot be used: {error}; "
                "nothing was changed"
            )
        notes.append(f"{family.label} is left out, it has no frontends: {error}")
    if not before:
        reasons = "; ".join(str(error) for error in unusable.values())
        raise ApplyError(f"iptables cannot be used: {reasons}; nothing was changed")
    nothing = {table: TableState() for table in TABLES}
    targets = {family: targets.get(family, nothing) for family in before}
    return _Situation(
        before,
        respell_all(before, targets),
        targets,
        sysctl.read(sysctl.ROUTE_LOCALNET),
        _localnet_to_set(before, wanted=route_localnet),
        tuple(_warnings(targets, tools)),
        tuple(notes),
    )


def _target(program: Program) -> Tables:
    """A wanted program as the state that iptables-save would show.

    Raises:
        ValueError: it has rules that svcc could not tell from other people's later.
    """
    from svcc.grammar.write import write_table

    states = {table: TableState() for table in TABLES}
    for name, table in program.tables.items():
        state = read_table(write_table(table, program.family))
        foreign = [line for line in state.foreign if not line.startswith(":")]
        if name not in TABLES or foreign:
            raise ValueError(f"table {name}: every rule must be in or jump to a {PREFIX} chain")
        lines = sum(len(rules) for part in (state.chains, state.others) for rules in part.values())
        if lines != len(table.commands):
            raise ValueError(f"table {name}: {len(table.commands)} rules became {lines} lines")
        states[name] = state
    return states


def _has_frontends(tables: Tables) -> bool:
    """Whether any service rule is there: each names a port."""
    return any(" --dport " in line for state in tables.values() for line in own_rules(state))


def _localnet_to_set(before: Mapping[Family, Tables], *, wanted: bool) -> bool | None:
    """The value that ``route_localnet`` must be given, None if it is to be left alone.

    It is turned off only if our own guard is loaded, so it was us who turned it on, and
    nobody else guards loopback, as kube-proxy does when it needs the switch.
    """
    is_on = sysctl.read(sysctl.ROUTE_LOCALNET)
    if wanted or not is_on:
        return True if wanted and not is_on else None
    rules = before.get(Family.IPV4, {}).get("filter", TableState())
    ours = has_loopback_guard(own_rules(rules))
    theirs = has_loopback_guard(rules.foreign)
    return False if ours and not theirs else None


def _warnings(wanted: Mapping[Family, Tables], tools: Iptables) -> Iterator[str]:
    for family, tables in wanted.items():
        name = sysctl.FORWARDING[family]
        if _has_frontends(tables) and sysctl.read(name) is False:
            yield (
                f"{sysctl.dotted(name)} is 0: this node forwards no {family.label} packets "
                f"to backends; set it with sysctl -w {sysctl.dotted(name)}=1"
            )
    other = tools.other_variant()
    if other and _own_rules_of(other)[0]:
        yield (
            f"rules of svcc are loaded by iptables-{other.variant} too, and both sets are in "
            "force; run svcc cleanup, then apply again"
        )


def _own_rules_of(tools: Iptables) -> tuple[dict[Family, Tables], dict[Family, ToolError]]:
    """What svcc has loaded with one variant, and the families that cannot be read."""
    families = tuple(family for family in FAMILIES if tools.may_hold_rules(family))
    states, failures = read_families(tools, families)
    return {family: t for family, t in states.items() if holds_own_rules(t)}, failures
