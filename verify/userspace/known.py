"""Directives of nginx that are known, and for which of their arguments they change nothing of
where connections go.

Source: nginx.org/en/docs/ngx_core_module.html, stream/ngx_stream_core_module.html,
stream/ngx_stream_proxy_module.html, stream/ngx_stream_upstream_module.html.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from svcc.grammar.nginx.directives import Directive

Known = Mapping[str, re.Pattern[str]]
"""Names of directives, and what their arguments may be, with a blank between two."""

_ANY = re.compile(r".*", re.DOTALL)
_OFF = re.compile(r"off")
_NOTHING = re.compile(r"0")

MAIN: Known = dict.fromkeys(
    (
        "daemon", "debug_points", "env", "error_log", "events", "lock_file", "master_process",
        "pcre_jit", "pid", "stream", "thread_pool", "timer_resolution", "user",
        "worker_cpu_affinity", "worker_priority", "worker_processes", "worker_rlimit_core",
        "worker_rlimit_nofile", "worker_shutdown_timeout", "working_directory",
    ),
    _ANY,
) | {"load_module": re.compile(r"(?:.*/)?ngx_stream_module\.so")}  # fmt: skip

EVENTS: Known = dict.fromkeys(
    (
        "accept_mutex", "accept_mutex_delay", "debug_connection", "multi_accept", "use",
        "worker_aio_requests", "worker_connections",
    ),
    _ANY,
)  # fmt: skip

PROXY: Known = {
    **dict.fromkeys(("access_log", "error_log", "open_log_file_cache"), _ANY),
    **dict.fromkeys(
        ("proxy_connect_timeout", "proxy_next_upstream_timeout", "proxy_timeout"),
        re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdwMy])? ?)+"),
    ),
    **dict.fromkeys(
        ("proxy_half_close", "proxy_next_upstream", "proxy_socket_keepalive", "tcp_nodelay"),
        re.compile(r"on|off"),
    ),
    "proxy_buffer_size": re.compile(r"[0-9]{1,9}[kKmM]?"),
    "proxy_next_upstream_tries": re.compile(r"[0-9]{1,9}"),
    **dict.fromkeys(("proxy_bind", "proxy_protocol", "proxy_ssl", "ssl_preread"), _OFF),
    **dict.fromkeys(("proxy_download_rate", "proxy_upload_rate"), _NOTHING),
}
"""In ``stream`` and in a ``server``."""

STREAM: Known = {
    **PROXY,
    **dict.fromkeys(
        (
            "allow", "deny", "geo", "log_format", "map", "map_hash_bucket_size",
            "map_hash_max_size", "server", "upstream", "variables_hash_bucket_size",
            "variables_hash_max_size",
        ),
        _ANY,
    ),
}  # fmt: skip

SERVER: Known = {
    **PROXY, **dict.fromkeys(("allow", "deny", "listen", "proxy_pass"), _ANY),
}  # fmt: skip

UPSTREAM: Known = dict.fromkeys(("hash", "least_conn", "random", "server", "zone"), _ANY)

LISTEN = re.compile(
    r"udp|reuseport|bind|(?:backlog|rcvbuf|sndbuf|fastopen)=[0-9]+[kKmM]?"
    r"|so_keepalive=[0-9a-z:]+|ipv6only=(?:on|off)"
)
"""Parameters of ``listen`` that are known; ``ssl`` and ``proxy_protocol`` change what is said."""

CONSTANT = frozenset({"hostname", "nginx_version", "protocol", "server_addr", "server_port"})
"""Variables that are the same for all connections to a frontend."""


def is_known(directive: Directive, known: Known) -> bool:
    """Whether a directive is known with these arguments."""
    pattern = known.get(directive.name)
    if pattern is None or any("\\" in word for word in directive.arguments):
        return False
    return pattern.fullmatch(" ".join(directive.arguments)) is not None
