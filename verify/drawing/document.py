"""A picture as the documented JSON object."""

from __future__ import annotations

from svcc.verify.picture.picture import (
    NodePicture,
    Picture,
    PicturedBackend,
    PicturedFinding,
    PicturedFrontend,
    PicturedPort,
    PicturedService,
    Treatment,
)

JSON_VERSION = 1
"""Another number where a reader of the old one could go wrong."""

JsonObject = dict[str, object]


def document(picture: Picture) -> JsonObject:
    """The whole picture; shares are fractions as text."""
    return {
        "version": JSON_VERSION,
        "nodes": [_node(node) for node in picture.nodes],
        "left_out": [{"service": name, "reason": reason} for name, reason in picture.left_out],
    }


def _node(node: NodePicture) -> JsonObject:
    return {
        "node": node.node,
        "mode": node.mode,
        "verdict": node.verdict,
        "services": [_service(service) for service in node.services],
        "findings": [{"about": about, **finding_json(finding)} for about, finding in node.findings],
    }


def _service(service: PicturedService) -> JsonObject:
    found: JsonObject = {
        "namespace": service.namespace,
        "name": service.name,
        "dns_name": service.dns_name,
        "type": service.type,
        "verdict": service.verdict,
        "internalTrafficPolicy": service.internal_policy,
        "externalTrafficPolicy": service.external_policy,
        "affinity_timeout": service.affinity,
        "ports": [_port(port) for port in service.ports],
    }
    return found


def _port(port: PicturedPort) -> JsonObject:
    return {
        "name": port.name,
        "protocol": port.protocol,
        "family": port.family,
        "endpoints": [backend_json(backend) for backend in port.backends],
        "frontends": [_frontend(frontend, port) for frontend in port.frontends],
    }


def backend_json(backend: PicturedBackend) -> JsonObject:
    """An endpoint; what the slice does not say is left out."""
    found: JsonObject = {"address": backend.place, "state": backend.state}
    if backend.node:
        found["node"] = backend.node
    if backend.pod:
        found["pod"] = backend.pod
    return found


def _frontend(frontend: PicturedFrontend, port: PicturedPort) -> JsonObject:
    return {
        "kind": frontend.kind,
        "address": frontend.place,
        "verdict": frontend.verdict,
        "treatments": [_treatment(treatment, port) for treatment in frontend.treatments],
        "findings": [finding_json(finding) for finding in frontend.findings],
    }


def _treatment(treatment: Treatment, port: PicturedPort) -> JsonObject:
    found: JsonObject = {
        "who": list(treatment.who),
        "senders": list(treatment.senders),
        "action": treatment.action,
    }
    if treatment.action == "serve":
        found["masquerade"] = treatment.masquerade
        share = None if treatment.share is None else str(treatment.share)
        found["shares"] = {port.backends[number].place: share for number in treatment.backends}
        if treatment.scheduler:
            found["scheduler"] = treatment.scheduler
    if treatment.why:
        found["why"] = list(treatment.why)
    if treatment.or_else:
        found["or"] = list(treatment.or_else)
    return found


def finding_json(finding: PicturedFinding) -> JsonObject:
    """A finding; what is not known of it is left out."""
    found: JsonObject = {
        "verdict": finding.verdict,
        "property": finding.property,
        "code": finding.code,
        "message": finding.sentence,
        "reason": finding.reason,
        "cause": finding.cause,
        "sender": finding.sender,
        "packet": finding.packet,
        "expected": finding.expected,
        "got": finding.got,
        "way": [
            {
                "table": step.table,
                "chain": step.chain,
                "rule": step.rule,
                "effect": step.effect,
                "place": step.place,
            }
            for step in finding.way
        ],
    }
    return {key: value for key, value in found.items() if value}
