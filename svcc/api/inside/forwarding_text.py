"""What the compiler decided, as text and as JSON."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from svcc.api.inside.dump import ForwardedPort
from svcc.compiler.resolve.forwarding import PROTOCOL_NUMBERS, Backend
from svcc.compiler.resolve.frontends import Frontend, Treatment
from svcc.grammar.address import Address, Family
from svcc.grammar.ipvs.ipvsadm import endpoint

_PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()}
_ACTIONS = {"refuse": "refused with an error (REJECT)", "drop": "dropped"}


def ir_text(item: ForwardedPort) -> str:
    """One port of a Service, its frontends below it."""
    port = item.port
    lines = [f"{port.label} {_PROTOCOL_NAMES[port.protocol]} {port.family.label}"]
    for title, policy in (("internal", port.internal_local), ("external", port.external_local)):
        lines.append(f"  {title}TrafficPolicy  {'Local' if policy else 'Cluster'}")
    affinity = "None"
    if port.affinity_timeout is not None:
        affinity = f"ClientIP, {port.affinity_timeout} s"
    lines.append(f"  sessionAffinity        {affinity}")
    if item.scheduler is not None:
        lines.append(f"  IPVS scheduler         {item.scheduler}")
    for frontend in item.frontends:
        lines += _frontend_text(item, frontend)
    return "\n".join(lines) + "\n"


def _frontend_text(item: ForwardedPort, frontend: Frontend) -> list[str]:
    family = item.port.family
    protocol = _PROTOCOL_NAMES[item.port.protocol]
    if frontend.address is None:
        name = f"node port {frontend.port}/{protocol}"
    else:
        name = f"{endpoint(family, frontend.address, frontend.port)}/{protocol} {frontend.kind}"
    lines = [name]
    if frontend.networks is not None:
        where = ", ".join(map(str, frontend.networks)) or "none"
        loopback = "for the node itself" if frontend.on_loopback else "no"
        lines.append(f"  on local addresses in {where}; on loopback: {loopback}")
    for treatment in frontend.treatments:
        lines += _treatment_text(item, treatment)
    return lines


def _treatment_text(item: ForwardedPort, treatment: Treatment) -> list[str]:
    if treatment.action != "serve":
        return [f"  {treatment.senders}: {_ACTIONS[treatment.action]}"]
    lines = [f"  {treatment.senders}: served; masqueraded: {treatment.masqueraded}"]
    share = _share(item, treatment)
    for backend in treatment.backends:
        end = endpoint(item.port.family, backend.address, backend.port)
        lines.append(f"    {share or '':>8}  {end}")
    return lines


def ir_json(item: ForwardedPort) -> dict[str, Any]:
    """One port of a Service, addresses as text."""
    port = item.port
    found: dict[str, Any] = {
        "service": port.label,
        "family": port.family.label,
        "protocol": _PROTOCOL_NAMES[port.protocol],
        "internalTrafficPolicy": "Local" if port.internal_local else "Cluster",
        "externalTrafficPolicy": "Local" if port.external_local else "Cluster",
        "affinity_timeout": port.affinity_timeout,
    }
    if item.scheduler is not None:
        found["scheduler"] = item.scheduler
    found["frontends"] = [_frontend_json(item, frontend) for frontend in item.frontends]
    return found


def _frontend_json(item: ForwardedPort, frontend: Frontend) -> dict[str, Any]:
    family, address = item.port.family, frontend.address
    found: dict[str, Any] = {
        "kind": frontend.kind,
        "address": None if address is None else str(Address(family, address)),
        "port": frontend.port,
    }
    if frontend.networks is not None:
        found["local_addresses_in"] = [str(network) for network in frontend.networks]
        found["on_loopback"] = frontend.on_loopback
    found["treatments"] = [_treatment_json(item, each) for each in frontend.treatments]
    return found


def _treatment_json(item: ForwardedPort, treatment: Treatment) -> dict[str, Any]:
    found: dict[str, Any] = {"senders": treatment.senders, "action": treatment.action}
    if treatment.action == "serve":
        share = _share(item, treatment)
        found["masqueraded"] = treatment.masqueraded
        found["backends"] = [
            _backend_json(item.port.family, each, share) for each in treatment.backends
        ]
    return found


def _backend_json(family: Family, backend: Backend, share: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "address": str(Address(family, backend.address)),
        "port": backend.port,
    }
    return found if share is None else found | {"share": share}


def _share(item: ForwardedPort, treatment: Treatment) -> str | None:
    """Each backend's share; None where an IPVS scheduler decides."""
    return None if item.scheduler else str(Fraction(1, len(treatment.backends)))
