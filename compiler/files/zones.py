"""Zone files in a folder, whose serials rise where something changes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from svcc.compiler.names.zones import Zones
from svcc.grammar.dns.read import read_zone
from svcc.grammar.dns.write import zone_text
from svcc.grammar.dns.zone import Zone
from svcc.grammar.errors import InputError, Position, Problem

SUFFIX = ".zone"
_SERIALS = 1 << 32


def write_zones(found: Zones, directory: str) -> list[Path]:
    """Write each zone to ``ORIGIN.zone`` in a folder, made if need be; each file appears whole or
    not at all. One that says the same already is left alone.

    A zone that is not asked for by name is written if it has a name in it, or has had one.

    Returns:
        The files that were written.

    Raises:
        InputError: a file of such a name is no zone file; nothing was written.
        OSError: the folder cannot be written.
    """
    folder = Path(directory)
    changed: list[tuple[Path, Zone]] = []
    for zone in found.zones:
        path = folder / f"{zone.origin}{SUFFIX}"
        before = _before(path, zone)
        if before is None:
            if zone.origin in found.is_fixed or len(zone.records) > 1:
                changed.append((path, zone))
        elif (serial := _serial(before, zone)) != before.authority.serial:
            changed.append((path, with_serial(zone, serial)))
    folder.mkdir(parents=True, exist_ok=True)
    for path, zone in changed:
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            unfinished.write_text(zone_text(zone), encoding="ascii")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return [path for path, _ in changed]


def with_serial(zone: Zone, serial: int) -> Zone:
    """The zone with another serial."""
    return replace(zone, authority=replace(zone.authority, serial=serial))


def next_serial(serial: int) -> int:
    """The one that follows (RFC 1982, section 3.1); 0 is left out, since name servers and their
    tools use it as none.
    """
    return (serial + 1) % _SERIALS or 1


def _serial(before: Zone, zone: Zone) -> int:
    """The serial that a zone has to have behind an earlier one."""
    serial = before.authority.serial
    same = with_serial(zone, serial)
    is_same = same.authority == before.authority and set(same.records) == set(before.records)
    return serial if is_same else next_serial(serial)


def _before(path: Path, zone: Zone) -> Zone | None:
    """What the file has; None where there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise _no_zone(path, "it is no text") from None
    # As a rule it is what was written last; reading it takes much longer than writing.
    head = text.split("\n", 2)[1].split(" ") if text.count("\n") > 1 else []
    if len(head) > 6 and head[6].isascii() and head[6].isdigit() and len(head[6]) <= 10:
        same = with_serial(zone, int(head[6]))
        if zone_text(same) == text:
            return same
    found = read_zone(text, str(path), zone.origin)
    if found.origin != zone.origin:
        raise _no_zone(path, f"it is the zone {found.origin}")
    return found


def _no_zone(path: Path, what: str) -> InputError:
    hint = "name another folder, or take the file away"
    return InputError([Problem(Position(str(path)), f"this is not svcc's: {what}; {hint}")])
