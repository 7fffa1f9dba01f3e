"""Zones held against objects: two readings agree, and every damage is seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from svcc.api import Finding, Objects, load, node_settings
from svcc.compiler.names.zones import zones
from svcc.compiler.settings.names import NameSettings
from svcc.grammar.address import Address, Family, parse_address, parse_network
from svcc.grammar.dns.read import read_zone
from svcc.grammar.dns.write import zone_text
from svcc.grammar.dns.zone import (
    AddressData,
    Alias,
    NameServer,
    OtherData,
    Pointer,
    Record,
    ServiceLocation,
    Text,
    Zone,
)
from svcc.verify.names.judge import name_findings
from svcc.verify.names.served import served_findings
from svcc.verify.names.specification import Specification
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import expect
from svcc.verify.spec.properties import REACHES
from tests.support.clusters.random_names import ENDPOINTS, named_clusters
from tests.support.effort import examples
from tests.support.readings.dns_answers import questions

DOMAIN = "cluster.local"
EXAMPLE = "examples/names/cluster.yaml"


def judged(objects: Objects, found: list[Zone]) -> list[Finding]:
    return list(name_findings(Specification(objects, DOMAIN), found))


def codes_of(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings if finding.verdict != "proved"}


def of_example() -> tuple[Objects, list[Zone]]:
    objects = load(EXAMPLE)
    return objects, list(zones(objects, NameSettings()).zones)


@examples(60, 3000)
@given(named_clusters())
def test_what_is_compiled_is_what_the_specification_asks(objects: Objects) -> None:
    compiled = zones(objects, NameSettings()).zones
    read = [read_zone(zone_text(zone), f"{zone.origin}.zone") for zone in compiled]
    findings = judged(objects, read)
    assert codes_of(findings) == set()
    assert findings


def _moved(record: Record) -> Record:
    """The record with something else in it."""
    match record.data:
        case AddressData(address):
            data: Any = AddressData(Address(address.family, address.value ^ 2))
        case Alias(target):
            data = Alias(f"x{target}")
        case Pointer(target):
            data = Pointer(f"x{target}")
        case ServiceLocation():
            data = replace(record.data, port=record.data.port + 1)
        case Text():
            data = Text("1.2.0")
        case NameServer() | OtherData():
            raise AssertionError(record)
    return replace(record, data=data)


@examples(60, 3000)
@given(named_clusters(), st.data())
def test_each_record_counts(objects: Objects, data: st.DataObject) -> None:
    compiled = list(zones(objects, NameSettings()).zones)
    number = data.draw(st.integers(0, len(compiled) - 1))
    zone = compiled[number]
    records = [r for r in zone.records if not isinstance(r.data, NameServer)]
    assume(records)
    record = data.draw(st.sampled_from(records))
    pods = [r for r in records if ".pod." in r.owner and not r.owner.endswith(f".svc.{DOMAIN}")]
    rest = tuple(r for r in zone.records if r != record)
    damaged: tuple[Record, ...]
    match data.draw(st.sampled_from(("missing", "moved", "elsewhere"))):
        case "missing":
            # A zone without any Pod may be one of a server that knows none.
            assume(pods != [record])
            damaged, wanted = rest, {codes.NAME_MISSING}
        case "moved":
            moved = _moved(record)
            # A Pod more may be one that was not given.
            is_open = record in pods and not objects.pods
            damaged = (*rest, moved)
            wanted = {codes.NAME_NOT_GIVEN if is_open else codes.NAME_SURPLUS}
            assume(moved.data not in [r.data for r in zone.records if r.owner == record.owner])
            assume(moved.owner in {r.owner for r in rest} or not isinstance(record.data, Pointer))
        case _:
            damaged = (*zone.records, replace(record, owner=f"x.{record.owner}"))
            wanted = {codes.NAME_SURPLUS}
    compiled[number] = replace(zone, records=damaged)
    assert wanted <= codes_of(judged(objects, compiled))


def test_the_answers_that_people_wrote_down() -> None:
    specification = Specification(load(EXAMPLE), DOMAIN)
    for name, type_, answers in questions():
        wanted = {
            kind: sorted(_data(item) for item in specification.wanted(name.lower()).must
                         if item[0] == kind)
            for kind in (type_, "CNAME")
        }  # fmt: skip
        expected = [] if answers[0] in ("NODATA", "NXDOMAIN") else answers
        assert (wanted["CNAME"] or wanted[type_]) == expected, name


def _data(item: tuple[str, ...]) -> str:
    match item:
        case ("SRV", port, target):
            return f"0 100 {port} {target}."
        case ("CNAME" | "PTR", target):
            return f"{target}."
        case ("TXT", text):
            return f'"{text}"'
        case _:
            return item[1]


NOT_FLAGGED: dict[str, Record] = {
    "an endpoint's name below a cluster IP's, as CoreDNS answers": Record(
        "10-244-1-5.web.shop.svc.cluster.local", AddressData(parse_address("10.244.1.5")), 5
    ),
    "a signature": Record("web.shop.svc.cluster.local", OtherData("RRSIG", "A 8 5 5 …"), 5),
    "a second name server": Record("cluster.local", NameServer("ns.example"), 5),
    "another TTL": Record(
        "web.shop.svc.cluster.local", AddressData(parse_address("10.96.0.20")), 30
    ),
    "another weight": Record(
        "_http._tcp.web.shop.svc.cluster.local",
        ServiceLocation(10, 50, 80, "web.shop.svc.cluster.local"),
        5,
    ),
}
FLAGGED: dict[str, Record] = {
    "an endpoint that is not ready": Record(
        "db.shop.svc.cluster.local", AddressData(parse_address("10.244.2.20")), 5
    ),
    "a wildcard": Record("*.shop.svc.cluster.local", AddressData(parse_address("10.96.0.20")), 5),
    "a delegation": Record("svc.cluster.local", NameServer("ns.example"), 5),
    "a redirection of all names": Record("svc.cluster.local", OtherData("DNAME", "example."), 5),
    "a name of nobody": Record("ns.cluster.local", AddressData(parse_address("10.96.0.20")), 5),
    "the port of the Service, where the endpoint has another": Record(
        "_postgres._tcp.db.shop.svc.cluster.local",
        ServiceLocation(0, 100, 5432, "db-0.db.shop.svc.cluster.local"),
        5,
    ),
    "an address beside an address": Record(
        "web.shop.svc.cluster.local", AddressData(parse_address("fd00:96::99")), 5
    ),
    "an endpoint of another Service": Record(
        "10-244-1-20.web.shop.svc.cluster.local", AddressData(parse_address("10.244.1.20")), 5
    ),
    "a Pod that is not there": Record(
        "10-244-1-6.shop.pod.cluster.local", AddressData(parse_address("10.244.1.6")), 5
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_FLAGGED)
def test_what_may_stand_beside_is_not_flagged(name: str) -> None:
    objects, (zone, *others) = of_example()
    zone = replace(zone, records=(*zone.records, NOT_FLAGGED[name]))
    assert codes_of(judged(objects, [zone, *others])) == set()


@pytest.mark.parametrize("name", FLAGGED)
def test_what_must_not_stand_there_is_flagged(name: str) -> None:
    objects, (zone, *others) = of_example()
    zone = replace(zone, records=(*zone.records, FLAGGED[name]))
    findings = [f for f in judged(objects, [zone, *others]) if f.verdict != "proved"]
    assert [(f.code, f.verdict) for f in findings] == [(codes.NAME_SURPLUS, "violated")]
    assert FLAGGED[name].owner in findings[0].frontend


def test_names_of_pods_may_be_left_out_together_only() -> None:
    objects, (zone, *_) = of_example()
    pods = [r for r in zone.records if ".pod." in r.owner]
    assert len(pods) == 2
    none = replace(zone, records=tuple(r for r in zone.records if r not in pods))
    assert codes_of(judged(objects, [none])) == set()
    one = replace(zone, records=tuple(r for r in zone.records if r != pods[0]))
    assert codes_of(judged(objects, [one])) == {codes.NAME_MISSING}


def test_names_of_pods_that_were_not_given_are_open() -> None:
    objects, (zone, *others) = of_example()
    elsewhere = Record("10-244-1-5.other.pod.cluster.local", AddressData(ENDPOINTS[0]), 5)
    beside = replace(zone, records=(*zone.records, elsewhere))
    assert codes_of(judged(objects, [beside, *others])) == {codes.NAME_NOT_GIVEN}
    objects.pods.clear()
    assert codes_of(judged(objects, [zone, *others])) == {codes.NAME_NOT_GIVEN}


def test_an_alias_of_an_address_may_be_there_or_not() -> None:
    objects, (zone, *_) = of_example()
    number = next(n for n, s in enumerate(objects.services) if s.name == "payments")
    objects.services[number] = replace(objects.services[number], external_name="192.0.2.1")
    kept = [r for r in zone.records if not isinstance(r.data, Alias)]
    alias = Record("payments.shop.svc.cluster.local", Alias("192.0.2.1"), 5)
    for records in (kept, [*kept, alias]):
        assert codes_of(judged(objects, [replace(zone, records=tuple(records))])) == set()
    assert codes_of(judged(objects, [zone])) == {codes.NAME_SURPLUS}


def test_silence_is_doubted_only_if_strict() -> None:
    objects = replace(load(EXAMPLE), slices=[])
    found = list(zones(objects, NameSettings()).zones)
    specification = Specification(objects, DOMAIN)
    assert codes_of(list(name_findings(specification, found))) == set()
    strict = [f for f in name_findings(specification, found, strict=True) if f.verdict != "proved"]
    assert {f.code for f in strict} == {codes.NO_ENDPOINTS_GIVEN}
    assert {"name db.shop.svc.cluster.local of shop/db"} <= {f.frontend for f in strict}


def test_what_nobody_judged_is_not_served() -> None:
    objects, (zone, *_) = of_example()
    settings = node_settings(objects, node="node-a", cluster_cidr="10.244.0.0/16")
    expectation = expect(objects, settings, Family.IPV4)
    specification = Specification(objects, DOMAIN)
    frontends = [str(item.frontend) for item in expectation.frontends]
    assert len(frontends) == 4
    proved = [Finding(REACHES, frontend, Family.IPV4, "proved") for frontend in frontends]
    found = list(served_findings(specification, zone, [expectation], proved))
    assert {finding.verdict for finding in found} == {"proved"}
    assert len(found) == 6
    for number, frontend in enumerate(frontends):
        rest = [*proved[:number], *proved[number + 1 :]]
        found = list(served_findings(specification, zone, [expectation], rest))
        undecided = [f.says for f in found if f.verdict == "undecided"]
        assert len(undecided) == (1 if "shop/old" in frontend else 2)
        assert all(f"{frontend} is not known to be served" in says for says in undecided)


def _without_slices(objects: Objects) -> Objects:
    return replace(objects, slices=[])


def _truncated(objects: Objects) -> Objects:
    peers = [s for s in objects.slices if s.service == "peers"]
    rest = [s for s in objects.slices if s.service != "peers"]
    return replace(objects, slices=[*rest, *(replace(s, truncated=True) for s in peers)])


def _one_family(objects: Objects) -> Objects:
    slices = [s for s in objects.slices if (s.service, s.family) != ("db", Family.IPV6)]
    return replace(objects, slices=slices)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_without_slices, codes.NO_ENDPOINTS_GIVEN),
        (_truncated, codes.TRUNCATED),
        (_one_family, codes.FAMILY_NOT_GIVEN),
    ],
)
def test_what_was_not_given_is_open(change: Callable[[Objects], Objects], code: str) -> None:
    objects, (zone, *reverse) = of_example()
    findings = [f for f in judged(change(objects), [zone, *reverse]) if f.verdict != "proved"]
    assert {(f.verdict, f.code) for f in findings} == {("undecided", code)}


def test_names_of_services_that_are_wrong_in_themselves_are_not_judged() -> None:
    objects, (zone, reverse, _) = of_example()
    web = next(s for s in objects.services if s.name == "web")
    objects.services.remove(web)
    assert codes_of(judged(objects, [zone, reverse])) == {codes.NAME_SURPLUS}
    objects.not_judged.append(web)
    findings = judged(objects, [zone, reverse])
    assert codes_of(findings) == set()
    assert not [f for f in findings if "web" in f.frontend]


def test_inner_reverse_zones_have_their_names() -> None:
    objects = load(EXAMPLE)
    networks = tuple(map(parse_network, ("10.96.0.0/16", "10.0.0.0/8")))
    found = zones(objects, replace(NameSettings(), reverse_networks=networks))
    assert [z.origin for z in found.zones] == [DOMAIN, "96.10.in-addr.arpa", "10.in-addr.arpa"]
    assert codes_of(judged(objects, list(found.zones))) == set()
    assert any("no reverse zone" in note for note in found.notes)
