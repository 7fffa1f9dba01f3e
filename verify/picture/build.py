"""From objects, and what verify found, to what a picture shows.

What packets must see is :func:`svcc.verify.spec.expectation.expect`, which verify and explain
hold rules to, and why is what explain says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from svcc.compiler.model.objects import EndpointSlice, Objects, Service, ServicePort
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Counterexample, Finding, VerdictName, worst
from svcc.verify.confirm.judge import applies, describe_outcome
from svcc.verify.picture.picture import (
    Action,
    Masquerade,
    NodePicture,
    PicturedBackend,
    PicturedFinding,
    PicturedFrontend,
    PicturedPort,
    PicturedService,
    Treatment,
    WayStep,
)
from svcc.verify.picture.sender_words import merged, words
from svcc.verify.questions.senders import destination_of, usual_packets
from svcc.verify.questions.why import Reasons
from svcc.verify.questions.wording import state
from svcc.verify.questions.words import SenderKind
from svcc.verify.report.report import Report, step_json
from svcc.verify.simulator.packet import Packet, endpoint_text
from svcc.verify.spec.endpoints import Backend, endpoints_of, slices_by_service
from svcc.verify.spec.expectation import (
    PROTOCOL_NUMBER,
    Frontend,
    FrontendExpectation,
    expect,
    pod_atom,
)
from svcc.verify.spec.outcomes import (
    Case,
    Discard,
    DroppedByMark,
    Outcome,
    Refuse,
    Serve,
    Untouched,
)

SENDER_ORDER: tuple[SenderKind, ...] = ("pod", "node", "outside")


def picture_of_node(
    objects: Objects,
    settings: NodeSettings,
    *,
    report: Report | None = None,
    wanted: Callable[[Frontend], bool] = lambda _: True,
    families: Iterable[Family] = tuple(Family),
    cluster_domain: str,
) -> NodePicture:
    """What one node does with the frontends that are ``wanted``.

    Args:
        report: what verify found on this node; None: nothing was judged.
        families: those that are drawn.
        cluster_domain: below which Services have their names.
    """
    found = _Found(report)
    builder = _Builder(objects, settings, found, cluster_domain)
    for family in sorted(families):
        builder.add(family, wanted)
    services = builder.services()
    rest = tuple(found.rest()) if report is not None else ()
    verdict = None if report is None else report.verdict
    return NodePicture(settings.node_name, settings.mode, services, verdict, rest)


@dataclass(slots=True)
class _Found:
    """Findings by the name of their frontend, as messages have it."""

    report: Report | None
    by_name: dict[tuple[Family, str], list[Finding]] = field(init=False)
    used: set[tuple[Family, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.by_name = {}
        for finding in self.report.findings if self.report is not None else ():
            self.by_name.setdefault((finding.family, finding.frontend), []).append(finding)

    def verdict(self, frontend: Frontend) -> VerdictName | None:
        """The worst verdict of a frontend; None if it was not judged."""
        found = self.by_name.get((frontend.family, str(frontend)))
        return worst(finding.verdict for finding in found) if found else None

    def of(self, frontend: Frontend, settings: NodeSettings) -> tuple[PicturedFinding, ...]:
        """What is not proved of a frontend; what is said of the same packet again, once."""
        key = (frontend.family, str(frontend))
        self.used.add(key)
        found: dict[tuple[str, ...], PicturedFinding] = {}
        for finding in self.by_name.get(key, ()):
            if finding.verdict != "proved":
                item = self._pictured(finding, settings)
                same = (item.verdict, item.code, item.sentence, item.reason, item.packet)
                found.setdefault(same, item)
        return tuple(found.values())

    def rest(self) -> Iterable[tuple[str, PicturedFinding]]:
        """What is not proved and of no frontend that is drawn."""
        for key, findings in self.by_name.items():
            if key in self.used:
                continue
            for finding in findings:
                if finding.verdict != "proved":
                    yield finding.frontend, self._pictured(finding, None)

    def _pictured(self, finding: Finding, settings: NodeSettings | None) -> PicturedFinding:
        assert self.report is not None
        example = finding.counterexample
        return PicturedFinding(
            finding.verdict,
            finding.property,
            finding.code,
            finding.says or finding.sentence(),
            "; ".join(self.report.reason_text(finding)),
            "" if finding.cause is None else finding.cause.words(),
            "" if example is None or settings is None else _sender(example.packet, settings),
            "" if example is None else str(example.packet),
            "" if example is None else example.expected,
            "" if example is None else example.got,
            () if example is None else tuple(self._way(finding, example)),
        )

    def _way(self, finding: Finding, example: Counterexample) -> Iterable[WayStep]:
        assert self.report is not None
        source = self.report.sources.get(finding.family, "")
        for step in example.trace:
            shown = step_json(step, finding.family, source)
            place = f"{shown['file']}:{shown['line']}" if "file" in shown else ""
            yield WayStep(step.table, step.chain, str(shown["rule"]), step.effect, place)


def _sender(packet: Packet, settings: NodeSettings) -> SenderKind:
    if packet.from_node:
        return "node"
    pod = pod_atom(settings, packet.family)
    return "pod" if pod is not None and applies((pod,), packet) else "outside"


class _Builder:
    def __init__(
        self, objects: Objects, settings: NodeSettings, found: _Found, cluster_domain: str
    ) -> None:
        self._objects = objects
        self._settings = settings
        self._found = found
        self._domain = cluster_domain
        self._reasons = Reasons(objects, settings)
        self._slices = slices_by_service(objects.slices)
        self._services = {service.key: service for service in objects.services}
        self._ports: dict[str, list[PicturedPort]] = {}

    def add(self, family: Family, wanted: Callable[[Frontend], bool]) -> None:
        """The frontends of one family."""
        by_port: dict[tuple[str, int], list[FrontendExpectation]] = {}
        for item in expect(self._objects, self._settings, family).frontends:
            if wanted(item.frontend):
                of_port = (item.frontend.service, item.frontend.protocol)
                by_port.setdefault(of_port, []).append(item)
        for (label, protocol), items in by_port.items():
            key, _, name = label.partition(":")
            service = self._services[key]
            port = next(
                port
                for port in service.ports
                if (port.name, PROTOCOL_NUMBER[port.protocol]) == (name, protocol)
            )
            self._ports.setdefault(key, []).append(self._port(service, port, family, items))

    def services(self) -> tuple[PicturedService, ...]:
        """The Services of what was added, in the order of their names."""
        return tuple(
            self._service(self._services[key], ports) for key, ports in sorted(self._ports.items())
        )

    def _service(self, service: Service, ports: Sequence[PicturedPort]) -> PicturedService:
        return PicturedService(
            service.namespace,
            service.name,
            f"{service.name}.{service.namespace}.svc.{self._domain}",
            service.type,
            service.internal_traffic_policy,
            service.external_traffic_policy,
            service.affinity_timeout,
            tuple(ports),
        )

    def _port(
        self,
        service: Service,
        port: ServicePort,
        family: Family,
        items: Sequence[FrontendExpectation],
    ) -> PicturedPort:
        slices = self._slices.get((service.namespace, service.name), [])
        backends, numbers = self._backends(slices, port, family)
        return PicturedPort(
            port.name,
            port.protocol,
            family.label,
            backends,
            tuple(self._frontend(item, numbers) for item in items),
        )

    def _backends(
        self, slices: Iterable[EndpointSlice], port: ServicePort, family: Family
    ) -> tuple[tuple[PicturedBackend, ...], dict[Backend, int]]:
        found = endpoints_of(slices, port, self._settings, family)
        backends = tuple(
            PicturedBackend(
                endpoint_text(family, backend.address, backend.port),
                endpoint.node_name or "",
                endpoint.pod or "",
                state(endpoint),
            )
            for backend, endpoint in found
        )
        return backends, {backend: number for number, (backend, _) in enumerate(found)}

    def _frontend(
        self, item: FrontendExpectation, numbers: Mapping[Backend, int]
    ) -> PicturedFrontend:
        frontend = item.frontend
        place = str(frontend.port)
        if frontend.address is not None:
            place = endpoint_text(frontend.family, frontend.address, frontend.port)
        return PicturedFrontend(
            frontend.kind,
            place,
            tuple(self._treatments(item, numbers)),
            self._found.verdict(frontend),
            self._found.of(frontend, self._settings),
        )

    def _scheduler(self, frontend: Frontend) -> str:
        """What chooses in ipvs mode, if not by turns: all real servers have the same weight."""
        if self._settings.mode != "ipvs":
            return ""
        service = self._services[frontend.service.partition(":")[0]]
        name = service.ipvs_scheduler or self._settings.ipvs.scheduler
        return "" if name in ("rr", "wrr") else name

    def _treatments(
        self, item: FrontendExpectation, numbers: Mapping[Backend, int]
    ) -> Iterable[Treatment]:
        """One for all cases in which the same may happen, those of usual senders first."""
        scheduler = self._scheduler(item.frontend)
        groups: dict[tuple[Outcome, ...], list[Case]] = {}
        for case in item.cases:
            groups.setdefault(case.allowed, []).append(case)
        packets = dict(usual_packets(self._settings, destination_of(item.frontend)))
        seen = {
            allowed: [
                kind
                for kind in SENDER_ORDER
                if kind in packets and any(applies(c.condition, packets[kind]) for c in cases)
            ]
            for allowed, cases in groups.items()
        }
        family = item.frontend.family
        pod = pod_atom(self._settings, family)
        last = len(SENDER_ORDER)
        order = {kind: number for number, kind in enumerate(SENDER_ORDER)}
        for allowed in sorted(groups, key=lambda a: min((order[k] for k in seen[a]), default=last)):
            senders = seen[allowed]
            packet = packets[senders[0] if senders else next(iter(packets))]
            conditions = merged(case.condition for case in groups[allowed])
            if not conditions:
                continue
            first, *others = allowed
            action, masquerade = _action(first)
            yield Treatment(
                tuple(words(condition, pod) for condition in conditions),
                tuple(senders),
                action,
                masquerade,
                tuple(numbers[b] for b in first.backends) if isinstance(first, Serve) else (),
                scheduler if isinstance(first, Serve) else "",
                tuple(
                    dict.fromkeys(
                        reason
                        for kind in senders
                        for reason in self._reasons.of(item.frontend, packets[kind], allowed)
                    )
                ),
                tuple(_short(other, packet) for other in others),
            )


def _action(outcome: Outcome) -> tuple[Action, Masquerade]:
    match outcome:
        case Serve(_, masquerade):
            return "serve", (
                "either" if masquerade is None else "always" if masquerade else "hairpins"
            )
        case Refuse():
            return "refuse", ""
        case Discard():
            return "discard", ""
        case Untouched():
            return "untouched", ""
        case DroppedByMark():
            return "marked for dropping", ""
        case _:
            assert_never(outcome)


def _short(outcome: Outcome, packet: Packet) -> str:
    """An outcome in few words: that it is served is enough, the first says by whom."""
    return "served" if isinstance(outcome, Serve) else describe_outcome(packet, outcome)
