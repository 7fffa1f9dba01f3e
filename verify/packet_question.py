"""Words that ask what becomes of a packet."""

from __future__ import annotations

from svcc.grammar.address import Address, parse_address
from svcc.verify.simulator.packet import DOCUMENTATION_SOURCE, EPHEMERAL_PORT, Packet
from svcc.verify.spec.expectation import PROTOCOL_NUMBER


class QuestionError(ValueError):
    """Words that do not ask for a packet."""


def read_packet(words: list[str], node: Address | None) -> Packet:
    """``from SOURCE to ADDRESS:PORT[/PROTOCOL] [port N] [in INTERFACE] [mark N]``.

    Args:
        words: SOURCE is an address or ``node``; without ``from`` a client from outside.
        node: the node's own address of the family, for ``from node``.

    Raises:
        QuestionError: they do not say that.
    """
    given: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word not in ("from", "to", "port", "in", "iif", "mark"):
            raise QuestionError(f"{word!r} is not understood")
        value = next(rest, None)
        if value is None:
            raise QuestionError(f"{word!r} needs a value")
        given["in" if word == "iif" else word] = value
    if "to" not in given:
        raise QuestionError("there is no destination; say to ADDRESS:PORT")
    address, port, protocol = read_destination(given["to"])
    family = address.family
    source = DOCUMENTATION_SOURCE[family]
    if given.get("from") == "node":
        if node is None or node.family is not family:
            raise QuestionError(f"the node has no {family.label} address; give --node-ip")
        source = node.value
    elif "from" in given:
        parsed = _address(given["from"])
        if parsed.family is not family:
            raise QuestionError("source and destination are of different families")
        source = parsed.value
    return Packet(
        family,
        False,
        source,
        _number(given.get("port", str(EPHEMERAL_PORT)), 0xFFFF),
        address.value,
        port,
        protocol,
        given.get("in", "eth0"),
        _number(given.get("mark", "0"), 0xFFFFFFFF),
    )


def read_destination(text: str) -> tuple[Address, int, int]:
    """``ADDRESS:PORT[/PROTOCOL]``; TCP if it does not say.

    Raises:
        QuestionError: it is no such thing.
    """
    place, _, protocol = text.partition("/")
    address, colon, port = place.rpartition(":")
    if not colon or not port:
        raise QuestionError(f"{text!r} has no port; say ADDRESS:PORT/tcp, IPv6 as [ADDRESS]:PORT")
    name = (protocol or "tcp").upper()
    if name not in PROTOCOL_NUMBER:
        raise QuestionError(f"{protocol!r} is not tcp, udp or sctp")
    return _address(address.strip("[]")), _number(port, 0xFFFF), PROTOCOL_NUMBER[name]


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError:
        raise QuestionError(f"{text!r} is no IP address") from None


def _number(text: str, highest: int) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        raise QuestionError(f"{text!r} is no number") from None
    if not 0 <= number <= highest:
        raise QuestionError(f"{text} is not between 0 and {highest}")
    return number
