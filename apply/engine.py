"""Apply, diff and cleanup: from wanted rule programs to the kernel of this network namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import assert_never

from svcc.apply.commit import Done, commit, respell_all
from svcc.apply.diff import difference
from svcc.apply.iptables.read import (
    PREFIX,
    TABLES,
    Tables,
    TableState,
    holds_own_rules,
    read_families,
    read_table,
    rewritten_to,
    served_by_nat,
)
from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.servers import Servers, look
from svcc.apply.ipvs.steps import Change, ReleaseServed
from svcc.apply.loaded import Guard, Loaded, has_frontends, translated_to, what_is_loaded
from svcc.apply.moments import Moment, moments
from svcc.apply.nftables.steps import ReleaseTranslated, TableStep, Transact
from svcc.apply.steps import (
    Load,
    ReleaseFlows,
    Step,
    has_loopback_guard,
    make_steps,
    own_rules,
)
from svcc.apply.system import lock, sysctl
from svcc.apply.system.errors import ApplyError, ToolError, UnreadableTableError
from svcc.apply.system.lock import Tell
from svcc.apply.system.route_localnet import SetRouteLocalnet
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.iptables.program import Program
from svcc.grammar.ipvs.state import Ipvs

__all__ = ["ApplyError", "Iptables", "Outcome", "apply", "cleanup", "diff"]

FAMILIES = (Family.IPV4, Family.IPV6)
DRAIN_SECONDS = 15.0


Judge = Callable[[Iterable[Moment]], str | None]
"""Says what is wrong with the moments of an apply, None for nothing."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Situation:
    """One reading of the node, beside what is wanted of it."""

    before: dict[Family, Tables]
    current: dict[Family, Tables]
    wanted: dict[Family, Tables]
    is_localnet: bool | None
    set_localnet: bool | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    servers: Servers | None

    def steps(self) -> tuple[Step, ...]:
        beside = None
        if self.servers is not None:
            behind_nat = translated_to(self.current) | translated_to(self.wanted)
            beside = self.servers.steps(served_by_nat(self.current), behind_nat)
        return tuple(make_steps(self.current, self.wanted, self.set_localnet, beside))

    def loaded(self) -> Loaded:
        servers = self.servers
        ipvs = (servers.before.ipvs, servers.wanted) if servers is not None else (None, None)
        return what_is_loaded(self.before, (self.current, self.wanted), ipvs)


def apply(
    wanted: Mapping[Family, Program],
    *,
    route_localnet: bool,
    ipvs: Ipvs | None = None,
    exclude: tuple[Network, ...] = (),
    drain: float = DRAIN_SECONDS,
    tools: Iptables | None = None,
    wait: float | None = None,
    dry_run: bool = False,
    judge: Judge | None = None,
    guard: Guard | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Make the node's own part of the rules be what is wanted, or leave it as it was.

    Args:
        wanted: whole programs; all rules in chains named ``SVCC-…`` or jumping to one.
        route_localnet: whether loopback node ports need ``route_localnet``.
        ipvs: what ipvs mode needs beside rules; None: iptables mode, and what there is of it
            goes.
        exclude: addresses whose virtual servers are never touched.
        drain: seconds that TCP connections to real servers that go may take to end.
        tools: whose iptables; those on PATH by default.
        wait: seconds to wait for another svcc and for the xtables lock, None without limit.
        dry_run: only plan, and take no lock.
        judge: looks at every moment of a plan that changes IPVS, before the first command, and
            says what is wrong with it.
        guard: is asked once what is loaded is known.
        tell: is told whom is waited for.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    tools = tools or Iptables()
    with locked(tools, wait, tell, only_read=dry_run):
        situation = _look(wanted, route_localnet, ipvs, exclude, drain, tools)
        if guard is not None:
            guard(situation.loaded())
        steps = situation.steps()
        warnings, notes = situation.warnings, situation.notes
        if judge is not None and steps and situation.servers is not None:
            live = situation.servers.before.ipvs
            if problem := judge(moments(steps, situation.current, live)):
                raise ApplyError(f"{problem}; nothing was changed")
        if dry_run or not steps:
            return Outcome(steps, warnings, notes, dry_run=dry_run)
        done = commit(tools, steps, situation.before, situation.wanted, wait, situation.servers)
        return Outcome(steps, (*warnings, *done.warnings), notes, done.released)


def diff(
    wanted: Mapping[Family, Program],
    *,
    route_localnet: bool,
    ipvs: Ipvs | None = None,
    exclude: tuple[Network, ...] = (),
    tools: Iptables | None = None,
    guard: Guard | None = None,
) -> str:
    """What :func:`apply` would change, like a unified diff; empty if nothing.

    No lock is taken: what another svcc is changing is seen as it is at the moment.

    Raises:
        ApplyError: the node's rules cannot be read.
    """
    tools = tools or Iptables()
    now = _look(wanted, route_localnet, ipvs, exclude, 0, tools)
    if guard is not None:
        guard(now.loaded())
    switch = (now.is_localnet, now.set_localnet)
    return difference(now.current, now.wanted, switch, now.servers)


def left_over(tools: Iptables, exclude: tuple[Network, ...] = ()) -> Loaded:
    """What iptables and ipvs mode serve here, by both variants, where none of it is wanted.

    Args:
        tools: whose iptables is looked at first.
        exclude: addresses whose virtual servers are somebody else's.

    Raises:
        ApplyError: the virtual servers cannot be read.
    """
    other = tools.other_variant()
    variants = [tools, other] if other else [tools]
    read = [_own_rules_of(variant)[0] for variant in variants]
    servers = _look_beside(tools, None, exclude, 0, read)
    ipvs = servers.before.ipvs if servers is not None else None
    found = Loaded()
    for before in read:
        found = found.with_other_modes(what_is_loaded(before, (before, {}), (ipvs, None)))
    return found


def left_over_difference(tools: Iptables, exclude: tuple[Network, ...] = ()) -> str:
    """What :func:`cleanup` would remove, like a unified diff; empty if nothing.

    Arguments and errors as of :func:`left_over`.
    """
    other = tools.other_variant()
    variants = [tools, other] if other else [tools]
    read = [_own_rules_of(variant)[0] for variant in variants]
    servers = _look_beside(tools, None, exclude, 0, read)
    nothing = {table: TableState() for table in TABLES}
    return "".join(
        difference(
            before,
            dict.fromkeys(before, nothing),
            (None, None),
            servers if before is read[-1] else None,
        )
        for before in read
    )


def cleanup(
    *,
    exclude: tuple[Network, ...] = (),
    drain: float = 0,
    tools: Iptables | None = None,
    wait: float | None = None,
    dry_run: bool = False,
    tell: Tell | None = None,
    keep_localnet: bool = False,
    behind_tables: bool = False,
) -> Outcome:
    """Remove all that is svcc's, in both families and both variants, and nothing else.

    svcc's nftables tables are not among it (:mod:`svcc.apply.modes`).

    Args:
        exclude: addresses whose virtual servers are never touched.
        drain: as in :func:`apply`.
        tools: whose iptables is looked at first; those on PATH by default.
        wait: as in :func:`apply`.
        dry_run: only plan, and take no lock.
        tell: as in :func:`apply`.
        keep_localnet: leave ``route_localnet`` on, nftables mode needs it.
        behind_tables: svcc's nftables tables serve by now, so UDP flows stay as they are, and
            iptables need not be there at all.

    Raises:
        ApplyError: failed; the message says whether the node is as it was before.
    """
    tools = tools or Iptables()
    with locked(tools, wait, tell, only_read=dry_run):
        other = tools.other_variant()
        variants = [tools, other] if other else [tools]
        looks = [
            _look_for_own(variant, must_read=not behind_tables and variant is tools)
            for variant in variants
        ]
        beside = _look_beside(tools, None, exclude, drain, (before for before, _ in looks))
        outcome = Outcome((), dry_run=dry_run)
        for variant, (before, notes) in zip(variants, looks, strict=True):
            wanted = {family: {table: TableState() for table in TABLES} for family in before}
            # Sets can go when no rule of either variant refers to them.
            servers = beside if variant is variants[-1] else None
            switch = None if keep_localnet else _localnet_to_set(before, wanted=False)
            server_steps = None
            if servers is not None:
                server_steps = servers.steps(served_by_nat(before), frozenset())
            steps = tuple(
                step
                for step in make_steps(before, wanted, switch, server_steps)
                if not (behind_tables and isinstance(step, ReleaseFlows | ReleaseServed))
            )
            try:
                done = Done()
                if not dry_run:
                    done = commit(variant, steps, before, wanted, wait, servers)
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
def locked(
    tools: Iptables, wait: float | None, tell: Tell | None, *, only_read: bool
) -> Iterator[None]:
    """Hold the lock of this network namespace, and have the tools inherit it; a reader needs none.

    Raises:
        ApplyError: somebody else held it all the time.
    """
    if only_read:
        yield
        return
    with lock.held(wait, tell) as descriptor:
        tools.keep_open = (descriptor,)
        try:
            yield
        finally:
            tools.keep_open = ()


def _look_beside(
    tools: Iptables,
    wanted: Ipvs | None,
    exclude: tuple[Network, ...],
    drain: float,
    loaded: Iterable[Mapping[Family, Tables]],
) -> Servers | None:
    node_ports_on = frozenset[Address]().union(*map(rewritten_to, loaded))
    try:
        return look(tools, wanted, exclude, drain, node_ports_on)
    except ToolError as error:
        raise ApplyError(f"{error}; nothing was changed") from error


def _look(
    wanted: Mapping[Family, Program],
    route_localnet: bool,
    ipvs: Ipvs | None,
    exclude: tuple[Network, ...],
    drain: float,
    tools: Iptables,
) -> _Situation:
    targets = {family: _target(program) for family, program in wanted.items()}
    before, unusable = read_families(tools, FAMILIES)
    notes = []
    for family, error in unusable.items():
        if isinstance(error, UnreadableTableError):
            raise ApplyError(f"{error}; nothing was changed")
        if family in targets and has_frontends(family, targets[family], ipvs):
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
        before=before,
        current=respell_all(before, targets),
        wanted=targets,
        is_localnet=sysctl.read(sysctl.ROUTE_LOCALNET),
        set_localnet=_localnet_to_set(before, wanted=route_localnet),
        warnings=tuple(_warnings(targets, ipvs, tools)),
        notes=tuple(notes),
        servers=_look_beside(tools, ipvs, exclude, drain, [before]),
    )


def _target(program: Program) -> Tables:
    """A wanted program as the state that iptables-save would show.

    Raises:
        ValueError: it has rules that svcc could not tell from other people's later.
    """
    from svcc.grammar.iptables.write import write_table

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


def _warnings(wanted: Mapping[Family, Tables], ipvs: Ipvs | None, tools: Iptables) -> Iterator[str]:
    for family, tables in wanted.items():
        name = sysctl.FORWARDING[family]
        if has_frontends(family, tables, ipvs) and sysctl.read(name) is False:
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
