"""All that is wrong with manifests, and what of it makes a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import Objects
from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.manifests.mistake import Mistake
from svcc.verify.manifests.ports import about_ports
from svcc.verify.manifests.selected import Selectable
from svcc.verify.manifests.selectors import about_selector
from svcc.verify.manifests.workloads import (
    about_external_name,
    about_local_policy,
    about_readiness,
    about_stateful_set,
)
from svcc.verify.spec.properties import FITS


def mistakes(objects: Objects) -> Iterator[Mistake]:
    """What is wrong with manifests that were loaded to be simulated, in the order of Services."""
    selectable = Selectable(objects)
    for service in objects.services:
        yield from about_external_name(service)
        if service.type == "ExternalName":
            continue
        found = selectable.by(service)
        yield from about_selector(found, objects)
        yield from about_ports(found)
        yield from about_readiness(found, objects)
        yield from about_local_policy(found, objects)
    for item in objects.workloads:
        yield from about_stateful_set(item, objects)


def findings_of(objects: Objects, found: Iterable[Mistake], *, strict: bool) -> Iterator[Finding]:
    """A finding for each error, if ``strict`` for each warning too; for Services without any,
    that they fit.
    """
    by_owner: dict[str, list[Mistake]] = {}
    for mistake in found:
        counts = mistake.severity == "error" or (strict and mistake.severity == "warning")
        if counts:
            by_owner.setdefault(mistake.owner, []).append(mistake)
    for service in objects.services:
        family = next((a.family for a in service.cluster_ips), Family.IPV4)
        # A Service without a frontend is not counted among those that were judged.
        about = f"({service.key})" if is_forwarded(service) else f"of {service.key}"
        wrong = by_owner.pop(f"Service {service.key}", [])
        for mistake in wrong:
            yield _finding(mistake, f"{mistake.subject} {about}", family)
        if not wrong:
            yield Finding(FITS, f"manifests {about}", family, "proved")
    for owner, left in by_owner.items():
        for mistake in left:
            yield _finding(mistake, f"{mistake.subject} of {owner}", Family.IPV4)


def _finding(mistake: Mistake, frontend: str, family: Family) -> Finding:
    return Finding(
        FITS,
        frontend,
        family,
        "violated" if mistake.severity == "error" else "undecided",
        code=mistake.code,
        says=mistake.says,
        place=mistake.place,
    )
