"""Zones as typed values.

A domain name is a text in lower case without the final dot, special characters escaped as zone
files have them (RFC 1035, section 5.1); so two names are the same if their texts are. The root is
".".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from svcc.grammar.address import Address, Family

MAX_LABEL = 63
MAX_NAME = 253
"""Letters and dots of a name that fits 255 octets (RFC 1035, section 2.3.4)."""
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True, order=True)
class AddressData:
    """A or AAAA, by the family."""

    address: Address

    @property
    def type(self) -> str:
        """Its name in zone files."""
        return "A" if self.address.family is Family.IPV4 else "AAAA"

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True, order=True)
class Alias:
    """CNAME."""

    target: str
    type = "CNAME"

    def __str__(self) -> str:
        return f"{self.target}."


@dataclass(frozen=True, slots=True, order=True)
class Pointer:
    """PTR."""

    target: str
    type = "PTR"

    def __str__(self) -> str:
        return f"{self.target}."


@dataclass(frozen=True, slots=True, order=True)
class ServiceLocation:
    """SRV (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    type = "SRV"

    def __str__(self) -> str:
        return f"{self.priority} {self.weight} {self.port} {self.target}."


@dataclass(frozen=True, slots=True, order=True)
class Text:
    """TXT of one string."""

    text: str
    type = "TXT"

    def __str__(self) -> str:
        return f'"{self.text}"'


@dataclass(frozen=True, slots=True, order=True)
class NameServer:
    """NS."""

    target: str
    type = "NS"

    def __str__(self) -> str:
        return f"{self.target}."


@dataclass(frozen=True, slots=True, order=True)
class OtherData:
    """Any other type; ``text`` is as zone files have it."""

    type: str
    text: str

    def __str__(self) -> str:
        return self.text


Data = AddressData | Alias | Pointer | ServiceLocation | Text | NameServer | OtherData


@dataclass(frozen=True, slots=True)
class Record:
    """``ttl`` is in seconds; ``line`` where it was read, 0 if nowhere."""

    owner: str
    data: Data
    ttl: int
    line: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.owner}. {self.data.type} {self.data}"


@dataclass(frozen=True, slots=True)
class Authority:
    """SOA (RFC 1035, section 3.3.13; ``minimum`` as RFC 2308 has it). All times in seconds."""

    server: str
    mailbox: str
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int
    ttl: int


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone: ``records`` has all but the SOA. ``file`` is where it was read."""

    origin: str
    authority: Authority
    records: tuple[Record, ...]
    file: str = field(default="", compare=False)


def is_domain_name(text: str) -> bool:
    """Whether a text is a name of hosts (RFC 1123, section 2.1) in lower case, without the final
    dot.
    """
    return len(text) <= MAX_NAME and all(
        len(label) <= MAX_LABEL and _LABEL.match(label) for label in text.split(".")
    )


def is_below(name: str, zone: str) -> bool:
    """Whether a name is a zone's own or below it."""
    return zone == "." or name == zone or name.endswith(f".{zone}")
