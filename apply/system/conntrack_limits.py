"""Limits and timeouts of connection tracking, as a kube-proxy sets them on its node.

Source: cmd/kube-proxy/app/conntrack.go and server_linux.go (getConntrackMax).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from svcc.apply.system import sysctl
from svcc.apply.system.errors import ToolError

MAX = "net/netfilter/nf_conntrack_max"
_TIMEOUTS = {
    "tcp_established": "net/netfilter/nf_conntrack_tcp_timeout_established",
    "tcp_close_wait": "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "udp": "net/netfilter/nf_conntrack_udp_timeout",
    "udp_stream": "net/netfilter/nf_conntrack_udp_timeout_stream",
}
BE_LIBERAL = "net/netfilter/nf_conntrack_tcp_be_liberal"
LEAST = 131072
"""The least limit where one is asked for by the core, as kube-proxy has it by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackLimits:
    """What the node is to have; None and 0: left alone. Timeouts are seconds.

    The limit is ``max_per_core`` times the cores, but at least ``least``.
    """

    max_per_core: int | None = None
    least: int | None = None
    tcp_established: float | None = None
    tcp_close_wait: float | None = None
    udp: float | None = None
    udp_stream: float | None = None
    be_liberal: bool = False

    def settings(self, cores: int) -> Iterator[tuple[str, int]]:
        """The sysctls that are to have a value."""
        if self.max_per_core:
            least = LEAST if self.least is None else self.least
            yield MAX, max(self.max_per_core * cores, least)
        elif self.least and self.max_per_core is None:
            yield MAX, self.least
        for name, path in _TIMEOUTS.items():
            seconds = getattr(self, name)
            if seconds:
                yield path, round(seconds)
        if self.be_liberal:
            yield BE_LIBERAL, 1


def set_limits(limits: ConntrackLimits, cores: int) -> Iterator[str]:
    """Set what is otherwise; a limit that is larger already stays, whoever has raised it.

    Args:
        limits: what the node is to have.
        cores: how many processors it has.

    Yields:
        What was done, and what could not be (``warning: …``).
    """
    for name, wanted in limits.settings(cores):
        text = sysctl.value(name)
        if text is None:
            yield f"warning: {sysctl.dotted(name)} is not to be had here"
            continue
        now = int(text)
        if now == wanted or (name == MAX and now > wanted):
            continue
        try:
            sysctl.set_value(name, str(wanted))
        except ToolError as error:
            yield f"warning: {error}"
        else:
            yield f"note: {sysctl.dotted(name)} was {now} and is {wanted}"
