"""Zones judged by the objects: each record, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

from svcc.compiler.model.eligibility import is_forwarded
from svcc.compiler.model.objects import Service
from svcc.grammar.address import Family
from svcc.grammar.dns.zone import (
    AddressData,
    Alias,
    Data,
    NameServer,
    OtherData,
    Pointer,
    Record,
    ServiceLocation,
    Text,
    Zone,
    is_below,
)
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Finding
from svcc.verify.names.specification import Answer, Specification, Wanted, is_sayable
from svcc.verify.spec import codes
from svcc.verify.spec.properties import NAMES

SIGNATURES = frozenset({
    "CDNSKEY", "CDS", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "RRSIG", "ZONEMD",
})  # fmt: skip
"""Records that say something of a zone's records, and nothing of Services."""
_REASON = {
    codes.NO_ENDPOINTS_GIVEN: "no endpoints of it were given, nor Pods",
    codes.TRUNCATED: "its Endpoints have not all endpoints (over-capacity: truncated)",
    codes.FAMILY_NOT_GIVEN: "endpoints of one of its families were not given",
    codes.NAME_NOT_GIVEN: "no Pod of its namespace was given",
}


def name_findings(
    specification: Specification, zones: Sequence[Zone], *, strict: bool = False
) -> Iterator[Finding]:
    """What is right and wrong of each Service's names, of Pods', of reverse names and of others.

    Args:
        specification: of the objects.
        zones: that of the cluster domain, or reverse zones, or all.
        strict: doubt names that answer nothing where the objects do not say what they must.
    """
    for zone in zones:
        yield from _Judge(specification, zone, zones, strict).findings()


class _Judge:
    def __init__(
        self, specification: Specification, zone: Zone, zones: Sequence[Zone], strict: bool
    ) -> None:
        self._specification = specification
        self._zone = zone
        self._strict = strict
        self._inner = [z.origin for z in zones if z is not zone and is_below(z.origin, zone.origin)]
        self._by_owner: defaultdict[str, dict[Answer, Record]] = defaultdict(dict)
        self._servers = {
            record.data.target for record in zone.records if isinstance(record.data, NameServer)
        }
        for record in zone.records:
            if not self._is_passed_over(record):
                self._by_owner[record.owner].setdefault(answer(record.data), record)

    def findings(self) -> Iterator[Finding]:
        """A finding for each Service that is right, and for each record that is wrong."""
        good: dict[str, Finding] = {}
        bad: set[str] = set()
        if not is_reverse(self._zone):
            others = self._about("", None)
            good[others] = Finding(NAMES, others, Family.IPV4, "proved", about=others)
        pods = f".pod.{self._zone.origin}"
        names = self._must_answer()
        # Some implementations leave Pods to those who know their addresses.
        if not any(owner.endswith(pods) for owner in self._by_owner):
            names = [name for name in names if not name.endswith(pods)]
        for owner in dict.fromkeys((*names, *self._by_owner)):
            wanted = self._specification.wanted(owner)
            there = owner in self._by_owner
            is_silent = not there and not wanted.must and not self._strict
            if not wanted.is_judged or is_silent:
                continue
            about = self._about(owner, wanted.service)
            found = [replace(each, about=about) for each in self._of_name(owner, wanted)]
            yield from found
            if found:
                bad.add(about)
            else:
                right = Finding(NAMES, about, self._family(wanted), "proved", about=about)
                good.setdefault(about, right)
        yield from (finding for about, finding in good.items() if about not in bad)

    def _must_answer(self) -> list[str]:
        if is_reverse(self._zone):
            reverse = (name for _, name in self._specification.addresses())
            return [name for name in reverse if self._has(name)]
        return list(self._specification.names())

    def _has(self, name: str) -> bool:
        """Whether a name is in this zone, and in none below that was given too."""
        inside = is_below(name, self._zone.origin)
        return inside and not any(is_below(name, inner) for inner in self._inner)

    def _of_name(self, owner: str, wanted: Wanted) -> Iterator[Finding]:
        there = self._by_owner.get(owner, {})
        missing = sorted(wanted.must - there.keys()) if is_sayable(owner) else []
        surplus = sorted(there.keys() - wanted.must - wanted.may)
        doubted = there if wanted.open_code == codes.TRUNCATED else surplus
        is_open = any(each[0] in wanted.open_types for each in doubted)
        is_open |= self._strict and bool(wanted.open_code) and not is_reverse(self._zone)
        about = f"name {owner}{_of(wanted.service)}"
        family = self._family(wanted)
        for each in missing:
            yield Finding(
                NAMES, about, family, "violated", code=codes.NAME_MISSING,
                says=f"does not answer {_words(each)}",
                place=None if wanted.service is None else wanted.service.origin,
            )  # fmt: skip
        if is_open:
            yield Finding(
                NAMES, about, family, "undecided", code=wanted.open_code,
                says="cannot be judged", reason=_REASON[wanted.open_code],
            )  # fmt: skip
            return
        for each in surplus:
            record = there[each]
            says = f"answers {_words(each)}, which "
            says += "no object asks for" if not wanted.must else "is not what the objects ask for"
            yield Finding(
                NAMES, about, family, "violated", code=codes.NAME_SURPLUS, says=says,
                cause=Cause(self._zone.file, record.line, "", "", str(record)),
            )  # fmt: skip

    def _is_passed_over(self, record: Record) -> bool:
        """What says nothing of Services, or of one that is wrong in itself; the zone's name
        servers, and their addresses unless these are names of Services or Pods.
        """
        if record.data.type in SIGNATURES:
            return True
        if isinstance(record.data, Pointer):
            return not self._specification.wanted(record.data.target).is_judged
        if isinstance(record.data, NameServer):
            return record.owner == self._zone.origin
        is_object = any(record.owner.endswith(f".{k}.{self._zone.origin}") for k in ("svc", "pod"))
        is_address = isinstance(record.data, AddressData)
        return is_address and record.owner in self._servers and not is_object

    def _about(self, owner: str, service: Service | None) -> str:
        if is_reverse(self._zone):
            return f"names of addresses in {self._zone.origin}"
        if service is not None:
            return names_of(service)
        if owner.endswith(f".pod.{self._zone.origin}"):
            return f"names of Pods in {self._zone.origin}"
        return f"other names in {self._zone.origin}"

    def _family(self, wanted: Wanted) -> Family:
        if self._zone.origin.endswith("ip6.arpa"):
            return Family.IPV6
        service = wanted.service
        families = () if service is None else [a.family for a in service.cluster_ips]
        return families[0] if families else Family.IPV4


def names_of(service: Service) -> str:
    """What is judged of a Service, in words."""
    return f"names{_of(service)}"


def is_reverse(zone: Zone) -> bool:
    """Whether a zone is one of addresses."""
    return any(is_below(zone.origin, top) for top in ("in-addr.arpa", "ip6.arpa"))


def answer(data: Data) -> Answer:
    """A record as it is compared."""
    match data:
        case ServiceLocation():
            return "SRV", str(data.port), data.target
        case AddressData():
            return data.type, str(data.address)
        case Alias() | Pointer() | NameServer():
            return data.type, data.target
        case Text() | OtherData():
            return data.type, data.text


def _words(each: Answer) -> str:
    return " ".join(each)


def _of(service: Service | None) -> str:
    if service is None:
        return ""
    # A Service without a frontend is not counted among those that were judged.
    return f" ({service.key})" if is_forwarded(service) else f" of {service.key}"
