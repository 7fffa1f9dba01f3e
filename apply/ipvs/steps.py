"""The steps of apply that are not iptables rules, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from svcc.apply.ipvs import udp_release
from svcc.apply.ipvs.commands import (
    AddAddress,
    AddEntry,
    AddReal,
    AddServer,
    Command,
    CreateDevice,
    CreateSet,
    DestroySet,
    EditReal,
    EditServer,
    RaiseDevice,
    RemoveAddress,
    RemoveDevice,
    RemoveEntry,
    RemoveReal,
    RemoveServer,
    SetSysctl,
    SetTimeouts,
    SwapSets,
    WaitForConnections,
)
from svcc.apply.ipvs.plan import Place, Stage, clashes, is_empty, stages
from svcc.apply.ipvs.read import Live
from svcc.apply.ipvs.run import text_of, tool_of
from svcc.apply.ipvs.sets import PENDING
from svcc.apply.system.tools import Tools
from svcc.grammar.address import Family
from svcc.grammar.ipvs.ipvsadm import RealKey, VirtualKey, VirtualServers
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.numbers import TRANSPORTS


@dataclass(frozen=True, slots=True)
class Change:
    """Run the commands of one stage; ``drain``: seconds for connections to end."""

    stage: Stage
    drain: float

    def describe(self) -> str:
        """One line for the person at the terminal."""
        tool = tool_of(self.stage.commands)
        return f"{tool} ({self.stage.title}): {summary(self.stage.commands)}"

    def text(self) -> str:
        """The commands, a line each."""
        return text_of(self.stage.commands)


@dataclass(frozen=True, slots=True)
class ReleaseServed:
    """Delete UDP flows to virtual servers that IPVS would no longer make."""

    before: VirtualServers
    now: VirtualServers

    def describe(self) -> str:
        """One line for the person at the terminal."""
        return "conntrack: UDP flows of changed virtual servers released"

    def run(self, tools: Tools) -> int:
        """How many kinds of flows were deleted.

        Raises:
            ToolError: conntrack(8) is not installed or not allowed.
        """
        return udp_release.release(tools, self.before, self.now)


ServerStep = Change | ReleaseServed


@dataclass(slots=True)
class ServerSteps:
    """Steps by their place among the iptables steps."""

    before_rules: list[ServerStep] = field(default_factory=list)
    before_nat: list[ServerStep] = field(default_factory=list)
    behind_exemption: list[ServerStep] = field(default_factory=list)
    behind_nat: list[ServerStep] = field(default_factory=list)
    after_rules: list[ServerStep] = field(default_factory=list)
    last: list[ServerStep] = field(default_factory=list)
    exempt: tuple[VirtualKey, ...] = ()
    """Frontends that IPVS serves before the nat rules cease to, or longer."""

    def __bool__(self) -> bool:
        return any(
            (
                self.before_rules,
                self.before_nat,
                self.behind_exemption,
                self.behind_nat,
                self.after_rules,
                self.last,
            )
        )


def server_steps(
    live: Live,
    wanted: Ipvs,
    settings: Mapping[str, str],
    *,
    served_by_nat: frozenset[Family],
    drain: float,
    behind_nat: frozenset[VirtualKey] = frozenset(),
) -> ServerSteps:
    """What leads from what is there to what is wanted.

    Args:
        live: what is there.
        wanted: what should be.
        settings: the kernel settings that are wanted, by path below /proc/sys.
        served_by_nat: families that nat rules serve until now.
        drain: seconds that connections to real servers that go may take to end.
        behind_nat: backends of nat rules of iptables mode, old or new.

    Raises:
        ApplyError: a set has to become one of another type.
    """
    result = ServerSteps()
    changes: tuple[Command, ...] = tuple(
        SetSysctl(name, value)
        for name, value in settings.items()
        if live.settings.get(name, value) != value
    )
    if changes:
        stage = Stage(Place.BEFORE_RULES, "kernel settings", changes)
        result.before_rules.append(Change(stage, 0))
    listed = stages(
        live.ipvs,
        wanted,
        device=live.device,
        addresses_before_nat=served_by_nat,
        drain=drain > 0,
        behind_nat=behind_nat,
    )
    changing = live.ipvs if is_empty(wanted) else wanted
    result.exempt = tuple(_leading_to(clashes(changing, behind_nat), changing.servers))
    lists = {
        Place.BEFORE_RULES: result.before_rules,
        Place.BEFORE_NAT: result.before_nat,
        Place.BEHIND_EXEMPTION: result.behind_exemption,
        Place.BEHIND_NAT: result.behind_nat,
        Place.AFTER_RULES: result.after_rules,
        Place.LAST: result.last,
    }
    for stage in listed:
        lists[stage.place].append(Change(stage, drain))
    before, now = _udp(live.ipvs.servers), _udp(wanted.servers)
    unfinished = any(name in live.ipvs.sets for name in PENDING.values())
    if is_empty(wanted):
        if before:
            # From now on nat rules serve these, if anything does.
            result.behind_nat.append(ReleaseServed(before, {}))
    elif _reals(before) != _reals(now) or (now and unfinished):
        result.after_rules.append(ReleaseServed(before, now))
    return result


def _leading_to(backends: frozenset[VirtualKey], servers: VirtualServers) -> Iterator[VirtualKey]:
    """The frontends, those that are backends themselves aside, with one of the backends."""
    for key, server in servers.items():
        if key not in backends and any(
            VirtualKey(key.family, key.protocol, real.address, real.port) in backends
            for real in server.servers
        ):
            yield key


def _reals(servers: VirtualServers) -> dict[VirtualKey, frozenset[RealKey]]:
    return {key: frozenset(server.servers) for key, server in servers.items()}


def _udp(servers: VirtualServers) -> VirtualServers:
    return {key: s for key, s in servers.items() if key.protocol == TRANSPORTS["udp"]}


# -- in words ------------------------------------------------------------------------------


class _Deed(NamedTuple):
    """What a command does; ``plural`` empty: there is but one of it."""

    noun: str
    verb: str
    plural: str = ""


def summary(commands: Iterable[Command]) -> str:
    """``2 virtual servers added, 5 real servers added, wait``"""
    counts: dict[_Deed, int] = {}
    for command in commands:
        deed = _deed(command)
        counts[deed] = counts.get(deed, 0) + 1
    return ", ".join(_counted(deed, count) for deed, count in counts.items())


def _counted(deed: _Deed, count: int) -> str:
    if not deed.plural:
        return f"{deed.noun} {deed.verb}".rstrip()
    return f"{count} {deed.noun if count == 1 else deed.plural} {deed.verb}"


def _deed(command: Command) -> _Deed:
    match command:
        case AddEntry():
            return _Deed("entry", "added", "entries")
        case RemoveEntry():
            return _Deed("entry", "removed", "entries")
        case AddReal():
            return _Deed("real server", "added", "real servers")
        case EditReal():
            return _Deed("weight", "changed", "weights")
        case RemoveReal():
            return _Deed("real server", "removed", "real servers")
        case AddServer():
            return _Deed("virtual server", "added", "virtual servers")
        case EditServer():
            return _Deed("virtual server", "changed", "virtual servers")
        case RemoveServer():
            return _Deed("virtual server", "removed", "virtual servers")
        case AddAddress():
            return _Deed("address", "added", "addresses")
        case RemoveAddress():
            return _Deed("address", "removed", "addresses")
        case CreateSet():
            return _Deed("set", "created", "sets")
        case DestroySet():
            return _Deed("set", "destroyed", "sets")
        case SwapSets():
            return _Deed("set", "exchanged", "sets")
        case SetSysctl():
            return _Deed("setting", "changed", "settings")
        case SetTimeouts():
            return _Deed("timeouts", "set")
        case WaitForConnections():
            return _Deed("wait", "")
        case CreateDevice():
            return _Deed("device", "created")
        case RaiseDevice():
            return _Deed("device", "raised")
        case RemoveDevice():
            return _Deed("device", "removed")
        case _:
            assert_never(command)
