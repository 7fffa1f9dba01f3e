"""What becomes of a connection from an address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svcc.grammar.address import Address, Family, Network, prefix_mask
from svcc.grammar.nginx.directives import Directive
from svcc.verify.spec.endpoints import Backend
from svcc.verify.userspace.model import (
    Geo,
    Listener,
    Map,
    Open,
    ProxyModel,
    Server,
    Upstream,
    UpstreamServer,
    Word,
)
from svcc.verify.userspace.words import place


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody listens: the kernel refuses it, if the address is one of the node's."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Accepted, and closed without a byte; a datagram is dropped. ``by`` decides it."""

    by: Directive


@dataclass(frozen=True, slots=True)
class Served:
    """Sent to a server of an upstream."""

    upstream: Upstream
    listener: Listener


@dataclass(frozen=True, slots=True)
class Unknown:
    """Not known, for a directive."""

    by: Directive


Result = Refused | Closed | Served | Unknown


_MOST_MAPS = 8
"""One behind the other; more are not followed."""


class Evaluator:
    """Evaluates one model."""

    def __init__(self, model: ProxyModel) -> None:
        self._model = model
        self._tables = {
            name: _table(variable)
            for name, variable in model.variables.items()
            if isinstance(variable, Geo)
        }

    def result(self, listener: Listener | None, source: Address) -> Result:
        """What becomes of a connection to a listener."""
        if listener is None:
            return Refused()
        server = listener.server
        if listener.unknown:
            return Unknown(listener.directive)
        if server.unknown is not None:
            return Unknown(server.unknown)
        for rule in server.access:
            if rule.network is None or rule.network.holds(source):
                if not rule.allows:
                    return Closed(rule.directive)
                break
        return self._sent(listener, server, source)

    def _sent(self, listener: Listener, server: Server, source: Address) -> Result:
        text = self.text(server.target, source)
        if not isinstance(text, str):
            return Unknown(text)
        upstream = self._model.upstreams.get(text.lower()) or _of_address(text, server)
        if upstream is None:
            # A name with a port is looked up; one without is no upstream, and the connection ends.
            return Unknown(server.pass_directive) if ":" in text else Closed(server.pass_directive)
        if upstream.unknown is not None:
            return Unknown(upstream.unknown)
        if not upstream.shares:
            # "no live upstreams"
            return Closed(upstream.directive)
        return Served(upstream, listener)

    def text(self, of: Word, source: Address, depth: int = 0) -> str | Directive:
        """A word for a client; the directive for which it is not known."""
        parts = []
        for is_variable, text in of:
            value: str | Directive = text
            if is_variable:
                value = self.variable(text, source, depth)
            if not isinstance(value, str):
                return value
            parts.append(value)
        return "".join(parts)

    def variable(self, name: str, source: Address, depth: int = 0) -> str | Directive:
        """A variable for a client, or the directive for which it is not known."""
        if name == "remote_addr":
            return str(source)
        variable = self._model.variables.get(name)
        match variable:
            case Geo():
                return _longest(self._tables[name], source, variable.default)
            case Map() if depth < _MOST_MAPS:
                key = self.text(variable.of, source, depth + 1)
                if not isinstance(key, str):
                    return key
                return variable.values.get(key.lower(), variable.default)
            case Open():
                return variable.directive
            case _:
                return Directive(f"${name}")


def _of_address(text: str, server: Server) -> Upstream | None:
    """``proxy_pass ADDRESS:PORT``: an upstream of one server."""
    at = place(text)
    if at is None or at.address is None or not at.address.value:
        return None
    only = UpstreamServer(
        at.address.family, Backend(at.address.value, at.port), server.pass_directive
    )
    return Upstream(text, (only,), "round robin", server.pass_directive)


_Table = Mapping[tuple[Family, int], Mapping[int, str]]
"""For each length of prefix, longest first: values by the prefix."""


def _table(variable: Geo) -> _Table:
    found: dict[tuple[Family, int], dict[int, str]] = {}
    for network, value in sorted(variable.values.items(), key=_longest_first):
        found.setdefault((network.family, network.prefix_length), {})[network.value] = value
    return found


def _longest_first(item: tuple[Network, str]) -> int:
    return -item[0].prefix_length


def _longest(table: _Table, source: Address, default: str) -> str:
    for (family, length), values in table.items():
        if family is source.family:
            value = values.get(source.value & prefix_mask(family, length))
            if value is not None:
                return value
    return default
