"""An ``upstream`` as a model: servers, their weights, and how one is chosen.

Source: nginx.org/en/docs/stream/ngx_stream_upstream_module.html; ngx_stream_upstream.c
(ngx_stream_upstream_server).
"""

from __future__ import annotations

from dataclasses import replace

from svcc.grammar.nginx.directives import Directive
from svcc.verify.spec.endpoints import Backend
from svcc.verify.userspace import known
from svcc.verify.userspace.model import Method, Upstream, UpstreamServer
from svcc.verify.userspace.words import place, variables, word

_CLIENT = frozenset({"remote_addr", "binary_remote_addr"})
_CONNECTION = frozenset({"remote_port", "connection"})
"""Variables of which each is another for each connection of a client."""


def read_upstream(name: str, directive: Directive) -> Upstream:
    """The model of one.

    Raises:
        ValueError: nginx would not take it.
    """
    block = directive.block or ()
    unknown = next((d for d in block if not known.is_known(d, known.UPSTREAM)), None)
    servers: list[UpstreamServer] = []
    method: Method = "round robin"
    chosen: Directive | None = None
    for inner in block:
        match inner.name:
            case "server":
                server = _server(inner)
                if server is None:
                    unknown = unknown or inner
                else:
                    servers.append(server)
            case "hash" | "random" | "least_conn":
                if chosen is not None:
                    raise ValueError(f"{inner.name}: another method than {chosen.name}")
                chosen = inner
                read = _method(inner)
                if read is None:
                    unknown = unknown or inner
                else:
                    method = read
            case _:
                pass
    if not servers and unknown is None:
        raise ValueError(f'no servers are inside upstream "{name}"')
    if chosen is not None and chosen.name != "least_conn" and any(s.backup for s in servers):
        raise ValueError(f'{chosen.name} does not support parameter "backup"')
    if all(server.backup for server in servers) and unknown is None:
        raise ValueError(f'no servers are inside upstream "{name}" but backups')
    if method == "by client" and any(server.down for server in servers):
        # Clients of a server that is down are hashed again and again, then sent in turn.
        unknown = unknown or chosen
    return Upstream(name, tuple(servers), method, directive, unknown)


def _method(directive: Directive) -> Method | None:
    """None where shares depend on more than is known: on load, or on points of a circle."""
    if directive.name == "random":
        return None if directive.arguments else "random"
    if directive.name == "least_conn" or len(directive.arguments) != 1:
        return None
    named = set(variables(word(directive.arguments[0])))
    if named <= known.CONSTANT:
        return "constant"
    if named <= known.CONSTANT | _CLIENT:
        return "by client"
    return "by connection" if named & _CONNECTION else None


def _server(directive: Directive) -> UpstreamServer | None:
    """None where it is not known what it says."""
    if not directive.arguments:
        return None
    text, *parameters = directive.arguments
    at = place(text)
    if at is None or at.address is None or ":" not in text:
        return None
    found = UpstreamServer(at.address.family, Backend(at.address.value, at.port), directive)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        is_number = value.isascii() and value.isdigit() and len(value) < 10
        if name == "weight" and is_number and int(value):
            found = replace(found, weight=int(value))
        elif name == "max_fails" and is_number:
            found = replace(found, fails=int(value))
        elif name == "fail_timeout" and value:
            # Even with 0 the rest of the second counts (ngx_stream_upstream_get_peer).
            continue
        elif parameter == "backup":
            found = replace(found, backup=True)
        elif parameter == "down":
            found = replace(found, down=True)
        else:
            return None
    return found
