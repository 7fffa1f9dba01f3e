"""The steps of one apply, in an order in which every intermediate state is right.

docs/apply.md gives the order and the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from svcc.apply.iptables.plan import UNFINISHED, Delta, delta, union
from svcc.apply.iptables.read import Tables, TableState
from svcc.apply.iptables.udp_release import changes_udp
from svcc.apply.ipvs.steps import Change, ReleaseServed, ServerSteps
from svcc.apply.system import sysctl
from svcc.grammar.address import Family


@dataclass(frozen=True, slots=True)
class Load:
    """Load one table of one family."""

    purpose: str
    family: Family
    table: str
    delta: Delta

    def describe(self) -> str:
        """One line for the person at the terminal."""
        counts = (
            (self.delta.written, "chain", "written"),
            (self.delta.removed, "chain", "removed"),
            (self.delta.jumps, "jump", "changed"),
        )
        parts = [f"{n} {noun}{'s' * (n != 1)} {verb}" for n, noun, verb in counts if n]
        return f"{self.family.label} {self.table} ({self.purpose}): {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class SetRouteLocalnet:
    """Let the kernel route packets from and to 127/8 beyond loopback, or stop it."""

    on: bool

    def describe(self) -> str:
        """One line for the person at the terminal."""
        return f"sysctl {sysctl.dotted(sysctl.ROUTE_LOCALNET)} = {int(self.on)}"


@dataclass(frozen=True, slots=True)
class ReleaseFlows:
    """Delete UDP flows that the nat table would no longer make."""

    family: Family
    before: TableState
    now: TableState

    def describe(self) -> str:
        """One line for the person at the terminal."""
        return f"{self.family.label} conntrack: UDP flows of changed frontends released"


Step = Load | SetRouteLocalnet | ReleaseFlows | Change | ReleaseServed

_NO_TABLE = TableState()
_LOOPBACK_GUARD = re.compile(r"(?<!!) -d 127\.[\d.]+(/\d+)? .*-j DROP$")


def make_steps(
    current: Mapping[Family, Tables],
    wanted: Mapping[Family, Tables],
    route_localnet: bool | None,
    servers: ServerSteps | None = None,
) -> list[Step]:
    """What leads from one state to another; no step changes nothing.

    Args:
        current: what is loaded, spelled as ``wanted`` spells it.
        wanted: own part to be there; ``others`` has at least the jumps.
        route_localnet: the value that the switch must get, None to leave it alone.
        servers: what to do in ipvs mode beside the rules.
    """
    servers = servers or ServerSteps()
    first: list[Step] = []
    marks: list[Step] = []
    second: list[Step] = []
    flows: list[Step] = []
    third: list[Step] = []
    last: list[Step] = []
    for family, tables in current.items():
        target = wanted[family]
        nat = delta("nat", tables["nat"], target["nat"])
        before = tables["filter"]
        releases = UNFINISHED in before.chains or changes_udp(tables["nat"], target["nat"])
        staged = bool(nat.script or route_localnet) and not target["filter"].is_empty
        between = union(before, target["filter"]) if staged else before
        if releases:
            chains = {**between.chains, UNFINISHED: []}
            between = TableState(chains, between.others, between.foreign)
            flows.append(ReleaseFlows(family, tables["nat"], target["nat"]))
        opening = delta("filter", before, between)
        closing = delta("filter", opening.after, target["filter"])
        first += _loads("old and new refusals", family, "filter", opening)
        second += _loads("services", family, "nat", nat)
        third += _loads("wanted refusals", family, "filter", closing)
        is_changing = bool(nat.script or servers)
        opening, closing = _mangle(tables, target, is_changing=is_changing)
        marks += _loads("old and new marks", family, "mangle", opening)
        last += _loads("wanted marks", family, "mangle", closing)
    switch: list[Step] = []
    if route_localnet is not None:
        switch.append(SetRouteLocalnet(route_localnet))
    # Packets for 127/8 may come from the wire once the switch is on, so the rule that drops
    # them is loaded before it goes on and stays until it is off.
    on, off = (switch, []) if route_localnet else ([], switch)
    return [
        *servers.before_rules,
        *first,
        *on,
        *marks,
        *servers.before_nat,
        *second,
        *flows,
        *servers.behind_nat,
        *off,
        *third,
        *servers.after_rules,
        *last,
        *servers.last,
    ]


def _mangle(tables: Tables, target: Tables, *, is_changing: bool) -> tuple[Delta, Delta]:
    """The mangle table before nat and virtual servers change, and after that.

    What it drops goes by before it is let through, and the other way round.
    """
    before = tables.get("mangle", _NO_TABLE)
    wanted = target.get("mangle", _NO_TABLE)
    between = before
    if not wanted.is_empty:
        between = union(before, wanted) if is_changing else wanted
    opening = delta("mangle", before, between)
    return opening, delta("mangle", opening.after, wanted)


def _loads(purpose: str, family: Family, table: str, change: Delta) -> list[Step]:
    return [Load(purpose, family, table, change)] if change.script else []


def has_loopback_guard(rules: list[str]) -> bool:
    """Whether a filter rule keeps packets for 127/8 from coming in over the wire."""
    return any(_LOOPBACK_GUARD.search(line) for line in rules)


def own_rules(state: TableState) -> list[str]:
    """All rules of svcc's chains."""
    return [line for rules in state.chains.values() for line in rules]
