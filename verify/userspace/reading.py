"""A configuration of nginx as a model of where connections go.

What is not known of it stands in the model, so that nothing that it may concern is proved. What
nginx itself refuses to start with is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from svcc.grammar.address import Family, Network
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.nginx.directives import Configuration, Directive
from svcc.grammar.numbers import TRANSPORTS
from svcc.verify.userspace import known
from svcc.verify.userspace.model import (
    Access,
    Geo,
    Listener,
    Map,
    Open,
    ProxyModel,
    Server,
    Variable,
    Word,
)
from svcc.verify.userspace.upstreams import read_upstream
from svcc.verify.userspace.words import network, place, variables, word

_TCP, _UDP = TRANSPORTS["tcp"], TRANSPORTS["udp"]
_DEFAULT_CONNECTIONS = 512


def model_of(configuration: Configuration) -> ProxyModel:
    """The model.

    Raises:
        InputError: nginx would not start with it.
    """
    return _Reader(configuration).read()


@dataclass(frozen=True, slots=True)
class _Inherited:
    """What a server has from ``stream``, unless it says otherwise."""

    access: tuple[Access, ...]
    one_worker: bool


class _Reader:
    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._model = ProxyModel(configuration.source)
        self._problems: list[Problem] = []
        self._unknown: list[Directive] = []
        self._sockets = 0

    def read(self) -> ProxyModel:
        top = self._configuration.directives
        self._look_at(top, known.MAIN)
        self._must_be_once(top, ("events", "stream", "worker_processes", "master_process"))
        workers = _last(top, "worker_processes", "1")
        # Without a master there are no workers beside the one process.
        one_worker = workers == "1" or _last(top, "master_process", "on") == "off"
        events = [d for d in top if d.name == "events"]
        if not events:
            self._refuse(None, 'no "events" section')
        for directive in top:
            if directive.name == "events":
                self._look_at(directive.block or (), known.EVENTS)
            elif directive.name == "stream":
                self._stream(directive.block or (), one_worker)
        connections = _last(events[0].block or (), "worker_connections", "") if events else ""
        self._count(connections, events)
        if self._problems:
            raise InputError(self._problems)
        self._model.unknown = tuple(self._unknown)
        self._model.directives = sum(1 for _ in _every(top))
        return self._model

    def _count(self, connections: str, events: list[Directive]) -> None:
        """ngx_event_init_conf: each socket takes a connection, and one is needed beside."""
        number = _DEFAULT_CONNECTIONS if not connections else _number(connections)
        if number is None:
            self._refuse(events[0], f"{connections!r} is no number of connections")
        elif number < self._sockets + 1:
            self._refuse(
                events[0] if events else None,
                f"{number} worker_connections are not enough for {self._sockets} listening sockets",
            )

    def _stream(self, block: tuple[Directive, ...], one_worker: bool) -> None:
        self._look_at(block, known.STREAM)
        for directive in block:
            match directive.name:
                case "upstream":
                    self._upstream(directive)
                case "geo" | "map":
                    self._variable(directive)
                case _:
                    pass
        inherited = _Inherited(self._access(block), one_worker)
        for directive in block:
            if directive.name == "server":
                self._server(directive, inherited)

    def _upstream(self, directive: Directive) -> None:
        name = directive.arguments[0].lower() if len(directive.arguments) == 1 else ""
        if not name:
            self._refuse(directive, "an upstream has one name")
            return
        if name in self._model.upstreams:
            self._refuse(directive, f'duplicate upstream "{name}"')
            return
        try:
            self._model.upstreams[name] = read_upstream(name, directive)
        except ValueError as error:
            self._refuse(directive, str(error))

    def _variable(self, directive: Directive) -> None:
        arguments = directive.arguments
        name = arguments[-1].removeprefix("$") if arguments else ""
        read = _geo(directive) if directive.name == "geo" else _map(directive)
        self._model.variables[name] = Open(directive) if read is None else read

    def _access(self, block: Iterable[Directive]) -> tuple[Access, ...]:
        found = []
        for directive in block:
            if directive.name not in ("allow", "deny"):
                continue
            text = directive.arguments[0] if directive.arguments else ""
            if text == "unix:":
                continue
            of = None if text == "all" else network(text)
            if of is None and text != "all":
                self._refuse(directive, f'invalid parameter "{text}"')
            found.append(Access(directive.name == "allow", of, directive))
        return tuple(found)

    def _server(self, directive: Directive, inherited: _Inherited) -> None:
        block = directive.block or ()
        unknown = next((d for d in block if not known.is_known(d, known.SERVER)), None)
        passes = [d for d in block if d.name == "proxy_pass"]
        listens = [d for d in block if d.name == "listen"]
        if not listens:
            self._refuse(directive, 'no "listen" is defined for this server')
        if len(passes) > 1:
            self._refuse(passes[1], '"proxy_pass" directive is duplicate')
        if not passes and unknown is None:
            self._refuse(directive, "no handler for this server: proxy_pass is missing")
        if not passes or not listens:
            self._unknown += () if unknown is None else (unknown,)
            return
        target = word(passes[0].arguments[0])
        self._check_target(target, passes[0])
        access = self._access(block) or inherited.access
        server = Server(access, target, directive, passes[0], unknown)
        for listen in listens:
            for listener in self._listeners(listen, server, inherited):
                self._add(listener)

    def _check_target(self, target: Word, directive: Directive) -> None:
        if variables(target):
            return
        text = target[0][1] if target else ""
        if text.lower() not in self._model.upstreams and ":" not in text:
            self._refuse(directive, f'no port in upstream "{text}", and no upstream of this name')

    def _listeners(
        self, directive: Directive, server: Server, inherited: _Inherited
    ) -> Iterator[Listener]:
        text, *parameters = directive.arguments
        at = place(text)
        if at is None:
            if not text.startswith("unix:"):
                # A name is looked up, and a range is many ports: anywhere.
                self._unknown.append(directive)
            return
        self._sockets += 1
        protocol = _UDP if "udp" in parameters else _TCP
        is_open = not all(known.LISTEN.fullmatch(p) for p in parameters)
        by_worker = protocol == _TCP or inherited.one_worker or "reuseport" in parameters
        family = Family.IPV4 if at.address is None else at.address.family
        families = [family]
        if at.address is not None and not at.address.value and "ipv6only=off" in parameters:
            families = list(Family)
        for of in families:
            address = at.address.value if at.address is not None else 0
            yield Listener(
                of, address or None, protocol, at.port, server, directive, by_worker, is_open
            )

    def _add(self, listener: Listener) -> None:
        key = (listener.family, listener.address, listener.protocol, listener.port)
        if (other := self._model.listeners.get(key)) is not None:
            self._refuse(
                listener.directive,
                f"duplicate address and port pair, first at {other.directive.file}:"
                f"{other.directive.line}; leave one out",
            )
        self._model.listeners[key] = listener

    def _look_at(self, block: Iterable[Directive], table: known.Known) -> None:
        self._unknown += (d for d in block if not known.is_known(d, table))

    def _must_be_once(self, block: Iterable[Directive], names: tuple[str, ...]) -> None:
        for name in names:
            found = [d for d in block if d.name == name]
            if len(found) > 1:
                self._refuse(found[1], f'"{name}" directive is duplicate')

    def _refuse(self, directive: Directive | None, what: str) -> None:
        position = Position(self._configuration.source)
        if directive is not None:
            position = Position(directive.file, directive.line, 1)
        self._problems.append(Problem(position, f"nginx would not take this: {what}"))


def _geo(directive: Directive) -> Variable | None:
    """None where it is not known what it says."""
    if len(directive.arguments) != 1:
        return None
    default, values = "", dict[Network, str]()
    for row in directive.block or ():
        if len(row.arguments) != 1 or "$" in row.arguments[0] or "\\" in row.arguments[0]:
            return None
        of = network(row.name)
        if row.name == "default":
            default = row.arguments[0]
        elif of is None:
            return None
        else:
            values[of] = row.arguments[0]
    return Geo(default, values)


def _map(directive: Directive) -> Variable | None:
    """None where it is not known what it says."""
    if len(directive.arguments) != 2:
        return None
    default, values = "", dict[str, str]()
    for row in directive.block or ():
        if len(row.arguments) != 1 or "$" in row.arguments[0] or "\\" in row.arguments[0]:
            return None
        if row.name == "default":
            default = row.arguments[0]
        elif row.name in ("hostnames", "volatile", "include") or row.name[:1] in ("~", "\\"):
            return None
        else:
            values[row.name.lower()] = row.arguments[0]
    return Map(word(directive.arguments[0]), default, values)


def _last(block: Iterable[Directive], name: str, default: str) -> str:
    found = [d.arguments[0] for d in block if d.name == name and d.arguments]
    return found[-1] if found else default


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _every(directives: Iterable[Directive]) -> Iterator[Directive]:
    for directive in directives:
        yield directive
        yield from _every(directive.block or ())
