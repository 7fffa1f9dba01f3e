"""Slices judged by the Pods: they are what every rule is held to."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import Objects, Service
from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.spec import codes
from svcc.verify.spec.properties import SELECTS
from svcc.verify.spec.selection import Difference, Selection


def selection_findings(objects: Objects) -> list[Finding]:
    """Whether the slices of each Service are what its selector selects, a finding for each family
    of it, and for each address that is stale, missing or otherwise than its Pod.

    Nothing is found of Services without a selector or without slices, nor of a namespace of
    which no Pod or host was given.
    """
    if not objects.pods:
        return []
    selection = Selection(objects)
    found: list[Finding] = []
    for service in objects.services:
        for family in selection.families(service):
            differing = list(_violations(selection, service, family))
            subject = _about("endpoints", service)
            found += differing or [Finding(SELECTS, subject, family, "proved", about=subject)]
    return found


def _violations(selection: Selection, service: Service, family: Family) -> Iterator[Finding]:
    for item in selection.differences(service, family):
        code, says = _told(item, service)
        yield Finding(
            SELECTS,
            _about(f"endpoint {item.target}", service),
            family,
            "violated",
            code=code,
            says=says,
            place=item.place,
            about=_about("endpoints", service),
        )


def _about(what: str, service: Service) -> str:
    # A Service without a frontend is not counted among those that were judged.
    return f"{what} ({service.key})" if is_forwarded(service) else f"{what} of {service.key}"


def _told(item: Difference, service: Service) -> tuple[str, str]:
    name = "" if item.pod is None else f"{item.pod.kind} {item.pod.key}"
    if item.held is None:
        return codes.ENDPOINT_MISSING, f"is in no slice, but the selector selects {name}"
    if item.wanted is None:
        if item.pod is None:
            return codes.ENDPOINT_STALE, "is in a slice, but nothing has this address"
        if item.pod.is_finished:
            return codes.ENDPOINT_STALE, f"is in a slice, but {name} has ended"
        chosen = service.selector.items() <= item.pod.labels.items()
        if chosen and item.pod.namespace == service.namespace:
            return codes.ENDPOINT_STALE, f"is in a slice, but {name} has not this port"
        return codes.ENDPOINT_STALE, f"is in a slice, but the selector does not select {name}"
    if item.held.usable != item.wanted.usable:
        says = f"is {item.held.usable} in its slice, but {name} is {item.wanted.usable}"
    else:
        here, there = item.held.node or "no node", item.wanted.node or "no node"
        says = f"is on {here} in its slice, but {name} is on {there}"
    return codes.ENDPOINT_DIFFERS, says
