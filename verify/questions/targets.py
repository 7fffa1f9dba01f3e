"""What a person names as the end of a way: a Service, an address, or a port of the node."""

from __future__ import annotations

import re
from dataclasses import dataclass

from svcc.grammar.address import Address, parse_address
from svcc.verify.spec.expectation import PROTOCOL_NUMBER

MAX_PORT = 0xFFFF


class QuestionError(ValueError):
    """Words that ask for nothing that there is."""


@dataclass(frozen=True, slots=True)
class ServiceName:
    """A Service. ``namespace`` is "" where it is not said; ``port`` is a name or a number, ""
    for all; ``protocol`` None: any.
    """

    name: str
    namespace: str = ""
    port: str = ""
    protocol: int | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class AddressName:
    """An address. ``port`` None: any; ``protocol`` None: it is not said."""

    address: Address
    port: int | None = None
    protocol: int | None = None


@dataclass(frozen=True, slots=True)
class NodePortName:
    """A port of the node; ``protocol`` None: it is not said."""

    port: int
    protocol: int | None = None


NamedTarget = ServiceName | AddressName | NodePortName

HOW = (
    "say a Service (shop/web, web, web.shop, shop/web:http), an address (10.96.0.12, "
    "10.96.0.12:80/tcp, [fd00::1]:80) or a node port (30080)"
)

_PROTOCOL = r"(?:/(?P<protocol>[A-Za-z]*))?"
_ADDRESS = r"(?:\[(?P<six>[^\]]*)\]|(?P<four>\d+(?:\.\d+)+))(?::(?P<port>[^/]*))?"
_WITH_PROTOCOL = re.compile(_ADDRESS + _PROTOCOL, re.ASCII)
_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<host>[^/?#]+)(?:[/?#].*)?")
_URL_PORTS = {"http": ":80", "https": ":443"}
_BARE_IPV6 = re.compile(r"(?P<six>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)" + _PROTOCOL)
_NODE_PORT = re.compile(r":?(?P<port>\d+)" + _PROTOCOL, re.ASCII)
_SERVICE = re.compile(
    r"(?:(?P<namespace>\w[\w-]*)/)?(?P<name>\w[\w.-]*)(?::(?P<port>\w[\w-]*)" + _PROTOCOL + ")?",
    re.ASCII,
)


def read_target(text: str) -> NamedTarget:
    """What a word names, by how it is written; of a URL its host and port count.

    Services are ``NAME``, ``NAMESPACE/NAME`` or a name of the cluster's DNS (``NAME.NAMESPACE``,
    ``NAME.NAMESPACE.svc.cluster.local``), each with ``:PORT`` or without.

    Raises:
        QuestionError: it is written like nothing of that kind.
    """
    if found := _URL.fullmatch(text):
        text = _end_of(found["scheme"].lower(), found["host"])
    if found := _NODE_PORT.fullmatch(text):
        return NodePortName(port_number(found["port"]), _protocol(found["protocol"]))
    if found := _WITH_PROTOCOL.fullmatch(text):
        port = found["port"]
        return AddressName(
            read_address(found["six"] if found["four"] is None else found["four"]),
            None if port is None else port_number(port),
            _protocol(found["protocol"]),
        )
    if found := _BARE_IPV6.fullmatch(text):
        return AddressName(read_address(found["six"]), None, _protocol(found["protocol"]))
    if found := _SERVICE.fullmatch(text):
        name, port = found["name"], found["port"] or ""
        protocol = _protocol(found["protocol"])
        if "." in name and found["namespace"] not in (None, "svc", "service", "services"):
            raise QuestionError(f"{text!r} has a namespace twice; {HOW}")
        if "." in name:
            return _by_dns(text, name, port, protocol)
        return ServiceName(name, found["namespace"] or "", port, protocol)
    raise QuestionError(f"{text!r} is not understood; {HOW}")


def _end_of(scheme: str, host: str) -> str:
    """What a URL leads to; pods have such ones in variables (``tcp://10.96.0.1:443``)."""
    has_port = ":" in host.rpartition("]")[2]
    if scheme.upper() in PROTOCOL_NUMBER and has_port:
        return f"{host}/{scheme}"
    if scheme not in _URL_PORTS:
        raise QuestionError(f"{scheme}://{host} is no URL of http or https, nor one with a port")
    return host if has_port else f"{host}{_URL_PORTS[scheme]}"


def _by_dns(text: str, name: str, port: str, protocol: int | None) -> NamedTarget:
    """A name of the cluster's DNS.

    Source: https://github.com/kubernetes/dns, docs/specification.md.
    """
    labels = name.lower().rstrip(".").split(".")
    if len(labels) > 2 and labels[2] == "pod":
        dots = labels[0].replace("-", ".")
        address = read_address(
            dots if re.fullmatch(r"[\d.]+", dots) else labels[0].replace("-", ":")
        )
        return AddressName(address, port_number(port) if port else None, protocol)
    if len(labels) > 4 and labels[4] == "svc" and labels[0][:1] == labels[1][:1] == "_":
        # SRV: _PORT._PROTOCOL.NAME.NAMESPACE.svc
        port, protocol = labels[0][1:], _protocol(labels[1][1:])
        labels = labels[2:]
    elif len(labels) > 3 and labels[3] == "svc":
        # A pod of a headless Service: HOST.NAME.NAMESPACE.svc
        labels = labels[1:]
    if all(labels[:2]) and (len(labels) == 2 or (len(labels) > 2 and labels[2] == "svc")):
        return ServiceName(labels[0], labels[1], port, protocol)
    raise QuestionError(f"{text!r} is no name of a Service in the cluster's DNS; {HOW}")


def read_destination(text: str) -> tuple[Address, int, int]:
    """``ADDRESS:PORT[/PROTOCOL]`` as address, port and protocol number; TCP if it does not say.

    Raises:
        QuestionError: it is no such thing.
    """
    found = _WITH_PROTOCOL.fullmatch(text)
    if found is None or not found["port"]:
        raise QuestionError(f"{text!r} has no port; say ADDRESS:PORT/tcp, IPv6 as [ADDRESS]:PORT")
    target = read_target(text)
    assert isinstance(target, AddressName)
    assert target.port is not None
    return target.address, target.port, target.protocol or PROTOCOL_NUMBER["TCP"]


def read_address(text: str) -> Address:
    """An IP address.

    Raises:
        QuestionError: it is none.
    """
    try:
        return parse_address(text)
    except ValueError:
        raise QuestionError(f"{text!r} is no IP address") from None


def port_number(text: str) -> int:
    """A number of a port.

    Raises:
        QuestionError: it is none.
    """
    value = number(text, MAX_PORT)
    if not value:
        raise QuestionError(f"{text} is no port; say 1 to {MAX_PORT}")
    return value


def number(text: str, highest: int) -> int:
    """A number from 0 on, also as ``0x…``.

    Raises:
        QuestionError: it is none, or too high.
    """
    try:
        value = int(text, 0) if not text.isdigit() else int(text)
    except ValueError:
        raise QuestionError(f"{text!r} is no number") from None
    if not 0 <= value <= highest:
        raise QuestionError(f"{text} is not between 0 and {highest}")
    return value


def _protocol(text: str | None) -> int | None:
    if text is None:
        return None
    found = PROTOCOL_NUMBER.get(text.upper())
    if found is None:
        raise QuestionError(f"{text!r} is not tcp, udp or sctp")
    return found
