"""Target ports that containers have not, or have otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.model.objects import Service, ServicePort
from svcc.compiler.model.workloads import Workload
from svcc.grammar.errors import Severity
from svcc.verify.manifests.mistake import Mistake
from svcc.verify.manifests.selected import Selected
from svcc.verify.spec import codes


def about_ports(found: Selected) -> Iterator[Mistake]:
    """What is wrong with each port of a Service, as the workloads that it selects have them."""
    items = found.lasting
    if not items:
        return
    for number, port in enumerate(found.service.ports):
        if isinstance(port.target_port, str):
            yield from _named(found.service, number, port, port.target_port, items)
        elif not found.service.headless:
            target = port.target_port or port.port
            yield from _numbered(found.service, number, port, target, items)


def _mistake(
    service: Service, number: int, port: ServicePort, code: str, severity: Severity, says: str
) -> Mistake:
    shown = port.name or str(port.port)
    at = "protocol" if code == codes.OTHER_PROTOCOL else "targetPort"
    return Mistake(
        code=code,
        severity=severity,
        owner=f"Service {service.key}",
        subject=f"port {shown}",
        says=says,
        place=service.origin.below("spec", "ports", number, at),
    )


def _named(
    service: Service, number: int, port: ServicePort, target: str, items: list[Workload]
) -> Iterator[Mistake]:
    without = [
        item
        for item in items
        if not any((p.name, p.protocol) == (target, port.protocol) for p in item.template.ports)
    ]
    if not without:
        return
    # Names are all that is asked of a headless Service; no proxy looks at its ports.
    no_endpoint = len(without) == len(items) and not service.headless
    severity: Severity = "error" if no_endpoint else "warning"
    item = without[0]
    others = [p.protocol for p in item.template.ports if p.name == target]
    if others:
        yield _mistake(
            service, number, port, codes.OTHER_PROTOCOL, severity,
            f"is {port.protocol}, but port {target} of {item.kind} {item.key} is {others[0]}",
        )  # fmt: skip
        return
    names = ", ".join(dict.fromkeys(p.name for p in item.template.ports if p.name))
    there = f"its ports are {names}" if names else "none of its ports has a name"
    yield _mistake(
        service, number, port, codes.NO_SUCH_PORT, severity,
        f"has the target port {target}, which no container of {item.kind} {item.key} has; {there}",
    )  # fmt: skip


def _numbered(
    service: Service, number: int, port: ServicePort, target: int, items: list[Workload]
) -> Iterator[Mistake]:
    declared = [p for item in items for p in item.template.ports if p.port == target]
    item = items[0]
    if not declared:
        yield _mistake(
            service, number, port, codes.UNDECLARED_PORT, "note",
            f"has the target port {target}, which no container of {item.kind} {item.key} declares",
        )  # fmt: skip
    elif all(p.protocol != port.protocol for p in declared):
        yield _mistake(
            service, number, port, codes.OTHER_PROTOCOL, "warning",
            f"is {port.protocol}, but port {target} of {item.kind} {item.key} is "
            f"{declared[0].protocol}",
        )  # fmt: skip
