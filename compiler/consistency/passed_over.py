"""Which of the objects have no say, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from svcc.compiler.model.eligibility import why_not_forwarded
from svcc.compiler.model.objects import (
    EndpointSlice,
    Objects,
    PassedOver,
    PassedOverReason,
    Service,
)


def passed_over(
    objects: Objects,
    wrong: Mapping[tuple[str, str], PassedOverReason],
    of_no_service: Iterable[EndpointSlice],
) -> Iterator[PassedOver]:
    """Services and slices that have no say.

    Args:
        objects: what was loaded.
        wrong: why those in ``not_judged`` are there, by namespace and name.
        of_no_service: slices whose Service is not there.
    """
    for service in objects.services:
        reason = _reason(service)
        if reason is not None:
            yield PassedOver("Service", service.key, reason, service.origin)
    for service in objects.not_judged:
        reason = wrong[service.namespace, service.name]
        yield PassedOver("Service", service.key, reason, service.origin)
    for item in of_no_service:
        name = f"{item.namespace}/{item.name}"
        yield PassedOver("EndpointSlice", name, "no-such-service", item.origin)


def _reason(service: Service) -> PassedOverReason | None:
    reason = why_not_forwarded(service)
    if reason is not None:
        return reason
    if not service.cluster_ips:
        return "no-cluster-ip"
    return None if service.ports else "no-ports"
