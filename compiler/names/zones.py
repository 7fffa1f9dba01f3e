"""From objects to zones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from svcc.compiler.model.objects import Objects
from svcc.compiler.names.records import external_name, records, service_name
from svcc.compiler.settings.names import REVERSE, NameSettings, reverse_zone
from svcc.grammar.dns.write import too_long
from svcc.grammar.dns.zone import (
    Authority,
    NameServer,
    Pointer,
    Record,
    ServiceLocation,
    Zone,
    is_below,
)

DNS_SERVICE = ("kube-system", "kube-dns")
"""The Service of the name server in a cluster, CoreDNS or not."""
HERE = "localhost"
"""The name server where no Service is one, as in Debian's zone files of BIND."""
REFRESH, RETRY, EXPIRE = 7200, 1800, 86400
"""Seconds, as CoreDNS has them."""
MAX_TOLD = 10


@dataclass(frozen=True, slots=True)
class Zones:
    """The zone of the cluster domain and reverse zones. ``notes`` tell what has no name, and why.

    ``is_fixed`` has the origins of zones that were asked for, be they empty.
    """

    zones: tuple[Zone, ...]
    notes: tuple[str, ...]
    is_fixed: frozenset[str]


def zones(objects: Objects, settings: NameSettings) -> Zones:
    """The zones of a cluster, with serial 1.

    Args:
        objects: a Service without cluster IP that is not headless has no name.
        settings: how it is named.
    """
    domain = settings.cluster_domain
    asked = tuple(map(reverse_zone, settings.reverse_networks))
    origins = (domain, *(asked or REVERSE.values()))
    notes = list(_nameless(objects))
    by_zone: dict[str, list[Record]] = {origin: [] for origin in origins}
    outside = 0
    for record in dict.fromkeys(records(objects, settings)):
        if (what := _unfit(record)) is not None:
            notes.append(f"{record.owner} is left out: {what}")
        elif (origin := _zone_of(record, origins)) is not None:
            by_zone[origin].append(record)
        else:
            outside += 1
    if outside:
        notes.append(f"{outside} addresses are in no reverse zone that was named, and have no name")
    server = _name_server(objects, domain)
    return Zones(
        tuple(_zone(origin, found, server, settings) for origin, found in by_zone.items()),
        tuple(notes),
        frozenset((domain, *asked)),
    )


def _zone(origin: str, found: list[Record], server: str, settings: NameSettings) -> Zone:
    ttl = settings.ttl
    authority = Authority(
        server, f"hostmaster.{settings.cluster_domain}", 1, REFRESH, RETRY, EXPIRE, ttl, ttl
    )
    return Zone(origin, authority, (Record(origin, NameServer(server), ttl), *found))


def _zone_of(record: Record, origins: tuple[str, ...]) -> str | None:
    """The smallest zone that the record is in."""
    found = [origin for origin in origins if is_below(record.owner, origin)]
    return max(found, key=len, default=None)


def _name_server(objects: Objects, domain: str) -> str:
    for service in objects.services:
        if (service.namespace, service.name) == DNS_SERVICE and service.cluster_ips:
            return service_name(service, domain)
    return HERE


def _unfit(record: Record) -> str | None:
    """What of a record no name server takes."""
    target = record.data.target if isinstance(record.data, Pointer | ServiceLocation) else ""
    return too_long(record.owner) or too_long(target) or None


def _nameless(objects: Objects) -> Iterator[str]:
    """Services without any record though they should have one."""
    unallocated, external, unknown = [], [], []
    with_endpoints = {(item.namespace, item.service) for item in objects.slices}
    for service in objects.services:
        if service.type == "ExternalName":
            external += [service.key] * (not external_name(service))
        elif service.headless:
            key = (service.namespace, service.name)
            unknown += [service.key] * (key not in with_endpoints)
        elif not service.cluster_ips:
            unallocated.append(service.key)
    if unallocated:
        yield f"no cluster IP and no name: {_named(unallocated)}; svcc allocate gives one"
    if external:
        yield f"no name, for externalName is no domain name: {_named(external)}"
    if unknown:
        yield f"no name, for no endpoints were given: {_named(unknown)}"


def _named(names: Iterable[str]) -> str:
    every = list(names)
    more = len(every) - MAX_TOLD
    return ", ".join(every[:MAX_TOLD]) + (f" and {more} more" if more > 0 else "")
