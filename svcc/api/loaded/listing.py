"""What is loaded, as the tables that people know: of Services, virtual servers and backends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from svcc.apply.frontends import PROTOCOLS, Backend, Frontend, address_text, backend_text
from svcc.apply.service_changes import frontend_json
from svcc.compiler.show.table import table

if TYPE_CHECKING:
    from svcc.api.loaded.seen import Status
    from svcc.grammar.address import Family

NONE = "<none>"
UNKNOWN = "<unknown>"
_MOST_ENDPOINTS = 3
"""As ``kubectl get endpoints`` shows."""


def of_services(
    frontends: Iterable[Frontend], names: Sequence[str], namespace: str | None
) -> list[Frontend]:
    """Those of some Services.

    Args:
        frontends: all.
        names: of Services, with or without their namespace; none for all.
        namespace: None for all.
    """
    found = []
    for item in frontends:
        space, _, name = item.service.rpartition("/")
        if namespace is not None and space != namespace:
            continue
        if not names or item.service in names or name in names:
            found.append(item)
    return found


def services_table(frontends: Sequence[Frontend], *, wide: bool = False) -> str:
    """A line for each Service, with the columns of ``kubectl get services`` and its backends."""
    header = ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "ENDPOINTS"]
    rows = []
    for service, items in _by_service(frontends).items():
        namespace, _, name = service.rpartition("/")
        rows.append(
            [
                namespace or UNKNOWN,
                name or UNKNOWN,
                _type(items),
                _addresses(items, ("cluster IP", "")),
                _addresses(items, ("loadbalancer IP", "external IP")),
                ",".join(_ports(items)) or NONE,
                _endpoints(items, wide=wide),
            ]
        )
    return table(header, rows)


def _by_service(frontends: Iterable[Frontend]) -> dict[str, list[Frontend]]:
    found: dict[str, list[Frontend]] = {}
    for item in frontends:
        found.setdefault(item.service, []).append(item)
    return {service: found[service] for service in sorted(found)}


def _type(items: Iterable[Frontend]) -> str:
    kinds = {item.kind for item in items}
    if "loadbalancer IP" in kinds:
        return "LoadBalancer"
    return "NodePort" if "node port" in kinds else "ClusterIP"


def _addresses(items: Iterable[Frontend], kinds: Sequence[str]) -> str:
    found = {
        address_text(item.key): None
        for kind in kinds
        for item in items
        if item.kind == kind and item.key.address is not None
    }
    return ",".join(found) or NONE


def _ports(items: Sequence[Frontend]) -> Iterable[str]:
    """``80:30080/TCP``, by service port."""
    node_ports = {i.label: i.key.port for i in items if i.key.address is None}
    found: dict[str, None] = {}
    for item in items:
        if item.key.address is not None:
            node_port = node_ports.pop(item.label, None)
            port = f"{item.key.port}:{node_port}" if node_port else f"{item.key.port}"
            text = f"{port}/{PROTOCOLS[item.key.protocol]}"
            if not any(
                other.partition(":")[0].partition("/")[0] == str(item.key.port)
                and other.endswith(PROTOCOLS[item.key.protocol])
                for other in found
            ):
                found[text] = None
    for item in items:
        if item.key.address is None and item.label in node_ports:
            found[f":{item.key.port}/{PROTOCOLS[item.key.protocol]}"] = None
    return found


def _endpoints(items: Iterable[Frontend], *, wide: bool) -> str:
    found: dict[str, None] = {}
    for item in items:
        found |= dict.fromkeys(item.backend_texts())
    texts = list(found)
    more = len(texts) - _MOST_ENDPOINTS
    if wide or more <= 0:
        return ",".join(texts) or NONE
    return f"{','.join(texts[:_MOST_ENDPOINTS])} + {more} more..."


def frontends_table(frontends: Iterable[Frontend]) -> str:
    """A line for each frontend, with its connections."""
    rows = [
        [
            item.label or UNKNOWN,
            item.kind or UNKNOWN,
            str(item.key),
            str(len(item.backends)),
            "-" if item.connections is None else str(item.connections),
        ]
        for item in frontends
    ]
    return table(["SERVICE-PORT", "KIND", "FRONTEND", "BACKENDS", "CONNECTIONS"], rows)


def virtual_servers(frontends: Iterable[Frontend]) -> str:
    """All frontends as ``ipvsadm -Ln`` lists virtual servers, in any mode, with their Services."""
    lines = ["Prot LocalAddress:Port ServicePort", "  -> RemoteAddress:Port"]
    for item in frontends:
        where = str(item.key).rpartition("/")[0]
        lines.append(f"{PROTOCOLS[item.key.protocol]:4} {where} {item.label or UNKNOWN}")
        lines += [f"  -> {text}" for text in item.backend_texts()]
    return "".join(f"{line}\n" for line in lines)


def backends_table(frontends: Iterable[Frontend]) -> str:
    """A line for each backend, with whose it is and by which rules it is reached."""
    rows = []
    for (family, backend), items in _by_backend(frontends).items():
        labels = dict.fromkeys(item.label or UNKNOWN for item in items)
        rules = dict.fromkeys(rule for item in items for rule in item.rules)
        rows.append(
            [
                backend_text(family, backend),
                ",".join(labels),
                ",".join(str(item.key) for item in items),
                ",".join(rules),
            ]
        )
    return table(["BACKEND", "SERVICE-PORTS", "FRONTENDS", "RULES"], rows)


def _by_backend(
    frontends: Iterable[Frontend],
) -> dict[tuple[Family, Backend], list[Frontend]]:
    found: dict[tuple[Family, Backend], list[Frontend]] = {}
    for item in frontends:
        for backend in item.backends:
            found.setdefault((item.key.family, backend), []).append(item)
    return {key: found[key] for key in sorted(found)}


def frontends_json(frontends: Iterable[Frontend]) -> list[dict[str, Any]]:
    """Frontends for programs."""
    return [
        {
            **frontend_json(item),
            "backends": item.backend_texts(),
            "connections": item.connections,
            "rules": item.rules,
        }
        for item in frontends
    ]


def status_json(found: Status) -> dict[str, Any]:
    """All of it for programs (docs/schema/status.json)."""
    memory, confirmation = found.memory, found.confirmation
    return {
        "version": 1,
        "modes": list(found.modes),
        "loaded": None
        if memory is None
        else {
            "at": memory.at,
            "by": memory.by,
            "process": memory.process,
            "svcc": memory.version,
            "mode": memory.mode,
            "node": memory.node,
            "files": [
                {"name": name, "sha256": digest or None, "changed": name in found.changed_files}
                for name, digest in memory.files.items()
            ],
        },
        "drift": None if found.drift_unknown else list(found.drift),
        "driftUnknown": found.drift_unknown or None,
        "confirmation": None
        if confirmation is None
        else {
            "state": confirmation.state,
            "begun": confirmation.begun,
            "ended": confirmation.ended,
            "secondsLeft": confirmation.seconds_left,
            "message": confirmation.message,
        },
        "unread": list(found.unread),
        "frontends": frontends_json(found.frontends),
    }


def status_text(found: Status) -> str:
    """All of it for people."""
    from svcc.apply.reverting.confirmation import at, describe

    if not found.modes:
        lines = ["nothing of svcc's is loaded here"]
    else:
        lines = [f"mode       {', '.join(found.modes)}"]
    memory = found.memory
    if memory is not None:
        lines.append(f"loaded     {at(memory.at)} for node {memory.node} by {memory.by}")
        for name, digest in memory.files.items():
            what = f"sha256 {digest[:16]}" if digest else "not kept"
            changed = "; it has changed since" if name in found.changed_files else ""
            lines.append(f"from       {name} ({what}{changed})")
    elif found.modes:
        lines.append("loaded     not known when")
    if found.drift_unknown:
        lines.append(f"drift      cannot be told: {found.drift_unknown}")
    elif found.drift:
        lines.append(f"drift      somebody else has changed {', '.join(found.drift)}")
    elif memory is not None:
        lines.append("drift      none")
    lines += [f"unread     {text}" for text in found.unread]
    confirmation = found.confirmation
    if confirmation is not None and (confirmation.is_open or confirmation.state == "reverted"):
        lines.append(f"confirm    {describe(confirmation)}")
    text = "".join(f"{line}\n" for line in lines)
    if found.frontends:
        services = {item.service for item in found.frontends}
        backends = {(i.key.family, backend) for i in found.frontends for backend in i.backends}
        counts = (
            f"{_count(len(found.frontends), 'frontend')} of {_count(len(services), 'Service')}, "
            f"{_count(len(backends), 'backend')}"
        )
        text += f"serves     {counts}\n\n{frontends_table(found.frontends)}"
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
