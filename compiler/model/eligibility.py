"""Which Services are for svcc at all.

Source: kube-proxy 1.36, pkg/proxy/util/utils.go (ShouldSkipService) and the label selectors of
its informers (cmd/kube-proxy/app/server.go). Until 1.35 both labels left out Services and slices.
"""

from __future__ import annotations

from svcc.compiler.model.objects import EndpointSlice, PassedOverReason, Service

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
"""On a Service: another proxy serves it."""
HEADLESS_LABEL = "service.kubernetes.io/headless"
"""On a slice: no proxy needs it."""


def is_forwarded(service: Service) -> bool:
    """Whether this is a Service for us: no ExternalName, not headless, not another proxy's."""
    return why_not_forwarded(service) is None


def why_not_forwarded(service: Service) -> PassedOverReason | None:
    """Why this is no Service for us, None if it is one."""
    if service.type == "ExternalName":
        return "external-name"
    if service.headless:
        return "headless"
    return "another-proxy" if PROXY_NAME_LABEL in service.labels else None


def has_backends(item: EndpointSlice) -> bool:
    """Whether a slice's endpoints are for proxies at all."""
    return HEADLESS_LABEL not in item.labels
