"""What the objects do not say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import EndpointSlice, Objects, PassedOver, Service
from svcc.compiler.model.passed_over_reasons import REASONS, is_by_kind, is_wrong
from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.open_questions.question import OpenQuestion
from svcc.verify.spec import codes
from svcc.verify.spec.properties import (
    FAIR,
    MASQUERADES,
    POLICY,
    REACHES,
    REFUSES,
)

MAX_NAMED = 5
PRINTS_ALL = "`kubectl get services,endpointslices,nodes -A -o yaml`"
PRINTS_SLICES = "`kubectl get endpointslices -A -o yaml`"
_BY_BACKENDS = frozenset({REACHES, FAIR, MASQUERADES, REFUSES, POLICY})


def judged_services(objects: Objects, family: Family) -> list[Service]:
    """The Services that have frontends of a family."""
    return [
        service
        for service in objects.services
        if is_forwarded(service)
        and service.ports
        and any(address.family is family for address in service.cluster_ips)
    ]


def about_objects(
    objects: Objects,
    judged: Iterable[Service],
    family: Family,
    *,
    strict: bool,
) -> Iterator[OpenQuestion]:
    """What is not known of the Services that are judged in one family.

    Rules that refuse what seems to have no backend say the same as the objects do, and are
    doubted only if ``strict``; where they do not refuse it, nobody knows who is right.
    """
    services = list(judged)
    if not services:
        return
    of_service: dict[tuple[str, str], list[EndpointSlice]] = {}
    for item in objects.slices:
        of_service.setdefault((item.namespace, item.service), []).append(item)
    if all(item.from_pods for item in objects.slices):
        without = [s for s in services if (s.namespace, s.name) not in of_service]
        if without:
            yield _no_endpoints(without, family, strict, is_all=len(without) == len(services))
    truncated, one_family = [], []
    for service in services:
        slices = _that_count(of_service.get((service.namespace, service.name), []))
        if any(item.truncated for item in slices):
            truncated.append(service)
        families = {address.family for address in service.cluster_ips}
        if slices and len(families) > 1 and family not in _families(slices, service):
            one_family.append(service)
    if truncated:
        yield _truncated(truncated, family)
    if one_family:
        yield _one_family(one_family, family, strict)


def _that_count(slices: list[EndpointSlice]) -> list[EndpointSlice]:
    """EndpointSlices, or Endpoints where there are none."""
    return [item for item in slices if not item.from_endpoints] or slices


def _families(slices: Iterable[EndpointSlice], service: Service) -> set[Family]:
    first = service.cluster_ips[0].family
    return {first if item.from_endpoints and not item.endpoints else item.family for item in slices}


def nothing_judged(objects: Objects, family: Family, *, own_rules: bool) -> Iterator[OpenQuestion]:
    """That no Service at all was judged, where there was nothing else to judge either.

    An empty List says that there are no Services, and rules can be held to that. So can rules of
    somebody else by Services that have no frontend by their kind.
    """
    given = [item for item in objects.passed_over if item.kind == "Service"]
    if all(is_by_kind(item) for item in given) and not own_rules:
        return
    if not given and not objects.skipped_kinds:
        return
    if given:
        reason = f"passed over: {_named(f'{p.name} ({REASONS[p.reason]})' for p in given)}"
    else:
        reason = f"there is none among the objects; {PRINTS_ALL} prints what is needed"
    yield OpenQuestion(
        code=codes.NOTHING_JUDGED,
        family=family,
        subject="no Service",
        says="was judged",
        reason=reason,
        concerns=_nothing,
    )


def strictly(passed_over: Iterable[PassedOver], family: Family) -> Iterator[OpenQuestion]:
    """Each object that was passed over and could have a say, as a question; but those that
    :func:`not_all_services` asks after.
    """
    for item in passed_over:
        if not is_by_kind(item) and not is_wrong(item):
            yield OpenQuestion(
                code=codes.PASSED_OVER,
                family=family,
                subject=f"{item.kind} {item.name}",
                says="was passed over",
                reason=REASONS[item.reason],
                concerns=_nothing,
            )


def not_all_services(objects: Objects, family: Family) -> Iterator[OpenQuestion]:
    """Services that are wrong in themselves are judged by nobody."""
    if objects.not_judged:
        yield OpenQuestion(
            code=codes.PASSED_OVER,
            family=family,
            subject=_named(f"Service {service.key}" for service in objects.not_judged),
            says="cannot be judged",
            reason="see what is wrong with the input, and mend it first",
            concerns=_nothing,
        )


def _nothing(_: Finding) -> bool:
    return False


def _named(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - MAX_NAMED
    return ", ".join(every[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _no_endpoints(
    services: list[Service], family: Family, strict: bool, *, is_all: bool
) -> OpenQuestion:
    keys = _of(services)

    def concerns(finding: Finding) -> bool:
        concerned = finding.property in _BY_BACKENDS and finding.service() in ("", *keys)
        return concerned and (strict or finding.verdict == "violated")

    several = len(services) > 1
    return OpenQuestion(
        code=codes.NO_ENDPOINTS_GIVEN,
        family=family,
        subject="EndpointSlices"
        if is_all
        else f"EndpointSlices of {_named(service.key for service in services)}",
        says="were not given: every Service seems to have no backend"
        if is_all
        else "were not given, nor Pods: there seems to be no backend",
        reason=f"{len(services)} Service{'s' * several} and not one EndpointSlice or "
        f"Endpoints among the objects; {PRINTS_ALL} prints both",
        concerns=concerns,
        only_if_needed=not strict,
    )


def _of(services: list[Service]) -> frozenset[str]:
    return frozenset(service.key for service in services)


def _truncated(services: list[Service], family: Family) -> OpenQuestion:
    keys = _of(services)
    return OpenQuestion(
        code=codes.TRUNCATED,
        family=family,
        subject=f"Endpoints of {_named(service.key for service in services)}",
        says="have not all endpoints (over-capacity: truncated)",
        reason=f"give the EndpointSlices, which have all: {PRINTS_SLICES}",
        concerns=lambda finding: finding.property in _BY_BACKENDS and finding.service() in keys,
    )


def _one_family(services: list[Service], family: Family, strict: bool) -> OpenQuestion:
    keys = _of(services)

    def concerns(finding: Finding) -> bool:
        concerned = finding.property in _BY_BACKENDS and finding.service() in keys
        return concerned and (strict or finding.verdict == "violated")

    label = family.name.replace("IPV", "IPv")
    return OpenQuestion(
        code=codes.FAMILY_NOT_GIVEN,
        family=family,
        subject=f"{label} endpoints of {_named(service.key for service in services)}",
        says="were not given, though it has cluster IPs of both families"
        if len(services) == 1
        else "were not given, though they have cluster IPs of both families",
        reason=f"no EndpointSlice with addressType {label}, not even an empty one; "
        f"{PRINTS_SLICES} prints all",
        concerns=concerns,
        only_if_needed=not strict,
    )
