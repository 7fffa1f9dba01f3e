"""A picture as one HTML page that needs nothing beside it.

The page has the picture as data and draws one Service at a time, so that it stays small where
there are very many. Text from objects and rules gets into the page as data alone: it is JSON
without any character that HTML could take for a tag, and the script makes text nodes of it. A
Content-Security-Policy (https://www.w3.org/TR/CSP3/) lets the page load nothing and run no script
but its own.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path

from svcc.verify.drawing.document import JsonObject, backend_json, finding_json
from svcc.verify.picture.picture import (
    NodePicture,
    Picture,
    PicturedBackend,
    PicturedPort,
    PicturedService,
    Treatment,
)

_VERDICT_LETTER = {"proved": "p", "violated": "v", "undecided": "u", None: "-"}


def html(picture: Picture, title: str) -> str:
    """The page."""
    style = _beside("page.css")
    script = _beside("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    body = _beside("page.html")
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}"
        f'<script type="application/json" id="picture">{_data(picture, title)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _data(picture: Picture, title: str) -> str:
    tables = _Tables(_Table(), _Table())
    data: JsonObject = {
        "title": title,
        "nodes": [_node(node, tables) for node in picture.nodes],
        "services": tables.services.values,
        "treatments": tables.treatments.values,
        "left_out": picture.left_out,
    }
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


class _Table:
    """Values that are told by their number, equal ones by the same."""

    def __init__(self) -> None:
        self.values: list[JsonObject] = []
        self._numbers: dict[str, int] = {}

    def number(self, value: JsonObject) -> int:
        """The number of a value; an equal one has the same."""
        key = json.dumps(value)
        found = self._numbers.setdefault(key, len(self.values))
        if found == len(self.values):
            self.values.append(value)
        return found


@dataclass(frozen=True, slots=True)
class _Tables:
    """What nodes share that treat a Service alike, and Services that treat senders alike."""

    services: _Table
    treatments: _Table


def _node(node: NodePicture, tables: _Tables) -> JsonObject:
    found: JsonObject = {
        "node": node.node,
        "mode": node.mode,
        "verdict": node.verdict,
        "services": [
            tables.services.number(_service(service, tables.treatments))
            for service in node.services
        ],
        "verdicts": [
            "".join(_VERDICT_LETTER[frontend.verdict] for frontend in service.frontends())
            for service in node.services
        ],
        "findings": {
            f"{number}.{order}": [finding_json(finding) for finding in frontend.findings]
            for number, service in enumerate(node.services)
            for order, frontend in enumerate(service.frontends())
            if frontend.findings
        },
        "others": [{"about": about, **finding_json(f)} for about, f in node.findings],
    }
    return found


def _service(service: PicturedService, treatments: _Table) -> JsonObject:
    """What of a Service is the same whatever was found."""
    return {
        "key": service.key,
        "dns": service.dns_name,
        "type": service.type,
        "internal": service.internal_policy,
        "external": service.external_policy,
        "affinity": service.affinity,
        "ports": [_port(port, treatments) for port in service.ports],
    }


def _port(port: PicturedPort, treatments: _Table) -> JsonObject:
    return {
        "name": port.name,
        "protocol": port.protocol,
        "family": port.family,
        "backends": [_backend(backend) for backend in port.backends],
        "frontends": [
            {
                "kind": frontend.kind,
                "place": frontend.place,
                # Which one, and the numbers of its backends.
                "treatments": [
                    (treatments.number(_treatment(treatment)), treatment.backends)
                    for treatment in frontend.treatments
                ],
            }
            for frontend in port.frontends
        ],
    }


def _backend(backend: PicturedBackend) -> JsonObject:
    found = backend_json(backend)
    return {key: value for key, value in found.items() if (key, value) != ("state", "ready")}


def _treatment(treatment: Treatment) -> JsonObject:
    return {
        "who": treatment.who,
        "senders": treatment.senders,
        "action": treatment.action,
        "words": treatment.words(),
        "share": "" if treatment.share is None else str(treatment.share),
        "scheduler": treatment.scheduler,
        "why": treatment.why,
        "or": treatment.or_else,
    }
