"""Statements of the operator's own about who reaches which Services, one a line.

The language is svcc's own; ``docs/policy.md`` describes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from svcc.grammar.address import Address, Network, parse_address, parse_network
from svcc.grammar.errors import InputError, Position, Problem

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
KIND_WORDS = ("anyone", "external", "pod", "node")
Verb = Literal["never", "only", "always"]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: a word of ``KIND_WORDS``, or a network of source addresses."""

    who: str | Network
    negated: bool = False

    def __str__(self) -> str:
        return f"not {self.who}" if self.negated else str(self.who)


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """Frontends of Services: ``kind`` is ``service`` for all of them.

    ``namespace`` and ``name`` are globs, ``port`` is a port's name or number; empty for all.
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
            text = f"[{text}]:{self.port}" if ":" in text else f"{text}:{self.port}"
        return f"address {text}{_protocol_text(self.protocol)}"


@dataclass(frozen=True, slots=True)
class NodePortTarget:
    """A node port by its number; of one ``protocol`` (IANA number) if given."""

    port: int
    protocol: int | None = None

    def __str__(self) -> str:
        return f"nodeport {self.port}{_protocol_text(self.protocol)}"


Target = ServiceTarget | AddressTarget | NodePortTarget


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. Only ``always`` has ``at_least`` (0: no demand) and ``inside``.

    ``if_any``: it may match no frontend.
    """

    verb: Verb
    senders: tuple[Sender, ...]
    target: Target
    at_least: int = 0
    inside: tuple[Network, ...] = ()
    if_any: bool = False

    def __str__(self) -> str:
        text = f"{self.verb} {', '.join(map(str, self.senders))} -> {self.target}"
        if self.at_least:
            text += f" via >= {self.at_least} backends"
        if self.inside:
            text += f" via only {', '.join(map(str, self.inside))}"
        return text + (" if any" if self.if_any else "")


@dataclass(frozen=True, slots=True)
class Placed:
    """A statement and where it stands."""

    statement: Statement
    position: Position


def write(statements: list[Statement]) -> str:
    """The text of statements; :func:`parse` is its inverse."""
    return "".join(f"{statement}\n" for statement in statements)


def parse(text: str, *, source: str) -> list[Placed]:
    """The statements of a policy file.

    Raises:
        InputError: lines are not statements.
    """
    from lark import UnexpectedInput

    found: list[Placed] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.partition("#")[0].strip():
            continue
        try:
            tree = _lark().parse(line)
            found.append(Placed(_statement(tree), Position(source, number, 1)))
        except UnexpectedInput as error:
            column = error.column if error.column > 0 else len(line) + 1
            message = (
                "not a statement; write never SENDER -> TARGET, only SENDER, … -> TARGET, "
                "or always SENDER -> TARGET"
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


def _statement(tree: Tree[Token]) -> Statement:
    body: Any = tree.children[0]
    verb = _VERBS[str(body.data)]
    senders: list[Sender] = []
    target: Target | None = None
    at_least, if_any = 0, False
    inside: tuple[Network, ...] = ()
    for part in body.children:
        words = part.children
        if part.data == "sender":
            senders.append(_sender(words[-1], len(words) > 1))
        elif part.data == "any_service":
            target = ServiceTarget("service", "*", "*")
        elif part.data == "named":
            target = _target(words[0], words[1])
        elif part.data == "at_least":
            at_least = _number(words[0], 1, 100_000)
        elif part.data == "inside":
            inside = tuple(_network(word) for word in words)
        else:
            if_any = True
    assert target is not None
    return Statement(verb, tuple(senders), target, at_least, inside, if_any)


def _protocol_text(protocol: int | None) -> str:
    return next((f"/{name}" for name, n in PROTOCOLS.items() if n == protocol), "")


def _sender(word: Token, negated: bool) -> Sender:
    return Sender(str(word) if word in KIND_WORDS else _network(word), negated)


def _network(word: Token) -> Network:
    try:
        if "/" in word:
            return parse_network(str(word))
        address = parse_address(str(word))
    except ValueError as error:
        raise _WordError(word, f"{error}; a sender is {', '.join(KIND_WORDS)} or a CIDR") from None
    return Network(address.family, address.value, address.family.bits)


def _number(word: Token, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", word) or not low <= int(word) <= high:
        raise _WordError(word, f"{str(word)!r} is not a number from {low} to {high}")
    return int(word)


def _target(kind: Token, word: Token) -> Target:
    if (
        kind == "address"
        or (kind == "nodeport" and "/" not in word.rstrip("/"))
        or (kind == "nodeport" and word[:1].isdigit() and word.partition("/")[2] in PROTOCOLS)
    ):
        return _place(kind, word)
    names = re.fullmatch(r"([a-z0-9*.-]+)/([a-z0-9*.-]+)(?::([A-Za-z0-9-]+))?", word)
    if not names:
        raise _WordError(word, f"{str(word)!r} is not NAMESPACE/NAME or NAMESPACE/NAME:PORT")
    return ServiceTarget(str(kind), names[1], names[2], names[3] or "")


def _place(kind: Token, word: Token) -> Target:
    text, slash, name = str(word).partition("/")
    if slash and name not in PROTOCOLS:
        raise _WordError(word, f"{name!r} is not tcp, udp or sctp")
    protocol = PROTOCOLS[name] if slash else None
    if kind == "nodeport":
        if not text.isdigit() or not 1 <= int(text) <= 65535:
            raise _WordError(word, f"{text!r} is not a port from 1 to 65535")
        return NodePortTarget(int(text), protocol)
    parts = re.fullmatch(r"\[([^]]+)\](?::([0-9]{1,5}))?|([^:]+):([0-9]{1,5})|(.+)", text)
    try:
        assert parts is not None
        address = parse_address(parts[1] or parts[3] or parts[5])
    except (ValueError, AssertionError) as error:
        raise _WordError(
            word, f"{error or 'no address'}; write IP, IP:PORT or IP:PORT/tcp"
        ) from None
    port = parts[2] or parts[4]
    if protocol is not None and port is None:
        raise _WordError(word, "a protocol needs a port: write IP:PORT/tcp")
    return AddressTarget(address, int(port) if port else None, protocol)
