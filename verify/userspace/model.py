"""A proxy's configuration as what is judged: where it listens, and where connections go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from svcc.grammar.address import Family, Network
from svcc.grammar.nginx.directives import Directive
from svcc.verify.spec.endpoints import Backend

Word = tuple[tuple[bool, str], ...]
"""A word of literal texts and variables: (whether it is a variable, its text or name)."""


@dataclass(frozen=True, slots=True)
class Access:
    """``allow`` or ``deny``; ``network`` None: all of both families."""

    allows: bool
    network: Network | None
    directive: Directive


@dataclass(frozen=True, slots=True)
class Geo:
    """A variable that depends on the client's address: the longest prefix decides."""

    default: str
    values: Mapping[Network, str]


@dataclass(frozen=True, slots=True)
class Map:
    """A variable that depends on a word: an equal value decides, without regard to case."""

    of: Word
    default: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Open:
    """A variable that is not known, and why."""

    directive: Directive


Variable = Geo | Map | Open


@dataclass(frozen=True, slots=True)
class UpstreamServer:
    """A ``server`` of an upstream. ``fails``: after how many failed connections it gets nothing
    for a while, 0 for never.
    """

    family: Family
    backend: Backend
    directive: Directive
    weight: int = 1
    fails: int = 1
    backup: bool = False
    down: bool = False


Method = Literal["round robin", "random", "by client", "by connection", "constant"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """What connections are sent to. ``unknown`` is a directive whose effect is not known."""

    name: str
    servers: tuple[UpstreamServer, ...]
    method: Method
    directive: Directive
    unknown: Directive | None = None

    @property
    def shares(self) -> dict[UpstreamServer, Fraction]:
        """What part of new connections goes to which server, while all of them answer.

        Source: ngx_stream_upstream_round_robin.c; backups get nothing while another is up.
        """
        able = [each for each in self.servers if not each.down]
        able = [each for each in able if not each.backup] or able
        total = sum(each.weight for each in able)
        return {each: Fraction(each.weight, total) for each in able}


@dataclass(frozen=True, slots=True)
class Server:
    """A ``server`` of the stream module."""

    access: tuple[Access, ...]
    target: Word
    directive: Directive
    pass_directive: Directive
    unknown: Directive | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a server listens. ``address`` None: on every address of its family.

    ``by_worker``: all datagrams of one client's port come to the same worker. ``unknown``: its
    parameters say more than is known.
    """

    family: Family
    address: int | None
    protocol: int
    port: int
    server: Server
    directive: Directive
    by_worker: bool = True
    unknown: bool = False


Key = tuple[Family, int | None, int, int]
"""Family, address, protocol and port of a listener."""


@dataclass(slots=True)
class ProxyModel:
    """A whole configuration. ``unknown``: what may concern everything.

    ``addresses`` are those that a device has for it, by family, with the lines in ``file`` that
    say so; None where nobody said.
    """

    source: str
    listeners: dict[Key, Listener] = field(default_factory=dict)
    upstreams: dict[str, Upstream] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    unknown: tuple[Directive, ...] = ()
    directives: int = 0
    addresses: Mapping[Family, Mapping[int, int]] | None = None
    addresses_file: str = ""
    _by_port: dict[tuple[int, ...], list[int]] = field(default_factory=dict)

    def addresses_of(self, family: Family, protocol: int, port: int) -> list[int]:
        """The addresses at which a listener has a port, but for one that has all."""
        if not self._by_port:
            for of, address, *at in self.listeners:
                if address is not None:
                    self._by_port.setdefault((of, *at), []).append(address)
        return self._by_port.get((family, protocol, port), [])

    def listener(self, family: Family, address: int, protocol: int, port: int) -> Listener | None:
        """Who answers there: the address counts more than all addresses."""
        exact = self.listeners.get((family, address, protocol, port))
        return exact or self.listeners.get((family, None, protocol, port))
