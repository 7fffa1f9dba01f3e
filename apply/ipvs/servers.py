"""The side of apply that is not iptables rules: whether it can be used, and its steps."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from svcc.apply.iptables.read import Tables
from svcc.apply.iptables.tool import Iptables, find_tool
from svcc.apply.ipvs import read as ipvs_read
from svcc.apply.ipvs.commands import Command, SetSysctl
from svcc.apply.ipvs.compare import own_difference
from svcc.apply.ipvs.plan import Place, Stage, is_empty, stages
from svcc.apply.ipvs.read import Live
from svcc.apply.ipvs.run import text_of, tool_of
from svcc.apply.ipvs.sets import PENDING, UDP
from svcc.apply.system import conntrack, sysctl
from svcc.apply.system.errors import ApplyError
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.ipvs.ipvsadm import RealKey, VirtualKey, VirtualServers
from svcc.grammar.ipvs.state import Ipvs

CONNTRACK = "net/ipv4/vs/conntrack"
NO_CONNTRACK = (
    "the kernel's IPVS cannot keep connections in conntrack (CONFIG_IP_VS_NFCT), and nothing "
    "behind it could be masqueraded"
)

ALWAYS = {
    # Without a conntrack entry nothing is masqueraded behind IPVS.
    CONNTRACK: "1",
    # Clients of a real server that is gone start again, with their next packet.
    "net/ipv4/vs/expire_nodest_conn": "1",
    "net/ipv4/vs/expire_quiescent_template": "1",
}
"""Kernel settings that ipvs mode needs (Documentation/networking/ipvs-sysctl.rst)."""

NO_REUSE = {"net/ipv4/vs/conn_reuse_mode": "0"}
"""Before Linux 5.9 the other value delays a client that uses a port again by a second."""

STRICT_ARP = {"net/ipv4/conf/all/arp_ignore": "1", "net/ipv4/conf/all/arp_announce": "2"}

_WAITS_WITH_REUSE = (5, 9)


def available(tools: Iptables) -> str | None:
    """Why ipvs mode cannot be used here, None if it can.

    Asking loads the kernel's ip_vs if it is a module.
    """
    if os.geteuid() != 0:
        return "not root"
    for name, package in ipvs_read.PACKAGES.items():
        if find_tool(name) is None:
            return f"{name} is not installed (Debian package: {package})"
    result = ipvs_read.call(tools, "ipvsadm", ["-Sn"])
    if result.code:
        return f"the kernel has no IPVS (ipvsadm: {' '.join(result.error.split())})"
    if sysctl.value(CONNTRACK) is None:
        return NO_CONNTRACK
    return None


def settings_for(wanted: Ipvs | None) -> dict[str, str]:
    """The kernel settings of a mode: none outside ipvs mode, where they do no harm."""
    if wanted is None:
        return {}
    found = dict(ALWAYS)
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if version and (int(version[1]), int(version[2])) < _WAITS_WITH_REUSE:
        found |= NO_REUSE
    return found | STRICT_ARP if wanted.strict_arp else found


@dataclass(frozen=True, slots=True)
class Change:
    """Run the commands of one stage; ``drain``: seconds for connections to end."""

    stage: Stage
    drain: float

    def describe(self) -> str:
        """One line for the person at the terminal."""
        counts: dict[str, int] = {}
        for command in self.stage.commands:
            name = _NAMES[type(command).__name__]
            counts[name] = counts.get(name, 0) + 1
        parts = [_counted(name, count) for name, count in counts.items()]
        return f"{tool_of(self.stage.commands)} ({self.stage.title}): {', '.join(parts)}"

    def text(self) -> str:
        """The commands, a line each."""
        return text_of(self.stage.commands)


_NAMES = {
    "SetSysctl": "setting changed",
    "SetTimeouts": "timeouts set",
    "AddServer": "virtual server added",
    "EditServer": "virtual server changed",
    "RemoveServer": "virtual server removed",
    "AddReal": "real server added",
    "EditReal": "weight changed",
    "RemoveReal": "real server removed",
    "WaitForConnections": "wait",
    "CreateSet": "set created",
    "DestroySet": "set destroyed",
    "SwapSets": "set exchanged",
    "AddEntry": "entry added",
    "RemoveEntry": "entry removed",
    "CreateDevice": "device created",
    "RaiseDevice": "device raised",
    "RemoveDevice": "device removed",
    "AddAddress": "address added",
    "RemoveAddress": "address removed",
}
_UNCOUNTED = frozenset({"timeouts set", "wait", "device created", "device raised",
                        "device removed"})  # fmt: skip


def _counted(name: str, count: int) -> str:
    if name in _UNCOUNTED:
        return name
    noun, _, verb = name.rpartition(" ")
    ending = {"s": "ses", "y": "ies"}.get(noun[-1], f"{noun[-1]}s")
    plural = noun if count == 1 else noun[:-1] + ending
    return f"{count} {plural} {verb}"


@dataclass(frozen=True, slots=True)
class ReleaseServed:
    """Delete UDP flows to virtual servers that IPVS would no longer make."""

    before: VirtualServers
    now: VirtualServers

    def describe(self) -> str:
        """One line for the person at the terminal."""
        return "conntrack: UDP flows of changed virtual servers released"

    def run(self, tools: Iptables) -> int:
        """How many kinds of flows were deleted.

        Raises:
            ToolError: conntrack(8) is not installed or not allowed.
        """
        return conntrack.release_served(tools, self.before, self.now)


ServerStep = Change | ReleaseServed


@dataclass(slots=True)
class ServerSteps:
    """Steps by their place among the iptables steps."""

    before_rules: list[ServerStep] = field(default_factory=list)
    before_nat: list[ServerStep] = field(default_factory=list)
    behind_nat: list[ServerStep] = field(default_factory=list)
    after_rules: list[ServerStep] = field(default_factory=list)
    last: list[ServerStep] = field(default_factory=list)

    def __bool__(self) -> bool:
        places = (self.before_rules, self.before_nat, self.behind_nat, self.after_rules, self.last)
        return any(places)


@dataclass(frozen=True, slots=True)
class Servers:
    """What is wanted beside rules, and what was there.

    ``settings``: the kernel settings that are wanted, by path below /proc/sys. ``drain``:
    seconds that connections to real servers that go may take to end.
    """

    tools: Iptables
    before: Live
    wanted: Ipvs
    settings: dict[str, str]
    exclude: tuple[Network, ...]
    drain: float

    def steps(self, tables: Mapping[Family, Tables]) -> ServerSteps:
        """From what was there to what is wanted.

        Args:
            tables: the rules that are loaded.

        Raises:
            ApplyError: a set has to become one of another type.
        """
        return _steps(self.before, self.wanted, self.settings, tables, self.drain)

    def steps_back(self, tables: Mapping[Family, Tables]) -> ServerSteps:
        """From what is there now to what was there before.

        Raises:
            ToolError: what is there cannot be read.
            ApplyError: a set has to become one of another type.
        """
        return _steps(self.read(), self.before.ipvs, self.before.settings, tables, 0)

    def read(self) -> Live:
        """What is there now of all that was or will be ours.

        Raises:
            ToolError: a tool is missing or failed.
        """
        return ipvs_read.read(
            self.tools,
            claims=(self.before.ipvs, self.wanted),
            exclude=self.exclude,
            settings=self.settings,
            need_ipvs=bool(self.before.ipvs.servers or self.settings),
        )

    def problem(self) -> str | None:
        """What is there now that should not be, or the other way round.

        Raises:
            ToolError: what is there cannot be read.
        """
        now = self.read()
        if (name := own_difference(now.ipvs, self.wanted)) is not None:
            return f"{name} reads back otherwise than it was loaded"
        for setting, value in self.settings.items():
            if now.settings.get(setting, value) != value:
                return f"sysctl {sysctl.dotted(setting)} did not become {value}"
        for name in sorted(self.before.foreign - now.foreign):
            return f"{name}, which is not svcc's, went away meanwhile"
        return None

    def problem_back(self) -> str | None:
        """What is otherwise than it was before.

        Raises:
            ToolError: what is there cannot be read.
        """
        name = own_difference(self.read().ipvs, self.before.ipvs)
        return None if name is None else f"{name} is not as it was"


def look(
    tools: Iptables, wanted: Ipvs | None, exclude: tuple[Network, ...], drain: float
) -> Servers | None:
    """Read what is there beside rules; None: nothing is, and nothing is wanted.

    Raises:
        ToolError: a tool is missing or failed.
        ApplyError: what is wanted must not be touched.
    """
    if wanted is None and not ipvs_read.may_hold_state(tools):
        return None
    for key in wanted.servers if wanted else ():
        if key.protocol and _is_excluded(key, exclude):
            raise ApplyError(
                f"the virtual server {key} is wanted, but its address is in ipvs.excludeCIDRs, "
                "whose virtual servers svcc must not touch; nothing was changed"
            )
    settings = settings_for(wanted)
    target = wanted or Ipvs()
    before = ipvs_read.read(
        tools,
        claims=(target,),
        exclude=exclude,
        settings=settings,
        need_ipvs=wanted is not None,
    )
    if wanted is not None and CONNTRACK not in before.settings:
        raise ApplyError(f"{NO_CONNTRACK}; nothing was changed")
    return Servers(tools, before, target, settings, exclude, drain)


def _is_excluded(key: VirtualKey, exclude: tuple[Network, ...]) -> bool:
    return any(network.holds(Address(key.family, key.address)) for network in exclude)


def _steps(
    live: Live,
    target: Ipvs,
    settings: Mapping[str, str],
    tables: Mapping[Family, Tables],
    drain: float,
) -> ServerSteps:
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
        target,
        device=live.device,
        addresses_before_nat=frozenset(f for f, t in tables.items() if is_nat_mode(t)),
        drain=drain > 0,
    )
    lists = {
        Place.BEFORE_RULES: result.before_rules,
        Place.BEFORE_NAT: result.before_nat,
        Place.AFTER_RULES: result.after_rules,
        Place.LAST: result.last,
    }
    for stage in listed:
        lists[stage.place].append(Change(stage, drain))
    before, now = _udp(live.ipvs.servers), _udp(target.servers)
    unfinished = any(name in live.ipvs.sets for name in PENDING.values())
    if is_empty(target):
        if before:
            # From now on nat rules serve these, if anything does.
            result.behind_nat.append(ReleaseServed(before, {}))
    elif _reals(before) != _reals(now) or (now and unfinished):
        result.after_rules.append(ReleaseServed(before, now))
    return result


def _reals(servers: VirtualServers) -> dict[VirtualKey, frozenset[RealKey]]:
    return {key: frozenset(server.servers) for key, server in servers.items()}


def _udp(servers: VirtualServers) -> VirtualServers:
    return {key: server for key, server in servers.items() if key.protocol == UDP}


def is_nat_mode(tables: Tables) -> bool:
    """Whether the nat rules of svcc that are loaded are those of iptables mode.

    Those of ipvs mode ask in POSTROUTING whether IPVS has sent a packet on.
    """
    nat = tables["nat"]
    lines = [line for rules in nat.chains.values() for line in rules]
    return bool(lines) and not any(" -m ipvs " in line for line in lines)
