"""What flags say of how the agent runs, over what the configuration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from svcc.api.errors import bad_input
from svcc.compiler.settings.agent import (
    HEALTHZ_PORT,
    METRICS_PORT,
    MODES,
    AgentSettings,
    BindAddress,
    Periods,
    bind_address,
    duration,
)

if TYPE_CHECKING:
    from svcc.agent.sources.source import Source

Value = TypeVar("Value")
NOWHERE = ("", "none")
"""What people write for an address that nothing is to listen on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFlags:
    """Texts by the names of their flags; None: not given."""

    healthz_bind_address: str | None = None
    metrics_bind_address: str | None = None
    bind_address_hard_fail: bool = False
    sync_period: str | None = None
    min_sync_period: str | None = None

    def over(self, configured: AgentSettings) -> AgentSettings:
        """The settings, where flags say nothing else.

        Raises:
            InputError: a flag is wrong.
        """
        return replace(
            configured,
            healthz=self._address("healthz_bind_address", HEALTHZ_PORT, configured.healthz),
            metrics=self._address("metrics_bind_address", METRICS_PORT, configured.metrics),
            bind_address_hard_fail=configured.bind_address_hard_fail or self.bind_address_hard_fail,
            periods={mode: self._periods(configured.periods_of(mode)) for mode in MODES},
        )

    def _address(self, flag: str, port: int, configured: BindAddress | None) -> BindAddress | None:
        text = getattr(self, flag)
        if text in NOWHERE:
            return None
        return self._read(flag, lambda value: bind_address(value, port), configured)

    def _periods(self, configured: Periods) -> Periods:
        least = self._read("min_sync_period", duration, configured.minimum)
        most = self._read("sync_period", duration, configured.maximum)
        return Periods(least, max(least, most))

    def _read(self, flag: str, read: Callable[[str], Value], configured: Value) -> Value:
        text = getattr(self, flag)
        if text is None:
            return configured
        try:
            return read(text)
        except ValueError as error:
            raise bad_input(f"--{flag.replace('_', '-')}", str(error)) from None


def settle_seconds(text: str) -> float:
    """What ``--settle`` says.

    Raises:
        InputError: it is no duration.
    """
    try:
        return duration(text)
    except ValueError as error:
        raise bad_input("--settle", str(error)) from None


def cluster_source(
    settings: AgentSettings, node: str, kubeconfig: str | None, master: str | None
) -> Source:
    """The API server as a source.

    Args:
        settings: what the configuration says.
        node: the name of this node.
        kubeconfig: a path, in place of the configuration's.
        master: a URL, in place of the kubeconfig's server.

    Raises:
        InputError: something is wrong with the kubeconfig, or there is none and this is no pod.
    """
    from svcc.agent.api_server.access import ClientSettings
    from svcc.agent.sources.cluster import ClusterSource

    client = settings.client
    asked = ClientSettings(kubeconfig or client.kubeconfig, master or "", client.qps, client.burst)
    return ClusterSource(asked, node)
