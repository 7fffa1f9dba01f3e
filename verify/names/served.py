"""Whether what a name answers was proved to be served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from svcc.compiler.model.objects import Service
from svcc.grammar.address import Address
from svcc.grammar.dns.zone import AddressData, Record, ServiceLocation, Zone
from svcc.verify.confirm.causes import Cause
from svcc.verify.confirm.findings import Finding, worst
from svcc.verify.names.judge import answer, names_of
from svcc.verify.names.specification import Specification
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import PROTOCOL_NUMBER, Expectation, Frontend
from svcc.verify.spec.properties import ANSWERED


def served_findings(
    specification: Specification,
    zone: Zone,
    expectations: Iterable[Expectation],
    findings: Iterable[Finding],
) -> Iterator[Finding]:
    """For each address of a cluster IP's name, and each port of its SRV records: whether the
    frontends there are proved, by the findings about them.

    Args:
        specification: of the objects; records that it does not ask for are left out.
        zone: that of the cluster domain.
        expectations: of the families that were judged.
        findings: what was found of the rules.
    """
    frontends: defaultdict[Address, list[Frontend]] = defaultdict(list)
    for expectation in expectations:
        for item in expectation.frontends:
            frontend = item.frontend
            if frontend.address is not None:
                at = Address(frontend.family, frontend.address)
                frontends[at].append(frontend)
    by_frontend: defaultdict[tuple[str, int], list[Finding]] = defaultdict(list)
    for finding in findings:
        by_frontend[finding.frontend, finding.family].append(finding)
    addresses: defaultdict[str, list[Address]] = defaultdict(list)
    for record in zone.records:
        if isinstance(record.data, AddressData):
            addresses[record.owner].append(record.data.address)
    for record in zone.records:
        wanted = specification.wanted(record.owner)
        service = wanted.service
        if service is None or service.headless or answer(record.data) not in wanted.must:
            continue
        asked: list[Frontend] = []
        match record.data:
            case AddressData():
                asked = frontends[record.data.address]
            case ServiceLocation():
                protocol = _protocol(record)
                asked = [
                    frontend
                    for address in addresses[record.data.target]
                    for frontend in frontends[address]
                    if (frontend.port, frontend.protocol) == (record.data.port, protocol)
                ]
            case _:
                pass
        if asked:
            yield _served(record, service, asked, by_frontend, zone.file)


def _served(
    record: Record,
    service: Service,
    asked: list[Frontend],
    by_frontend: dict[tuple[str, int], list[Finding]],
    file: str,
) -> Finding:
    family, subject = asked[0].family, names_of(service)
    name = f"name {record.owner} ({service.key})"
    known = {f: by_frontend.get((str(f), f.family), []) for f in asked}
    verdict = worst(finding.verdict for of in known.values() for finding in of)
    cause = Cause(file, record.line, "", "", str(record))
    if verdict != "violated" and not all(known.values()):
        verdict = "undecided"
    if verdict == "proved":
        return Finding(ANSWERED, name, family, "proved", about=subject)
    frontend, finding = next(
        (f, next((each for each in of if each.verdict == verdict), None))
        for f, of in known.items()
        if not of or any(each.verdict == verdict for each in of)
    )
    why = "nobody judged it" if finding is None else f"{finding.code} {finding.property}"
    is_wrong = (
        "is not served as it must be" if verdict == "violated" else "is not known to be served"
    )
    says = f"answers {' '.join(answer(record.data))}, but {frontend} {is_wrong}: {why}"
    return Finding(
        ANSWERED, name, family, verdict, code=codes.NAME_NOT_SERVED, says=says, cause=cause,
        about=subject,
    )  # fmt: skip


def _protocol(record: Record) -> int:
    transport = record.owner.split(".")[1]
    return PROTOCOL_NUMBER[transport.removeprefix("_").upper()]
