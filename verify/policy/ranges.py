"""Statements about the addresses of Services, judged by the objects alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import Objects, Origin, Service
from svcc.grammar.address import Address, Family
from svcc.grammar.errors import InputError, Problem
from svcc.grammar.policy import AddressRange, AnyTarget, PlacedRange
from svcc.verify.confirm.findings import Finding
from svcc.verify.spec import codes
from svcc.verify.spec.properties import POLICY

_AddressOf = tuple[Service, Address, Origin]


def check_ranges(ranges: Sequence[PlacedRange], objects: Objects) -> None:
    """See that every range speaks of an address.

    Raises:
        InputError: one does not, and is not written with ``if any``.
    """
    problems = [
        Problem(
            item.position,
            f"{item.range.target} has no address of these families among these Services; correct "
            "it, or write 'if any' behind it",
        )
        for item in ranges
        if not item.range.if_any
        and not any(list(_meant(item.range, family, objects)) for family in _families(item.range))
    ]
    if problems:
        raise InputError(problems)


def range_findings(
    ranges: Sequence[PlacedRange], objects: Objects, only: Family | None
) -> Iterator[Finding]:
    """For each range and family a finding for each address outside of it, or that there is none.

    Addresses that were simulated are nobody's choice, and are not judged.
    """
    for item in ranges:
        for family in _families(item.range):
            if only not in (None, family):
                continue
            outside = [
                (service, address, place)
                for service, address, place in _meant(item.range, family, objects)
                if address not in objects.simulated_addresses
                and not any(network.holds(address) for network in item.range.inside)
            ]
            for service, address, place in outside:
                yield Finding(
                    POLICY,
                    f"{item}: {address} ({service.key})",
                    family,
                    "violated",
                    code=codes.ADDRESS_OUTSIDE,
                    says="lies outside",
                    place=place,
                )
            if not outside:
                yield Finding(POLICY, str(item), family, "proved")


def _families(item: AddressRange) -> list[Family]:
    return sorted({network.family for network in item.inside})


def _meant(item: AddressRange, family: Family, objects: Objects) -> Iterator[_AddressOf]:
    target = item.target
    for service in objects.services:
        if not is_forwarded(service):
            continue
        kind = "service"
        if not isinstance(target, AnyTarget):
            kind = target.kind
            if not fnmatchcase(service.namespace, target.namespace):
                continue
            if not fnmatchcase(service.name, target.name):
                continue
        for of_kind, addresses, path in (
            ("clusterip", service.cluster_ips, ("spec", "clusterIP")),
            ("externalip", service.external_ips, ("spec", "externalIPs")),
            ("loadbalancer", service.ingress, ("status", "loadBalancer", "ingress")),
        ):
            if kind in ("service", of_kind):
                for address in addresses:
                    if address.family is family:
                        yield service, address, service.origin.below(*path)
