"""Which Services are for svcc at all.

Source: kube-proxy pkg/proxy/util/utils.go (ShouldSkipService) and the label selector of its
informers (cmd/kube-proxy/app/server.go).
"""

from __future__ import annotations

from svcc.compiler.model.objects import PassedOverReason, Service

SKIP_LABELS = (
    "service.kubernetes.io/service-proxy-name",
    "service.kubernetes.io/headless",
)


def is_forwarded(service: Service) -> bool:
    """Whether this is a Service for us: no ExternalName, not headless, not another proxy's."""
    return why_not_forwarded(service) is None


def why_not_forwarded(service: Service) -> PassedOverReason | None:
    """Why this is no Service for us, None if it is one."""
    if service.type == "ExternalName":
        return "external-name"
    if service.headless:
        return "headless"
    return "another-proxy" if left_to_others(service.labels) else None


def left_to_others(labels: dict[str, str]) -> bool:
    """Whether the labels of a Service or slice give it to another proxy, or to none."""
    return any(label in labels for label in SKIP_LABELS)
