"""The switch that loopback node ports need."""

from __future__ import annotations

from dataclasses import dataclass

from svcc.apply.system import sysctl


@dataclass(frozen=True, slots=True)
class SetRouteLocalnet:
    """Let the kernel route packets from and to 127/8 beyond loopback, or stop it."""

    on: bool

    def describe(self) -> str:
        """One line for the person at the terminal."""
        return f"sysctl {sysctl.dotted(sysctl.ROUTE_LOCALNET)} = {int(self.on)}"
