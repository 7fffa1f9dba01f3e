"""Lowering to a configuration of nginx: a server for each place to listen on, an upstream for
each set of backends.

Nothing is asked of the kernel but that virtual IPs are addresses of the node. What must be refused
has no listener, so the kernel refuses it; what must be dropped is refused or closed.
``docs/userspace.md`` has the layout and what cannot hold.

Source: kube-proxy until 1.25, pkg/proxy/userspace (proxysocket.go, roundrobin.go); nginx
ngx_stream_core, ngx_stream_proxy, ngx_stream_upstream, ngx_stream_access, ngx_stream_geo.
"""

from __future__ import annotations

from collections.abc import Iterator

from svcc.compiler.lower.userspace.frontends import ALL, HERE, SIDE, Listener, Listeners
from svcc.compiler.resolve.forwarding import Backend, Forwarding
from svcc.grammar.address import LOOPBACK, Family, Network, format_address
from svcc.grammar.nginx.directives import Configuration, Directive
from svcc.grammar.nginx.state import Proxy
from svcc.grammar.numbers import TRANSPORTS

MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"
"""Where Debian's libnginx-mod-stream has it."""
_CONNECTIONS, _MOST_WORKERS = 16384, 64
_UDP_SESSION, _TCP_IDLE = "120s", "24h"
"""As nf_conntrack_udp_timeout_stream, and as kube-proxy's conntrack.tcpEstablishedTimeout."""


def lower(forwarding: Forwarding, *, comments: bool = True) -> tuple[Proxy, tuple[str, ...]]:
    """What is loaded, and notes."""
    found = Listeners(forwarding)
    configuration = Configuration((*_main(found.listeners), _stream(found, comments)))
    return Proxy(configuration, found.addresses), tuple(found.notes)


def _main(listeners: list[Listener]) -> Iterator[Directive]:
    udp = sum(listener.protocol == TRANSPORTS["udp"] for listener in listeners)
    # Each worker has the sockets of all workers (ngx_clone_listening), and counts them.
    connections = str(_CONNECTIONS + len(listeners) - udp + udp * _MOST_WORKERS)
    yield _simple("load_module", MODULE)
    yield _simple("worker_processes", "auto")
    yield _simple("worker_rlimit_nofile", connections)
    yield _simple("pid", "svcc-nginx.pid")
    yield _simple("error_log", "stderr", "warn")
    yield Directive("events", (), (_simple("worker_connections", connections),))


def _stream(found: Listeners, comments: bool) -> Directive:
    inner = [
        _simple("proxy_connect_timeout", "5s"),
        _simple("proxy_timeout", _TCP_IDLE),
        _simple("proxy_half_close", "on"),
        _simple("proxy_socket_keepalive", "on"),
    ]
    if any(listener.by_side for listener in found.listeners):
        inner.append(_sides(found))
    named: dict[str, Directive] = {}
    for listener in found.listeners:
        for name, backends in listener.upstreams:
            if name not in named:
                named[name] = _upstream(name, backends, listener)
    inner += named.values()
    inner += (_server(listener, comments) for listener in found.listeners)
    return Directive("stream", (), tuple(inner))


def _sides(found: Listeners) -> Directive:
    """Who is a pod or the node itself, and so reaches all backends under a Local policy."""
    inside = {network for family in Family for network in found.inside(family)}
    inside |= {
        Network(listener.family, listener.address, listener.family.bits)
        for listener in found.listeners
        if listener.by_side and not LOOPBACK[listener.family].holds(listener.place)
    }
    rows = (_simple("default", HERE), *(_simple(str(each), ALL) for each in sorted(inside)))
    return Directive("geo", (f"${SIDE}",), rows)


def _upstream(name: str, backends: tuple[Backend, ...], listener: Listener) -> Directive:
    inner = [_simple("hash", "$remote_addr")] if listener.affinity else []
    # Without max_fails=0 a backend that refused once would get nothing for ten seconds.
    inner += (
        _simple("server", endpoint(listener.family, each.address, each.port), "max_fails=0")
        for each in backends
    )
    return Directive("upstream", (name,), tuple(inner))


def _server(listener: Listener, comments: bool) -> Directive:
    at = endpoint(listener.family, listener.address, listener.port)
    if listener.protocol == TRANSPORTS["udp"]:
        # With reuseport all datagrams of a client's port come to one worker.
        inner = [
            _simple("listen", at, "udp", "reuseport"), _simple("proxy_timeout", _UDP_SESSION)
        ]  # fmt: skip
    else:
        inner = [_simple("listen", at, "so_keepalive=on")]
    if listener.allowed is not None:
        inner += (_simple("allow", str(network)) for network in listener.allowed)
        inner.append(_simple("deny", "all"))
    inner.append(_simple("proxy_pass", listener.target))
    comment = f"{listener.label} {listener.kind}" if comments else ""
    return Directive("server", (), tuple(inner), comment=comment)


def endpoint(family: Family, address: int, port: int) -> str:
    """``ADDRESS:PORT``, IPv6 in brackets."""
    text = format_address(family, address)
    return f"[{text}]:{port}" if family is Family.IPV6 else f"{text}:{port}"


def _simple(name: str, *arguments: str) -> Directive:
    return Directive(name, arguments)
