"""From a zone to its file (RFC 1035, section 5)."""

from __future__ import annotations

from svcc.grammar.dns.zone import MAX_LABEL, MAX_NAME, Authority, Data, Record, Zone, is_below


def zone_text(zone: Zone) -> str:
    """The zone file: a line for each record, in the order of RFC 4034, section 6.1, with names of
    the zone relative to it. The inverse of :func:`svcc.grammar.dns.read.read_zone`.
    """
    lines = [f"$ORIGIN {zone.origin}.", _authority(zone.authority, zone.origin)]
    for record in sorted(set(zone.records), key=_place):
        owner = _relative(record.owner, zone.origin)
        data = _data(record.data, zone.origin)
        lines.append(f"{owner} {record.ttl} IN {record.data.type} {data}")
    return "\n".join(lines) + "\n"


def too_long(name: str) -> str:
    """What of a name no message of DNS can hold (RFC 1035, section 2.3.4); empty if nothing."""
    label = next((label for label in name.split(".") if len(label) > MAX_LABEL), "")
    if label:
        return f"{label} has {len(label)} letters, and DNS allows {MAX_LABEL}"
    return f"{name} has {len(name)} letters, and DNS allows {MAX_NAME}" * (len(name) > MAX_NAME)


def _place(record: Record) -> tuple[list[str], str, str]:
    return record.owner.split(".")[::-1], record.data.type, str(record.data)


def _authority(data: Authority, origin: str) -> str:
    times = f"{data.refresh} {data.retry} {data.expire} {data.minimum}"
    server, mailbox = _relative(data.server, origin), _relative(data.mailbox, origin)
    return f"@ {data.ttl} IN SOA {server} {mailbox} {data.serial} {times}"


def _data(data: Data, origin: str) -> str:
    words = str(data)
    name = words.rpartition(" ")[2]
    if data.type in ("CNAME", "NS", "PTR", "SRV"):
        return words[: len(words) - len(name)] + _relative(name.removesuffix("."), origin)
    return words


def _relative(name: str, origin: str) -> str:
    if name == origin:
        return "@"
    return name.removesuffix(f".{origin}") if is_below(name, origin) else f"{name}."
