"""Which Services are for svcc at all.

Source: kube-proxy pkg/proxy/util/utils.go (ShouldSkipService) and the label selector of its
informers (cmd/kube-proxy/app/server.go).
"""

from __future__ import annotations

from svcc.compiler.model.objects import Service

SKIP_LABELS = (
    "service.kubernetes.io/service-proxy-name",
    "service.kubernetes.io/headless",
)


def is_forwarded(service: Service) -> bool:
    """Whether this is a Service for us: no ExternalName, not headless, not another proxy's."""
    return not (
        service.type == "ExternalName" or service.headless or left_to_others(service.labels)
    )


def left_to_others(labels: dict[str, str]) -> bool:
    """Whether the labels of a Service or slice give it to another proxy, or to none."""
    return any(label in labels for label in SKIP_LABELS)
