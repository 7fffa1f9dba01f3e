"""Workloads that give a Service nothing: never ready, nowhere, without names."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.model.objects import Objects, Service
from svcc.compiler.model.workloads import Workload
from svcc.grammar.address import parse_address
from svcc.verify.manifests.mistake import Mistake
from svcc.verify.manifests.selected import Selected, can_have_pods, has_node, may_select
from svcc.verify.spec import codes


def about_readiness(found: Selected, objects: Objects) -> Iterator[Mistake]:
    """Selected Pods that can never be ready."""
    service = found.service
    if service.publish_not_ready_addresses:
        return
    for item in found.lasting:
        reason, path = "", item.template.path
        if (never := item.template.never_ready) is not None:
            reason, path = never.reason, never.path
        elif not has_node(item, objects):
            reason = "no Node among the objects may run them (nodeName, nodeSelector)"
            path = (*path, "spec")
        if reason:
            yield Mistake(
                code=codes.NEVER_READY,
                severity="error",
                owner=f"Service {service.key}",
                subject="the selector",
                says=f"selects Pods of {item.kind} {item.key} that never become ready: {reason}",
                place=item.origin.below(*path),
            )


def about_local_policy(found: Selected, objects: Objects) -> Iterator[Mistake]:
    """Local policies of Services none of whose workloads has a Pod."""
    service = found.service
    if not found.workloads or found.others:
        return
    if any(can_have_pods(item, objects) for item in found.workloads):
        return
    external = service.type in ("NodePort", "LoadBalancer")
    for field, policy in (
        ("externalTrafficPolicy", service.external_traffic_policy if external else "Cluster"),
        ("internalTrafficPolicy", service.internal_traffic_policy),
    ):
        if policy == "Local":
            item = found.workloads[0]
            yield Mistake(
                code=codes.NO_LOCAL_POD,
                severity="warning",
                owner=f"Service {service.key}",
                subject=field,
                says=f"is Local, but {item.kind} {item.key} has a Pod on no node",
                place=service.origin.below("spec", field),
            )


def about_stateful_set(item: Workload, objects: Objects) -> Iterator[Mistake]:
    """A StatefulSet whose Pods get no names."""
    if item.kind != "StatefulSet":
        return
    here = [s for s in objects.services if s.namespace == item.namespace]
    says = _not_governed(item, here)
    if says:
        # Whoever asks for no names does without the Service.
        is_there = not item.service_name or item.service_name in [s.name for s in here]
        yield Mistake(
            code=codes.NOT_GOVERNED,
            severity="warning" if is_there else "note",
            owner=f"StatefulSet {item.key}",
            subject="serviceName",
            says=f"{says}, so that the names of its Pods do not resolve",
            place=item.origin.below("spec", "serviceName"),
        )


def _not_governed(item: Workload, services: list[Service]) -> str:
    if not item.service_name:
        selects = [s for s in services if s.headless and may_select(s.selector, item)]
        return f"is missing, but headless Service {selects[0].key} selects it" if selects else ""
    governing = next((s for s in services if s.name == item.service_name), None)
    if governing is None:
        return f"names {item.service_name}, which is no Service of these manifests"
    if not governing.headless:
        return f"names Service {governing.key}, which is not headless (clusterIP: None)"
    if governing.selector and not may_select(governing.selector, item):
        return f"names Service {governing.key}, which does not select its Pods"
    return ""


def about_external_name(service: Service) -> Iterator[Mistake]:
    """An ExternalName that no DNS resolves, or with what nothing looks at."""
    if service.type != "ExternalName":
        return
    name = service.external_name
    if not name or _is_address(name):
        yield Mistake(
            code=codes.EXTERNAL_NAME,
            severity="error" if not name else "warning",
            owner=f"Service {service.key}",
            subject="externalName",
            says=f"is the address {name}, which DNS takes for a name and does not resolve"
            if name
            else "is missing",
            place=service.origin.below("spec", "externalName"),
        )
    if service.ports:
        yield Mistake(
            code=codes.EXTERNAL_NAME,
            severity="note",
            owner=f"Service {service.key}",
            subject="ports",
            says="have no effect: a name leads to an address, whatever the port",
            place=service.origin.below("spec", "ports"),
        )


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except ValueError:
        return False
    return True
