"""A picture of one Service on one node as a graph: vertices in layers, and edges.

Edges lead from one layer to the next, but for the ways of packets that go wrong, which stand
beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from svcc.verify.confirm.findings import VerdictName
from svcc.verify.picture.picture import (
    PicturedBackend,
    PicturedFinding,
    PicturedFrontend,
    PicturedPort,
    PicturedService,
    Treatment,
)

MAX_BACKENDS = 32
"""Of a port that are drawn one by one; the rest is one vertex."""

VertexKind = Literal[
    "service", "frontend", "treatment", "backend", "rest", "packet", "step", "outcome"
]
EdgeKind = Literal["answers", "has", "senders", "share", "way"]


@dataclass(frozen=True, slots=True)
class Vertex:
    """``lines`` is what stands in it. ``verdict`` is the frontend's. ``used`` False: an endpoint
    that nothing is sent to."""

    name: str
    kind: VertexKind
    lines: tuple[str, ...]
    verdict: VerdictName | None = None
    used: bool = True


@dataclass(frozen=True, slots=True)
class Edge:
    """``start`` and ``end`` are names of vertices. ``answers``: the name of the Service answers
    this address; ``has``: the Service has it beside."""

    start: str
    end: str
    kind: EdgeKind
    label: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """What is drawn of one Service on one node."""

    title: str
    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def graph_of(service: PicturedService, node: str) -> Graph:
    """The graph of a Service on a node."""
    title = f"{service.key} on node {node}"
    parts = list(_service(service, node))
    return Graph(
        title,
        tuple(part for part in parts if isinstance(part, Vertex)),
        tuple(part for part in parts if isinstance(part, Edge)),
    )


def _service(service: PicturedService, node: str) -> Iterator[Vertex | Edge]:
    head = [service.dns_name, f"Service {service.key}, {service.type}"]
    if service.affinity is not None:
        head.append(f"sessionAffinity ClientIP, {service.affinity} s")
    yield Vertex("name", "service", tuple(head), service.verdict)
    number = 0
    for port_number, port in enumerate(service.ports):
        used: set[int] = set()
        for frontend in port.frontends:
            number += 1
            name = f"f{number}"
            yield Vertex(
                name, "frontend", _frontend_lines(service, port, frontend), frontend.verdict
            )
            yield Edge("name", name, "answers" if frontend.kind == "cluster IP" else "has")
            for order, treatment in enumerate(frontend.treatments):
                own = f"{name}t{order}"
                yield Vertex(own, "treatment", _treatment_lines(treatment))
                yield Edge(name, own, "senders", ", ".join(treatment.senders))
                used.update(treatment.backends)
                yield from _shares(own, treatment, port_number)
            for order, finding in enumerate(frontend.findings):
                yield from _way(f"{name}w{order}", name, finding)
        yield from _backends(port, port_number, used, node)


def _frontend_lines(
    service: PicturedService, port: PicturedPort, frontend: PicturedFrontend
) -> tuple[str, ...]:
    named = f" ({port.name})" if port.name else ""
    inside = frontend.kind == "cluster IP"
    policy = (
        f"internalTrafficPolicy {service.internal_policy}"
        if inside
        else f"externalTrafficPolicy {service.external_policy}"
    )
    verdict = () if frontend.verdict is None else (frontend.verdict,)
    return (f"{frontend.kind} {frontend.place}/{port.protocol}{named}", policy, *verdict)


def _treatment_lines(treatment: Treatment) -> tuple[str, ...]:
    lines = [*treatment.who, treatment.words()]
    lines += treatment.why
    if treatment.or_else:
        lines.append(f"or {', or '.join(treatment.or_else)}")
    return tuple(lines)


def _shares(own: str, treatment: Treatment, port: int) -> Iterator[Edge]:
    shown = [backend for backend in treatment.backends if backend < MAX_BACKENDS]
    share = f"by {treatment.scheduler}" if treatment.share is None else str(treatment.share)
    for backend in shown:
        yield Edge(own, f"b{port}n{backend}", "share", share)
    if rest := len(treatment.backends) - len(shown):
        yield Edge(own, f"b{port}rest", "share", f"{rest} × {share}")


def _backends(port: PicturedPort, number: int, used: set[int], node: str) -> Iterator[Vertex]:
    for order, backend in enumerate(port.backends[:MAX_BACKENDS]):
        lines = _backend_lines(backend, node)
        yield Vertex(f"b{number}n{order}", "backend", lines, used=order in used)
    if (more := len(port.backends) - MAX_BACKENDS) > 0:
        is_used = any(backend >= MAX_BACKENDS for backend in used)
        yield Vertex(f"b{number}rest", "rest", (f"{more} more endpoints",), used=is_used)


def _backend_lines(backend: PicturedBackend, node: str) -> tuple[str, ...]:
    where = ""
    if backend.node:
        where = f"on this node, {backend.node}" if backend.node == node else f"on {backend.node}"
    state = () if backend.state == "ready" else (backend.state,)
    pod = (f"pod {backend.pod}",) if backend.pod else ()
    return (backend.place, *pod, *((where,) if where else ()), *state)


def _way(name: str, frontend: str, finding: PicturedFinding) -> Iterator[Vertex | Edge]:
    """A packet that goes wrong, from rule to rule, to what becomes of it."""
    about = f"{finding.verdict}: {finding.code} {finding.sentence}".replace(":  ", ": ")
    if not finding.packet:
        yield Vertex(name, "packet", (about, finding.reason), finding.verdict)
        yield Edge(frontend, name, "way")
        return
    yield Vertex(name, "packet", (about, finding.packet), finding.verdict)
    yield Edge(frontend, name, "way")
    before = name
    for number, step in enumerate(finding.way):
        own = f"{name}s{number}"
        rule = step.rule or f"policy of {step.chain}"
        lines = (f"{step.table} {step.chain}".strip(), rule, step.effect)
        yield Vertex(own, "step", (*((step.place,) if step.place else ()), *lines))
        yield Edge(before, own, "way")
        before = own
    yield Vertex(
        f"{name}end",
        "outcome",
        (f"got: {finding.got}", f"expected: {finding.expected}"),
        finding.verdict,
    )
    yield Edge(before, f"{name}end", "way")
