"""What apply notes of what it has loaded, for people who look later; apply itself goes without.

A small file in svcc's own folder, one for each network namespace. What is loaded is read from the
kernel all the same; the file has the rest: when, by what and of which files it was made, what
frontends are called, and how rules looked, to tell whether somebody else has changed them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass

from svcc.apply.frontends import Key, Names
from svcc.apply.held import Held
from svcc.apply.ipvs.compare import object_lines
from svcc.apply.seen.now import Now
from svcc.apply.system.own_files import (
    boot,
    namespace_cookie,
    path_of,
    read_private,
    write_private,
)
from svcc.apply.system.processes import Process, command_of
from svcc.grammar.address import Family

_SUFFIX = "loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One load.

    ``at`` is in seconds since 1970, ``by`` the command line and ``process`` its id. ``files`` are
    the names of the files that had the objects, each with its SHA-256 (empty: it could not be
    read again, as standard input cannot). ``digests`` are of what was read back, by part; None
    where a process that stays keeps the rules and nothing was read back.
    """

    at: float
    by: str
    process: int
    version: str
    mode: str
    node: str
    files: dict[str, str]
    names: Names
    digests: dict[str, str] | None

    @property
    def is_kept(self) -> bool:
        """Whether the process that has loaded it still follows the objects."""
        return self.digests is None and command_of(Process(self.process)) == self.by


def remember(memory: Memory) -> None:
    """Note it; where that cannot be done nothing is known later."""
    document = {
        "boot": boot(),
        "namespace": namespace_cookie(),
        "at": memory.at,
        "by": memory.by,
        "process": memory.process,
        "version": memory.version,
        "mode": memory.mode,
        "node": memory.node,
        "files": memory.files,
        "names": [[*key, *names] for key, names in memory.names.items()],
        "digests": memory.digests,
    }
    with suppress(OSError):
        write_private(path_of(_SUFFIX), json.dumps(document))


def forget() -> None:
    """Remove what was noted."""
    with suppress(OSError):
        path_of(_SUFFIX).unlink()


def recall() -> Memory | None:
    """What was noted of this network namespace since the last boot; None for nothing."""
    try:
        found = json.loads(read_private(path_of(_SUFFIX)))
        if (found["boot"], found["namespace"]) != (boot(), namespace_cookie()):
            return None
        return Memory(
            at=float(found["at"]),
            by=found["by"],
            process=int(found["process"]),
            version=found["version"],
            mode=found["mode"],
            node=found["node"],
            files=found["files"],
            names={
                Key(Family(family), protocol, address, port): (label, kind)
                for family, protocol, address, port, label, kind in found["names"]
            },
            digests=found["digests"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def command_line() -> tuple[str, int]:
    """What loads: the command line of this process, and its id."""
    return command_of(Process(os.getpid())), os.getpid()


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def digests(held: Held, variants: tuple[str, ...]) -> dict[str, str]:
    """How each part of what is held looks. Tables of nftables have a memory of their own
    (:mod:`svcc.apply.nftables.read`).
    """
    found = {}
    for rules, variant in zip(held.rules, variants, strict=True):
        for family, tables in rules.items():
            for name, state in tables.items():
                jumps = {chain: state.jumps(chain) for chain in state.others}
                lines = {"chains": state.chains, "jumps": {c: j for c, j in jumps.items() if j}}
                if any(lines.values()):
                    found[f"{variant} {family.label} {name}"] = _digest(lines)
    for ipvs in held.ipvs:
        for name, listed in object_lines(ipvs).items():
            if listed:
                found[name] = _digest(listed)
    return found


def drift(memory: Memory, now: Now) -> list[str]:
    """The parts that are not as they were loaded."""
    found = digests(now.held, now.variants)
    was = memory.digests or {}
    parts = [name for name in sorted({*found, *was}) if found.get(name) != was.get(name)]
    has_tables = any(tables.tables for tables in now.held.tables)
    if now.drifted or has_tables != (memory.mode == "nftables"):
        parts.append("nftables tables svcc")
    return parts


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
