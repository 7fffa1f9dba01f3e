"""From a zone file to the zone (RFC 1035, section 5)."""

from __future__ import annotations

import re
from typing import Any

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.tokenizer
import dns.zone
import dns.zonefile
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.NS import NS
from dns.rdtypes.ANY.PTR import PTR
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

from svcc.grammar.address import parse_address
from svcc.grammar.dns.zone import (
    AddressData,
    Alias,
    Authority,
    Data,
    NameServer,
    OtherData,
    Pointer,
    Record,
    ServiceLocation,
    Text,
    Zone,
    is_below,
)
from svcc.grammar.errors import InputError, Position, Problem

_DIRECTIVES = ("$ORIGIN", "$TTL")
_BESIDE_ALIAS = frozenset({"CNAME", "RRSIG", "NSEC", "KEY"})
"""What may stand beside a CNAME (RFC 2181, section 10.1; RFC 4035, section 2.5)."""
_UNKNOWN = dns.name.from_text(r"\000.")
"""What names are relative to until anything says so; no zone is called like this."""
_PLACE = re.compile(r"\A<string>:\d+: ")


def read_zone(text: str, file: str, origin: str | None = None) -> Zone:
    """Read a zone file.

    Args:
        text: what the file holds. ``$INCLUDE`` and ``$GENERATE`` are refused.
        file: its name, for messages.
        origin: what relative names are below until ``$ORIGIN`` says so.

    Raises:
        InputError: it is no zone file, or none that name servers load: no SOA or two, a record
            outside of the zone, an alias that has other records beside it.
    """
    found = _records(text, file, origin)
    authorities = [(owner, data, ttl, line) for owner, data, ttl, line in found if _is_soa(data)]
    if not authorities:
        raise _wrong(file, 0, "there is no SOA, so this is no zone")
    if len(authorities) > 1:
        raise _wrong(file, authorities[1][3], "a second SOA; give each zone a file of its own")
    zone, data, ttl, _ = authorities[0]
    assert isinstance(data, SOA)
    authority = Authority(
        _name(data.mname), _name(data.rname), data.serial, data.refresh, data.retry, data.expire,
        data.minimum, ttl,
    )  # fmt: skip
    records = []
    for owner, item, its_ttl, line in found:
        if _is_soa(item):
            continue
        if not is_below(owner, zone):
            raise _wrong(file, line, f"{owner} is outside of the zone {zone}; take it out")
        records.append(Record(owner, _data(item), its_ttl, line))
    _check_aliases(records, file)
    return Zone(zone, authority, tuple(records), file)


def _check_aliases(records: list[Record], file: str) -> None:
    """RFC 1034, section 3.6.2."""
    aliases: dict[str, set[Data]] = {}
    for record in records:
        if isinstance(record.data, Alias):
            aliases.setdefault(record.owner, set()).add(record.data)
    for record in records:
        targets = aliases.get(record.owner, ())
        if len(targets) > 1 or (targets and record.data.type not in _BESIDE_ALIAS):
            message = f"{record.owner} is an alias (CNAME) and has other records; name servers "
            raise _wrong(file, record.line, f"{message}do not load that")


class _Collected(dns.zone.Transaction):
    """Takes records as they are read, where dnspython's own merges some of them."""

    def __init__(self, manager: dns.zone.Zone) -> None:
        super().__init__(manager, True)
        self.records: list[tuple[str, dns.rdata.Rdata, int, int]] = []
        self.line = 0

    def has_unknown_name(self) -> bool:
        """Whether the last record has a name of which nobody knows below what it is."""
        if not self.records:
            return False
        owner, data, _, _ = self.records[-1]
        unknown = _UNKNOWN.to_text()
        return f"{owner}.".endswith(unknown) or unknown in data.to_text()

    def _set_origin(self, origin: dns.name.Name | None) -> None:
        pass

    def add(self, *args: Any) -> None:
        """Note a record."""
        name, ttl, data = args
        self.records.append((_name(name), data, ttl, self.line))


class _Reader(dns.zonefile.Reader):
    """Knows the line of each record."""

    def __init__(self, text: str, txn: _Collected, origin: dns.name.Name | None) -> None:
        super().__init__(
            dns.tokenizer.Tokenizer(text), dns.rdataclass.IN, txn, allow_directives=_DIRECTIVES
        )
        self._collected = txn
        self.is_in_record = False
        # The zone is the root for dnspython, so that it leaves nothing out.
        self.current_origin = self.last_name = origin or _UNKNOWN

    def _rr_line(self) -> None:
        self._collected.line = self.tok.line_number
        self.is_in_record = True
        super()._rr_line()
        if self.current_origin == _UNKNOWN and self._collected.has_unknown_name():
            raise dns.zonefile.UnknownOrigin
        self.is_in_record = False


def _records(
    text: str, file: str, origin: str | None
) -> list[tuple[str, dns.rdata.Rdata, int, int]]:
    collected = _Collected(dns.zone.Zone(dns.name.root, relativize=False))
    above = None if origin is None else dns.name.from_text(origin)
    reader = _Reader(text, collected, above)
    try:
        reader.read()
    except dns.zonefile.UnknownOrigin:
        hint = "the zone of relative names is unknown; begin with $ORIGIN, or name it: ZONE=FILE"
        raise _wrong(file, collected.line, hint) from None
    except (dns.exception.DNSException, ValueError) as error:
        line = collected.line if reader.is_in_record else reader.tok.line_number
        message = _PLACE.sub("", str(error)) or type(error).__name__
        raise _wrong(file, line, f"no zone file: {message:.200}") from None
    return collected.records


def _is_soa(data: dns.rdata.Rdata) -> bool:
    return isinstance(data, SOA)


def _name(name: dns.name.Name) -> str:
    return name.canonicalize().to_text(omit_final_dot=True)


def _data(data: dns.rdata.Rdata) -> Data:
    match data:
        case A() | AAAA():
            return AddressData(parse_address(data.address))
        case CNAME():
            return Alias(_name(data.target))
        case PTR():
            return Pointer(_name(data.target))
        case SRV():
            return ServiceLocation(data.priority, data.weight, data.port, _name(data.target))
        case NS():
            return NameServer(_name(data.target))
        case TXT() if len(data.strings) == 1 and data.strings[0].isascii():
            return Text(data.strings[0].decode("ascii"))
        case _:
            return OtherData(dns.rdatatype.to_text(data.rdtype), data.to_text())


def _wrong(file: str, line: int, message: str) -> InputError:
    return InputError([Problem(Position(file, line, 1 if line else 0), message)])
