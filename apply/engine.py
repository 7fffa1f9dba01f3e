"""Apply and diff: from wanted rule programs to the kernel of this network namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from svcc.apply.commit import commit, respell_all
from svcc.apply.diff import difference
from svcc.apply.held import Held, See
from svcc.apply.iptables.read import (
    PREFIX,
    TABLES,
    Tables,
    TableState,
    read_families,
    read_table,
    served_by_nat,
)
from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.servers import Servers
from svcc.apply.loaded import Guard, Loaded, has_frontends, translated_to, what_is_loaded
from svcc.apply.moments import Judge, moments_from_nftables
from svcc.apply.outcome import Outcome
from svcc.apply.reading import FAMILIES, localnet_to_set, locked, look_beside, own_rules_of
from svcc.apply.steps import Step, make_steps
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError, UnreadableTableError
from svcc.apply.system.lock import Tell
from svcc.grammar.address import Family, Network
from svcc.grammar.iptables.program import Program
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.nftables.program import Ruleset

DRAIN_SECONDS = 15.0


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

    def problem(self, steps: tuple[Step, ...], judge: Judge, leaving: Ruleset) -> str | None:
        """What is wrong with the order of the steps, where it makes a difference."""
        if self.servers is None and not leaving.tables:
            return None
        live = None if self.servers is None else self.servers.before.ipvs
        return judge(moments_from_nftables(steps, self.current, live, leaving))

    def held(self) -> tuple[Held, Held]:
        """What svcc holds, and what it is to hold."""
        now, wanted = Held(rules=(self.current,)), Held(rules=(self.wanted,))
        if (servers := self.servers) is None:
            return now, wanted
        return now + Held(ipvs=(servers.before.ipvs,)), wanted + Held(ipvs=(servers.wanted,))

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
    leaving: Callable[[], Ruleset] = Ruleset,
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
        judge: looks at every moment of a plan that changes IPVS, or behind which nftables tables
            go, before the first command, and says what is wrong with it.
        guard: is asked once what is loaded is known.
        tell: is told whom is waited for.
        leaving: tells svcc's nftables tables, which go afterwards.

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
        if judge is not None and steps and (problem := situation.problem(steps, judge, leaving())):
            raise ApplyError(f"{problem}; nothing was changed")
        before, after = situation.held()
        if dry_run or not steps:
            return Outcome(steps, warnings, notes, dry_run=dry_run, before=before, after=after)
        done = commit(tools, steps, situation.before, situation.wanted, wait, situation.servers)
        return Outcome(
            steps,
            (*warnings, *done.warnings),
            notes,
            done.released,
            before=before,
            after=after,
        )


def diff(
    wanted: Mapping[Family, Program],
    *,
    route_localnet: bool,
    ipvs: Ipvs | None = None,
    exclude: tuple[Network, ...] = (),
    tools: Iptables | None = None,
    guard: Guard | None = None,
    see: See | None = None,
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
    if see is not None:
        see(*now.held())
    switch = (now.is_localnet, now.set_localnet)
    return difference(now.current, now.wanted, switch, now.servers)


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
        set_localnet=localnet_to_set(before, wanted=route_localnet),
        warnings=tuple(_warnings(targets, ipvs, tools)),
        notes=tuple(notes),
        servers=look_beside(tools, ipvs, exclude, drain, [before]),
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


def _warnings(wanted: Mapping[Family, Tables], ipvs: Ipvs | None, tools: Iptables) -> Iterator[str]:
    for family, tables in wanted.items():
        name = sysctl.FORWARDING[family]
        if has_frontends(family, tables, ipvs) and sysctl.read(name) is False:
            yield (
                f"{sysctl.dotted(name)} is 0: this node forwards no {family.label} packets "
                f"to backends; set it with sysctl -w {sysctl.dotted(name)}=1"
            )
    other = tools.other_variant()
    if other and own_rules_of(other)[0]:
        yield (
            f"rules of svcc are loaded by iptables-{other.variant} too, and both sets are in "
            "force; run svcc cleanup, then apply again"
        )
