"""How a node agent runs: what a KubeProxyConfiguration says besides what the rules are to be.

Source: k8s.io/kube-proxy/config/v1alpha1 types and defaults (pkg/proxy/apis/config/v1alpha1).
Durations are seconds.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from svcc.compiler.load.fields import Fields
from svcc.compiler.load.text import shorten

HEALTHZ_PORT, METRICS_PORT = 10256, 10249
MODES = ("iptables", "ipvs", "nftables")


@dataclass(frozen=True, slots=True)
class BindAddress:
    """Where a server listens; ``host`` as getaddrinfo(3) takes it, an IPv6 address bare."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Conntrack:
    """Limits and timeouts of connection tracking that the node is to have; None: left alone.

    ``max_per_core`` times the cores, but at least ``min``, is the limit of entries.
    """

    max_per_core: int | None = None
    min: int | None = None
    tcp_established_timeout: float | None = None
    tcp_close_wait_timeout: float | None = None
    udp_timeout: float | None = None
    udp_stream_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """How an API server is asked. ``qps`` 0: without limit."""

    kubeconfig: str = ""
    qps: float = 5.0
    burst: int = 10


@dataclass(frozen=True, slots=True)
class Periods:
    """``minimum``: between two syncs; ``maximum``: after which there is one without a change."""

    minimum: float = 1.0
    maximum: float = 30.0


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How the agent runs. ``periods`` are by mode; None of an address: nothing is served."""

    healthz: BindAddress | None = field(default=BindAddress("0.0.0.0", HEALTHZ_PORT))
    metrics: BindAddress | None = BindAddress("127.0.0.1", METRICS_PORT)
    bind_address_hard_fail: bool = False
    client: ClientConnection = ClientConnection()
    conntrack: Conntrack = Conntrack()
    periods: dict[str, Periods] = field(default_factory=dict)

    def periods_of(self, mode: str) -> Periods:
        """How often rules of a mode are looked at."""
        return self.periods.get(mode, Periods())


_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|ns|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def duration(text: str) -> float:
    """A Go duration (``15m``, ``1h30m``, ``0s``, ``500ms``) in seconds.

    Raises:
        ValueError: it is none.
    """
    parts = _DURATION.findall(text)
    if text != "0" and ("".join(n + unit for n, unit in parts) != text or not parts):
        raise ValueError(f"{shorten(text)} is not a duration; write it like 15m or 30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def bind_address(text: str, port: int) -> BindAddress:
    """``ADDRESS`` or ``ADDRESS:PORT``, an IPv6 address with a port in brackets.

    Args:
        text: what people write.
        port: which it is where the text has none.

    Raises:
        ValueError: it is none.
    """
    host, given = text, ""
    if text.startswith("["):
        host, _, given = text[1:].partition("]")
        if given and not given.startswith(":"):
            raise ValueError(_no_address(text))
        given = given[1:]
    elif text.count(":") == 1:
        host, given = text.split(":")
        host = host or "0.0.0.0"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(_no_address(text)) from None
    if given and not (given.isascii() and given.isdigit() and int(given) < 1 << 16):
        raise ValueError(_no_address(text))
    return BindAddress(host, int(given) if given else port)


def _no_address(text: str) -> str:
    return f"{shorten(text)} is no address to listen on; write it like 0.0.0.0:10256 or [::]:10256"


def agent_settings(top: Fields) -> AgentSettings:
    """What a configuration says; what is wrong with it is noted there."""
    client, conntrack = top.object("clientConnection"), top.object("conntrack")
    qps = client.raw("qps")
    return AgentSettings(
        healthz=_address(top, "healthzBindAddress", HEALTHZ_PORT, AgentSettings().healthz),
        metrics=_address(top, "metricsBindAddress", METRICS_PORT, AgentSettings().metrics),
        bind_address_hard_fail=top.flag("bindAddressHardFail", False),
        client=ClientConnection(
            client.text("kubeconfig"),
            float(qps) if isinstance(qps, int | float) and qps > 0 else ClientConnection().qps,
            client.number("burst", 0, 1 << 31, 0) or ClientConnection().burst,
        ),
        conntrack=Conntrack(
            _number(conntrack, "maxPerCore"),
            _number(conntrack, "min"),
            conntrack.read("tcpEstablishedTimeout", duration),
            conntrack.read("tcpCloseWaitTimeout", duration),
            conntrack.read("udpTimeout", duration),
            conntrack.read("udpStreamTimeout", duration),
        ),
        periods={mode: _periods(top.object(mode)) for mode in MODES},
    )


def _address(top: Fields, key: str, port: int, default: BindAddress | None) -> BindAddress | None:
    return top.read(key, lambda text: bind_address(text, port)) or default


def _number(fields: Fields, key: str) -> int | None:
    return fields.number(key, 0, (1 << 31) - 1, 0) if fields.has(key) else None


def _periods(mode: Fields) -> Periods:
    # kubeadm writes 0s, which is the default to kube-proxy.
    least = mode.read("minSyncPeriod", duration) or Periods().minimum
    most = mode.read("syncPeriod", duration) or Periods().maximum
    return Periods(least, max(least, most))


PATHS = (
    ("healthzBindAddress",), ("metricsBindAddress",), ("bindAddressHardFail",),
    ("clientConnection", "kubeconfig"), ("clientConnection", "qps"), ("clientConnection", "burst"),
    ("conntrack", "maxPerCore"), ("conntrack", "min"), ("conntrack", "tcpEstablishedTimeout"),
    ("conntrack", "tcpCloseWaitTimeout"), ("conntrack", "udpTimeout"),
    ("conntrack", "udpStreamTimeout"),
    *((mode, period) for mode in MODES for period in ("syncPeriod", "minSyncPeriod")),
)  # fmt: skip
"""The fields that only an agent reads."""
