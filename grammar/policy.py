"""Statements of the operator's own about who reaches which Services, one a line.

The language is svcc's own; ``docs/policy.md`` describes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from svcc.grammar.address import Address, Family, Network, parse_address, parse_network
from svcc.grammar.errors import InputError, Position, Problem
from svcc.grammar.numbers import MAX_PORT, TRANSPORTS, decimal

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

KIND_WORDS = ("anyone", "external", "pod", "node")
MOST_BACKENDS = 100_000
Verb = Literal["never", "only", "always"]
SourceWord = Literal["", "kept", "masqueraded"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: a word of ``KIND_WORDS``, or one source address or a network of them."""

    who: str | Address | Network
    negated: bool = False

    @property
    def network(self) -> Network | None:
        """The source addresses; None for a word."""
        if isinstance(self.who, Network):
            return self.who
        if isinstance(self.who, Address):
            return Network(self.who.family, self.who.value, self.who.family.bits)
        return None

    def __str__(self) -> str:
        return f"not {self.who}" if self.negated else str(self.who)


@dataclass(frozen=True, slots=True)
class AnyTarget:
    """Every frontend of every Service."""

    def __str__(self) -> str:
        return "any service"


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """Frontends of Services: ``kind`` is ``service`` for all of them.

    ``namespace`` and ``name`` are globs, ``port`` is a Service port's name or number; empty for
    all.
    """

    kind: str
    namespace: str
    name: str
    port: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" + (f":{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True)
class AddressTarget:
    """Frontends at an address; at its ``port`` and ``protocol`` (IANA number) if given."""

    address: Address
    port: int | None = None
    protocol: int | None = None

    def __str__(self) -> str:
        text = str(self.address)
        if self.port is not None:
            six = self.address.family is Family.IPV6
            text = f"[{text}]:{self.port}" if six else f"{text}:{self.port}"
        return f"address {text}{_protocol_text(self.protocol)}"


@dataclass(frozen=True, slots=True)
class NodePortTarget:
    """A node port by its number; of one ``protocol`` (IANA number) if given."""

    port: int
    protocol: int | None = None

    def __str__(self) -> str:
        return f"nodeport {self.port}{_protocol_text(self.protocol)}"


Target = AnyTarget | ServiceTarget | AddressTarget | NodePortTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement. Only ``always`` has ``at_least`` (0: no demand), ``inside`` and ``source``.

    ``if_any``: it may match no frontend.
    """

    verb: Verb
    senders: tuple[Sender, ...]
    target: Target
    at_least: int = 0
    inside: tuple[Network, ...] = ()
    source: SourceWord = ""
    if_any: bool = False

    def __str__(self) -> str:
        text = f"{self.verb} {', '.join(map(str, self.senders))} -> {self.target}"
        if self.at_least:
            text += f" via >= {self.at_least} backends"
        if self.inside:
            text += f" via only {', '.join(map(str, self.inside))}"
        if self.source:
            text += f" with source {self.source}"
        return text + (" if any" if self.if_any else "")


@dataclass(frozen=True, slots=True)
class AddressRange:
    """The addresses of frontends that are virtual IPs lie inside networks, each family's inside
    those of its own; nothing is said of a family without any.
    """

    target: AnyTarget | ServiceTarget
    inside: tuple[Network, ...]
    if_any: bool = False

    def __str__(self) -> str:
        text = f"{self.target} inside {', '.join(map(str, self.inside))}"
        return text + (" if any" if self.if_any else "")


@dataclass(frozen=True, slots=True)
class Placed:
    """A statement and where it stands."""

    statement: Statement
    position: Position

    def __str__(self) -> str:
        return f"{self.position.file}:{self.position.line}: {self.statement}"


@dataclass(frozen=True, slots=True)
class PlacedRange:
    """A range of addresses and where it stands."""

    range: AddressRange
    position: Position

    def __str__(self) -> str:
        return f"{self.position.file}:{self.position.line}: {self.range}"


class Policy(NamedTuple):
    """What a policy file says, each kind in the order of the file."""

    statements: list[Placed]
    ranges: list[PlacedRange]


def write(statements: Iterable[Statement | AddressRange]) -> str:
    """The text of statements; :func:`parse` is its inverse."""
    return "".join(f"{statement}\n" for statement in statements)


def parse(text: str, *, source: str) -> Policy:
    """What a policy file says.

    Raises:
        InputError: lines are not statements.
    """
    from lark import UnexpectedInput

    found = Policy([], [])
    problems: list[Problem] = []
    for number, line in enumerate(re.split(r"\r\n|\n", text), 1):
        if not line.partition("#")[0].strip(" \t"):
            continue
        try:
            tree = _lark().parse(line)
            position = Position(source, number, len(line) - len(line.lstrip()) + 1)
            if tree.data == "address_range":
                found.ranges.append(PlacedRange(_address_range(tree), position))
            else:
                found.statements.append(Placed(_statement(tree), position))
        except UnexpectedInput as error:
            column = error.column if error.column > 0 else len(line) + 1
            message = (
                "not a statement; write never SENDER -> TARGET, only SENDER, … -> TARGET, "
                "always SENDER -> TARGET, or TARGET inside CIDR, …"
            )
            problems.append(Problem(Position(source, number, column), message))
        except _WordError as error:
            problems.append(Problem(Position(source, number, error.column), str(error)))
    if problems:
        raise InputError(problems)
    return found


class _WordError(ValueError):
    def __init__(self, token: Token, message: str) -> None:
        super().__init__(message)
        self.column = token.column or 1


@lru_cache(maxsize=1)
def _lark() -> Lark:
    from lark import Lark

    grammar = Path(__file__).with_name("policy.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr")


_VERBS: dict[str, Verb] = {"never": "never", "only": "only", "always": "always"}
_SOURCES: dict[str, SourceWord] = {"kept": "kept", "masqueraded": "masqueraded"}


def _statement(tree: Tree[Token]) -> Statement:
    verb, *rest = [_part(part) for part in tree.children]
    senders = tuple(value for kind, _, value in rest if kind == "sender")
    target = next(value for kind, _, value in rest if kind in ("any_service", "named"))
    demands: dict[str, Any] = {}
    for kind, word, value in rest:
        if kind not in ("at_least", "inside", "source"):
            continue
        if verb[2] != "always":
            raise _WordError(word, "only always has demands; this one says that nobody is served")
        if kind in demands:
            raise _WordError(word, "this demand stands here twice; write one statement for each")
        demands[kind] = value
    if_any = any(kind == "guard" for kind, *_ in rest)
    return Statement(verb=verb[2], senders=senders, target=target, if_any=if_any, **demands)


def _address_range(tree: Tree[Token]) -> AddressRange:
    target, *rest = tree.children
    _, word, value = _part(target)
    if not isinstance(value, AnyTarget | ServiceTarget) or (
        isinstance(value, ServiceTarget) and (value.kind == "nodeport" or value.port)
    ):
        raise _WordError(
            word,
            "only addresses lie inside of networks; write any service, or service, clusterip, "
            "externalip or loadbalancer NAMESPACE/NAME",
        )
    words = [item for item in rest if isinstance(item, str)]
    return AddressRange(
        value, tuple(_network(item) for item in words), if_any=len(words) < len(rest)
    )


def _part(part: Any) -> tuple[str, Any, Any]:
    """What a part of the tree is, its last word, and its value."""
    kind, words = str(part.data), part.children
    word: Any = words[-1] if words else None
    value: Any = None
    if kind == "verb":
        value = _VERBS[word]
    elif kind == "sender":
        value = _sender(word, len(words) > 1)
    elif kind == "any_service":
        value = AnyTarget()
    elif kind == "named":
        value = _target(words[0], word)
    elif kind == "at_least":
        value = _number(word, str(word), MOST_BACKENDS)
    elif kind == "inside":
        value = tuple(_network(each) for each in words)
    elif kind == "source":
        value = _SOURCES[word]
    return kind, word, value


def _protocol_text(protocol: int | None) -> str:
    return next((f"/{name}" for name, n in TRANSPORTS.items() if n == protocol), "")


def _sender(word: Token, negated: bool) -> Sender:
    if word == "anyone" and negated:
        raise _WordError(word, "there is nobody who is not anyone")
    if word in KIND_WORDS:
        return Sender(str(word), negated)
    try:
        return Sender((parse_network if "/" in word else parse_address)(str(word)), negated)
    except ValueError as error:
        words = ", ".join(KIND_WORDS)
        raise _WordError(word, f"{error}; a sender is {words}, an address or a CIDR") from None


def _network(word: Token) -> Network:
    try:
        return parse_network(str(word))
    except ValueError as error:
        raise _WordError(word, str(error)) from None


def _number(word: Token, text: str, high: int) -> int:
    try:
        return decimal(text, 1, high)
    except ValueError as error:
        raise _WordError(word, str(error)) from None


def _target(kind: Token, word: Token) -> Target:
    first, slash, last = str(word).partition("/")
    if kind == "address":
        return _address(word)
    if kind == "nodeport" and (not slash or (first.isdecimal() and last in TRANSPORTS)):
        return NodePortTarget(_number(word, first, MAX_PORT), TRANSPORTS[last] if slash else None)
    names = re.fullmatch(r"([a-z0-9*.-]+)/([a-z0-9*.-]+)(?::([a-z0-9-]+))?", str(word))
    if not names:
        raise _WordError(word, f"{str(word)!r} is not NAMESPACE/NAME or NAMESPACE/NAME:PORT")
    return ServiceTarget(str(kind), names[1], names[2], names[3] or "")


_PLACE = re.compile(
    r"\[(?P<six>[^]]+)\]:(?P<six_port>\w+)|(?P<four>[^:]+):(?P<port>\w+)|(?P<ip>.+)"
)


def _address(word: Token) -> Target:
    text, slash, name = str(word).partition("/")
    if slash and name not in TRANSPORTS:
        raise _WordError(word, f"{name!r} is not tcp, udp or sctp")
    parts = _PLACE.fullmatch(text)
    try:
        address = parse_address("" if parts is None else next(filter(None, parts.group(1, 3, 5))))
    except ValueError as error:
        raise _WordError(word, f"{error}; write IP, IP:PORT or IP:PORT/tcp") from None
    port = parts and (parts["six_port"] or parts["port"])
    if slash and not port:
        raise _WordError(word, "a protocol needs a port: write IP:PORT/tcp")
    return AddressTarget(
        address,
        _number(word, port, MAX_PORT) if port else None,
        TRANSPORTS[name] if slash else None,
    )
