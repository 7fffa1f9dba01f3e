"""Why objects are passed over, in words."""

from __future__ import annotations

from svcc.compiler.model.objects import PassedOver, PassedOverReason

REASONS: dict[PassedOverReason, str] = {
    "another-proxy": "a label leaves it to another proxy",
    "headless": "headless",
    "external-name": "ExternalName",
    "no-cluster-ip": "no clusterIP; the API server assigns one, or svcc allocate",
    "no-ports": "no ports",
    "clash": "it claims what another Service claims",
    "invalid": "it is not valid",
    "invalid-endpoints": "its endpoints are not valid",
    "no-service-label": "no label names its Service",
    "no-such-service": "its Service is not among the objects",
    "fqdn": "addressType FQDN has no addresses",
    "other-kind": "nothing about Services",
}

_BY_KIND: frozenset[PassedOverReason] = frozenset({"headless", "external-name", "other-kind"})
_WRONG: frozenset[PassedOverReason] = frozenset({"clash", "invalid", "invalid-endpoints"})


def is_by_kind(item: PassedOver) -> bool:
    """Whether an object of its kind never has a frontend or a backend, so that nothing is lost."""
    return item.reason in _BY_KIND


def is_wrong(item: PassedOver) -> bool:
    """Whether a Service was passed over for what is wrong with it or its endpoints."""
    return item.kind == "Service" and item.reason in _WRONG
