"""The side of apply that is not iptables rules: whether it can be used, what is there, and
whether it became what is wanted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from svcc.apply.ipvs import read as ipvs_read
from svcc.apply.ipvs.compare import own_difference
from svcc.apply.ipvs.read import Live
from svcc.apply.ipvs.steps import ServerSteps, server_steps
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ApplyError
from svcc.apply.system.tools import Tools, call, is_installed, not_installed
from svcc.grammar.address import Address, Family, Network
from svcc.grammar.ipvs.ipvsadm import VirtualKey
from svcc.grammar.ipvs.state import Ipvs, required_sysctls

CONNTRACK = "net/ipv4/vs/conntrack"
NO_CONNTRACK = (
    "the kernel's IPVS cannot keep connections in conntrack (CONFIG_IP_VS_NFCT), and nothing "
    "behind it could be masqueraded"
)

NO_REUSE = {"net/ipv4/vs/conn_reuse_mode": "0"}
"""Before Linux 5.9 the other value delays a client that uses a port again by a second."""

_WAITS_WITH_REUSE = (5, 9)


def available(tools: Tools) -> str | None:
    """Why ipvs mode cannot be used here, None if it can.

    Asking loads the kernel's ip_vs if it is a module.
    """
    if os.geteuid() != 0:
        return "not root"
    for name in ("ipvsadm", "ipset", "ip"):
        if not is_installed(name):
            return not_installed(name)
    result = call(tools, "ipvsadm", ["-Sn"])
    if result.code:
        return f"the kernel has no IPVS (ipvsadm: {' '.join(result.error.split())})"
    if sysctl.value(CONNTRACK) is None:
        return NO_CONNTRACK
    return None


def settings_for(wanted: Ipvs | None) -> dict[str, str]:
    """The kernel settings of a mode: none outside ipvs mode, where they do no harm."""
    if wanted is None:
        return {}
    found = {name.replace(".", "/"): value for name, value in required_sysctls(wanted).items()}
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    if version and (int(version[1]), int(version[2])) < _WAITS_WITH_REUSE:
        found |= NO_REUSE
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What is wanted beside rules, and what was there.

    ``settings``: the kernel settings that are wanted, by path below /proc/sys. ``drain``:
    seconds that connections to real servers that go may take to end.
    """

    tools: Tools
    before: Live
    wanted: Ipvs
    settings: dict[str, str]
    exclude: tuple[Network, ...]
    drain: float

    def steps(
        self, served_by_nat: frozenset[Family], behind_nat: frozenset[VirtualKey]
    ) -> ServerSteps:
        """From what was there to what is wanted.

        Args:
            served_by_nat: families that the loaded nat rules serve.
            behind_nat: backends of nat rules of iptables mode, loaded or wanted.

        Raises:
            ApplyError: a set has to become one of another type.
        """
        return server_steps(
            self.before,
            self.wanted,
            self.settings,
            served_by_nat=served_by_nat,
            drain=self.drain,
            behind_nat=behind_nat,
        )

    def steps_back(
        self, served_by_nat: frozenset[Family], behind_nat: frozenset[VirtualKey]
    ) -> ServerSteps:
        """From what is there now to what was there before.

        Args:
            served_by_nat: as in :meth:`steps`.
            behind_nat: as in :meth:`steps`.

        Raises:
            ToolError: what is there cannot be read.
            ApplyError: a set has to become one of another type.
        """
        return server_steps(
            self.read(),
            self.before.ipvs,
            self.before.settings,
            served_by_nat=served_by_nat,
            drain=0,
            behind_nat=behind_nat,
        )

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
    tools: Tools,
    wanted: Ipvs | None,
    exclude: tuple[Network, ...],
    drain: float,
    node_ports_on: Iterable[Address],
) -> Servers | None:
    """Read what is there beside rules; None: nothing is, and nothing is wanted.

    ``node_ports_on``: addresses to which the rules that are loaded send node ports.

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
        node_ports_on=node_ports_on,
    )
    if wanted is not None and CONNTRACK not in before.settings:
        raise ApplyError(f"{NO_CONNTRACK}; nothing was changed")
    return Servers(
        tools=tools, before=before, wanted=target, settings=settings, exclude=exclude, drain=drain
    )


def _is_excluded(key: VirtualKey, exclude: tuple[Network, ...]) -> bool:
    return any(network.holds(Address(key.family, key.address)) for network in exclude)
