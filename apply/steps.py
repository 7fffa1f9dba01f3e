"""The steps of one apply, in an order in which every intermediate state is right.

docs/apply.md gives the order and the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from svcc.apply.iptables.plan import UNFINISHED, Delta, delta, union
from svcc.apply.iptables.read import Tables, TableState, is_ipvs_mode, own_target
from svcc.apply.iptables.udp_release import changes_udp
from svcc.apply.ipvs.steps import Change, ReleaseServed, ServerSteps
from svcc.apply.system.route_localnet import SetRouteLocalnet
from svcc.grammar.address import Address, Family
from svcc.grammar.ipvs.ipvsadm import VirtualKey
from svcc.grammar.numbers import TRANSPORTS


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
SERVICES, NODE_PORTS = "SVCC-SERVICES", "SVCC-NODEPORTS"
_NAMES = {number: name for name, number in TRANSPORTS.items()}
_SPARES_VIRTUAL_IPS = re.compile(r" --match-set SVCC-(6-)?VIP dst -j RETURN$")
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
    earliest: list[Step] = []
    exemption: list[Step] = []
    no_exemption: list[Step] = []
    latest: list[Step] = []
    moved: list[Step] = []
    guarded = (False, False)
    for family, tables in current.items():
        target = wanted[family]
        opening_nat, exempting, nat, exempted, closing_nat = _nat(
            tables, target, [key for key in servers.exempt if key.family is family]
        )
        before = tables["filter"]
        releases = UNFINISHED in before.chains or changes_udp(tables["nat"], target["nat"])
        staged = bool(nat.script or route_localnet)
        between = _filter_between(tables, target) if staged else (before, before)
        if releases:
            between = _unfinished(between[0]), _unfinished(between[1])
            flows.append(ReleaseFlows(family, tables["nat"], target["nat"]))
        opening = delta("filter", before, between[0])
        moving = delta("filter", opening.after, between[1])
        closing = delta("filter", moving.after, target["filter"])
        first += _loads("old and new refusals", family, "filter", opening)
        moved += _loads("wanted refusals", family, "filter", moving)
        if family is Family.IPV4:
            guarded = _is_guarded(opening.after), _is_guarded(moving.after)
        earliest += _loads("old services, none on virtual IPs", family, "nat", opening_nat)
        exemption += _loads("old services, less those by IPVS", family, "nat", exempting)
        second += _loads("services", family, "nat", nat)
        no_exemption += _loads("services, those by IPVS too", family, "nat", exempted)
        latest += _loads("services, those on virtual IPs too", family, "nat", closing_nat)
        third += _loads("wanted refusals", family, "filter", closing)
        is_changing = bool(nat.script or servers)
        opening, closing = _mangle(tables, target, is_changing=is_changing)
        marks += _loads("old and new marks", family, "mangle", opening)
        last += _loads("wanted marks", family, "mangle", closing)
    switch: dict[_When, list[Step]] = {when: [] for when in _When}
    if route_localnet is not None:
        switch[_when_to_switch(guarded, route_localnet)].append(SetRouteLocalnet(route_localnet))
    return [
        *servers.before_rules,
        *marks,
        *first,
        *switch[_When.BEHIND_FIRST],
        *earliest,
        *servers.before_nat,
        *switch[_When.BEFORE_MOVED],
        *moved,
        *exemption,
        *servers.behind_exemption,
        *second,
        *flows,
        *servers.behind_nat,
        *no_exemption,
        *switch[_When.BEFORE_THIRD],
        *third,
        *switch[_When.BEHIND_THIRD],
        *servers.after_rules,
        *latest,
        *last,
        *servers.last,
    ]


def _nat(
    tables: Tables, target: Tables, exempt: Iterable[VirtualKey]
) -> tuple[Delta, Delta, Delta, Delta, Delta]:
    """The nat table before virtual IPs come, before and when it changes, soon after that, and
    when virtual IPs have gone.

    For iptables mode every address of the node has node ports. While a virtual IP is one, beside
    the rules of that mode, it must have none. And what its rules send to a backend that is a
    virtual server, too, such as a node port, would be sent on from there: such frontends are
    served by IPVS sooner, or longer.
    """
    before, wanted = tables["nat"], target["nat"]
    first = second = before
    third = fourth = wanted
    if _enters_ipvs(tables, target):
        first = _without_virtual_ips(before, wanted)
        second = _without(first, exempt)
    elif is_ipvs_mode(tables) and not is_ipvs_mode(target):
        fourth = _without_virtual_ips(wanted, before)
        third = _without(fourth, exempt)
    found = []
    for state in (first, second, third, fourth, wanted):
        found.append(delta("nat", before, state))
        before = found[-1].after
    opening, exempting, change, exempted, closing = found
    return opening, exempting, change, exempted, closing


def _without(rules: TableState, exempt: Iterable[VirtualKey]) -> TableState:
    """nat rules that leave some frontends alone."""
    lines = rules.chains.get(SERVICES)
    if lines is None:
        return rules
    spared = []
    for key in exempt:
        protocol = _NAMES[key.protocol]
        address = Address(key.family, key.address)
        spared.append(
            f"-A {SERVICES} -d {address}/{key.family.bits} -p {protocol} -m {protocol} "
            f"--dport {key.port} -j RETURN"
        )
    return TableState({**rules.chains, SERVICES: [*spared, *lines]}, rules.others, rules.foreign)


def _without_virtual_ips(rules: TableState, of_ipvs_mode: TableState) -> TableState:
    """nat rules of iptables mode that leave virtual IPs alone, as those of ipvs mode do."""
    chains = dict(rules.chains)
    for name, lines in rules.chains.items():
        known = of_ipvs_mode.chains.get(name, [])
        spared = [line for line in known if _SPARES_VIRTUAL_IPS.search(line)]
        at = next((n for n, line in enumerate(lines) if own_target(line) == NODE_PORTS), None)
        if spared and at is not None:
            chains[name] = [*lines[:at], *spared, *lines[at:]]
    return TableState(chains, rules.others, rules.foreign)


def _filter_between(tables: Tables, target: Tables) -> tuple[TableState, TableState]:
    """The filter table before nat changes, and while it does.

    The refusals of iptables mode tell what is served by its translation, which a packet that IPVS
    serves has not had: beside IPVS they would refuse it. Those of ipvs mode let both pass. So
    those of iptables mode go before IPVS serves, and come when it does no longer.
    """
    before, wanted = tables["filter"], target["filter"]
    if wanted.is_empty or (is_ipvs_mode(tables) and not is_ipvs_mode(target)):
        return before, before
    both = union(before, wanted)
    return both, wanted if _enters_ipvs(tables, target) else both


def _unfinished(state: TableState) -> TableState:
    return TableState({**state.chains, UNFINISHED: []}, state.others, state.foreign)


def _enters_ipvs(tables: Tables, target: Tables) -> bool:
    return is_ipvs_mode(target) and not is_ipvs_mode(tables)


class _When(Enum):
    """Where the switch stands among the steps for the filter table."""

    BEHIND_FIRST = 1
    BEFORE_MOVED = 2
    BEFORE_THIRD = 3
    BEHIND_THIRD = 4


def _when_to_switch(guarded: tuple[bool, bool], on: bool) -> _When:
    """When ``route_localnet`` goes on or off.

    Packets for 127/8 may come from the wire once the switch is on, so the rule that drops them
    is loaded before it goes on and stays until it is off.

    Args:
        guarded: whether it is there before nat changes, and while it does.
        on: what the switch becomes.
    """
    before, meanwhile = guarded
    if on:
        return _When.BEHIND_FIRST if before else _When.BEHIND_THIRD
    return _When.BEFORE_THIRD if meanwhile else _When.BEFORE_MOVED


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


def _is_guarded(state: TableState) -> bool:
    return has_loopback_guard(own_rules(state))


def has_loopback_guard(rules: list[str]) -> bool:
    """Whether a filter rule keeps packets for 127/8 from coming in over the wire."""
    return any(_LOOPBACK_GUARD.search(line) for line in rules)


def own_rules(state: TableState) -> list[str]:
    """All rules of svcc's chains."""
    return [line for rules in state.chains.values() for line in rules]
