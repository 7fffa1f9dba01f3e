"""Measures for Prometheus: kube-proxy's names where they mean the same, and svcc's own.

Source: pkg/proxy/metrics/metrics.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from svcc.agent.serving.server import Response, Routes

if TYPE_CHECKING:
    from prometheus_client import Counter, Gauge, Histogram

_SYNC_BUCKETS = tuple(0.001 * 2**n for n in range(15))
_PROGRAMMING_BUCKETS = (
    0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 300, 30), 300.0,
)  # fmt: skip


class Metrics:
    """The measures of one agent. Times are seconds."""

    def __init__(self, mode: str) -> None:
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Gauge,
            Histogram,
            disable_created_metrics,
        )
        from prometheus_client.process_collector import ProcessCollector

        # As the Go client, which wrote kube-proxy's measures all along.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._mode = mode

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, registry=self._registry, buckets=buckets)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=self._registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self._registry)

        self.sync = histogram(
            "kubeproxy_sync_proxy_rules_duration_seconds",
            "From the begin of a sync until the rules are loaded",
            _SYNC_BUCKETS,
        )
        self.partial_sync = histogram(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "The same of syncs that look at what changed alone",
            _SYNC_BUCKETS,
        )
        self.full_sync = histogram(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "The same of syncs that look at everything",
            _SYNC_BUCKETS,
        )
        self.programming = histogram(
            "kubeproxy_network_programming_duration_seconds",
            "From the change of an endpoint, as its slice tells it, until it is in force",
            _PROGRAMMING_BUCKETS,
        )
        self.last_sync = gauge(
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "When rules were as wanted last",
        )
        self.last_queued = gauge(
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "When a sync was asked for last",
        )
        self.service_changes = counter(
            "kubeproxy_sync_proxy_rules_service_changes", "Changes of Services"
        )
        self.endpoint_changes = counter(
            "kubeproxy_sync_proxy_rules_endpoint_changes", "Changes of EndpointSlices"
        )
        self.healthz = counter("kubeproxy_proxy_healthz", "Answers of /healthz", "code")
        self.livez = counter("kubeproxy_proxy_livez", "Answers of /livez", "code")
        self.proof = histogram(
            "svcc_proof_duration_seconds", "What it takes to prove rules", _SYNC_BUCKETS
        )
        self.failures = counter(
            "svcc_sync_failures", "Syncs that left the rules as they were, by what failed", "stage"
        )
        self.findings = gauge(
            "svcc_findings", "What is not proved of the rules that are judged, by code", "code"
        )
        self.drift = counter("svcc_drift_repaired", "Times that somebody else changed svcc's rules")
        self.frontends = gauge("svcc_service_ports", "Ports of Services that are forwarded")
        self.stale = gauge(
            "svcc_source_stale_seconds",
            "For how long what is followed may be out of date",
        )
        for stage in ("input", "proof", "apply"):
            self.failures.labels(stage)

    def answered(self, name: str, code: int) -> None:
        """``/healthz`` or ``/livez`` was answered."""
        (self.healthz if name == "healthz" else self.livez).labels(str(code)).inc()

    def found(self, by_code: Mapping[str, int]) -> None:
        """How many findings there are now of each code."""
        self.findings.clear()
        for code, count in by_code.items():
            self.findings.labels(code).set(count)

    def routes(self) -> Routes:
        """``/metrics``, and ``/proxyMode`` as kube-proxy answers it."""
        return {
            "/metrics": self._text,
            "/proxyMode": lambda: Response(200, self._mode),
        }

    def _text(self) -> Response:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        text = generate_latest(self._registry).decode()
        return Response(200, text, CONTENT_TYPE_LATEST)
