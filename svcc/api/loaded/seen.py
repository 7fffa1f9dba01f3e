"""What is loaded of svcc's in this network namespace, seen from outside."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from svcc import __version__
from svcc.apply.frontends import Frontend, Key, Names
from svcc.apply.iptables.tool import Iptables
from svcc.apply.reverting import confirmation as confirmations
from svcc.apply.seen import memory
from svcc.apply.seen.changes import changes
from svcc.apply.seen.now import counted_frontends, look
from svcc.apply.system.errors import ApplyError, ToolError

if TYPE_CHECKING:
    from svcc.apply.held import Held
    from svcc.apply.outcome import Outcome
    from svcc.apply.reverting.confirmation import Confirmation
    from svcc.apply.seen.memory import Memory
    from svcc.apply.service_changes import ServiceChange
    from svcc.compiler.model.objects import Objects
    from svcc.compiler.pipeline import Compiled
    from svcc.compiler.settings.node import NodeSettings
    from svcc.grammar.address import Network
    from svcc.grammar.ipvs.state import Ipvs
    from svcc.grammar.nftables.program import Ruleset


class Wanted(Protocol):
    """What was loaded (:class:`svcc.api.own_rules.Wanted`)."""

    @property
    def settings(self) -> NodeSettings:
        """Of the node."""

    @property
    def ipvs(self) -> Ipvs | None:
        """What ipvs mode has beside rules."""

    @property
    def exclude(self) -> tuple[Network, ...]:
        """Addresses whose virtual servers are left alone."""

    @property
    def compiled(self) -> Compiled | None:
        """What was compiled; None where rules were read."""

    @property
    def tables(self) -> Ruleset | None:
        """Those of nftables mode."""

    @property
    def folder(self) -> str:
        """Where rules were read."""


DRIFT_UNKNOWN = "what was loaded is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is loaded.

    ``modes`` are those of which anything is there, none where nothing of svcc's is loaded.
    ``memory`` is what was noted when it was loaded, None for nothing. ``drift`` are the parts that
    somebody else has changed since; ``drift_unknown`` says why that cannot be told, empty where it
    can. ``confirmation`` is the apply that waits to be confirmed, or the last one that did.
    ``changed_files`` are those files that are not any more as they were loaded. ``unread`` says
    what could not be read.
    """

    modes: tuple[str, ...]
    frontends: tuple[Frontend, ...]
    memory: Memory | None
    drift: tuple[str, ...]
    drift_unknown: str
    confirmation: Confirmation | None
    changed_files: tuple[str, ...]
    unread: tuple[str, ...]


def status() -> Status:
    """What is loaded of svcc's here. Needs root; takes no lock and changes nothing.

    Raises:
        ApplyError: it cannot be read.
    """
    tools = Iptables()
    try:
        now = look(tools)
        known = memory.recall()
        found = counted_frontends(now, tools, known.names if known is not None else {})
    except ToolError as error:
        raise ApplyError(str(error)) from error
    drift: list[str] = []
    unknown = ""
    if known is None:
        unknown = DRIFT_UNKNOWN if now.modes else ""
    elif known.digests is None:
        unknown = f"process {known.process} keeps the rules" if known.is_kept else DRIFT_UNKNOWN
    else:
        drift = memory.drift(known, now)
    files = known.files if known is not None else {}
    return Status(
        modes=tuple(now.modes),
        frontends=tuple(found[key] for key in sorted(found, key=_order)),
        memory=known,
        drift=tuple(drift),
        drift_unknown=unknown,
        confirmation=confirmations.read(),
        changed_files=tuple(n for n, digest in files.items() if digest and digest != _file(n)),
        unread=now.unread,
    )


def _order(key: Key) -> tuple[int, ...]:
    return (key.family, -1 if key.address is None else key.address, key.protocol, key.port)


def note_loaded(
    objects: Objects, wanted: Wanted, tools: Iptables, outcome: Outcome, *, stays: bool
) -> None:
    """Note what was loaded, under the lock.

    Args:
        objects: what it was made of.
        wanted: what it is.
        tools: whose iptables.
        outcome: what was done.
        stays: a process that stays has loaded it, and does so again with every change.
    """
    known = memory.recall()
    by, process = memory.command_line()
    if stays:
        if known is None or known.digests is not None or known.process != process:
            memory.remember(_memory(objects, wanted, by, process, None))
        return
    found = known.digests if known is not None and not outcome.changed else None
    if found is None:
        try:
            now = look(tools, wanted.exclude)
        except (ApplyError, ToolError):
            memory.forget()
            return
        found = memory.digests(now.held, now.variants)
    memory.remember(_memory(objects, wanted, by, process, found))


def _memory(
    objects: Objects, wanted: Wanted, by: str, process: int, digests: dict[str, str] | None
) -> Memory:
    return memory.Memory(
        at=memory.now(),
        by=by,
        process=process,
        version=__version__,
        mode="nftables"
        if wanted.tables is not None
        else "iptables"
        if wanted.ipvs is None
        else "ipvs",
        node=wanted.settings.node_name,
        files={} if digests is None else {name: _file(name) for name in _files(objects, wanted)},
        names={} if digests is None else names_of(wanted),
        digests=digests,
    )


def _files(objects: Objects, wanted: Wanted) -> Iterable[str]:
    origins = [
        *(item.origin for item in objects.services),
        *(item.origin for item in objects.slices),
        *(item.origin for item in objects.nodes),
        *(item.origin for item in objects.pods),
    ]
    folder = [wanted.folder] if wanted.folder else []
    names = dict.fromkeys([*folder, *(origin.file for origin in origins)])
    return [os.path.abspath(name) if os.path.exists(name) else name for name in names]


def _file(name: str) -> str:
    """SHA-256 of a file; empty if it cannot be read."""
    try:
        return hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError:
        return ""


def names_of(wanted: Wanted) -> Names:
    """What the frontends of compiled rules are called."""
    if wanted.compiled is None:
        return {}
    found: dict[Key, tuple[str, str]] = {}
    for port in wanted.compiled.forwarding.service_ports:
        family, protocol = port.family, port.protocol
        for addresses, kind in (
            ((port.cluster_ip,), "cluster IP"),
            (port.external_addresses, "external IP"),
            (port.balancer_addresses, "loadbalancer IP"),
        ):
            for address in addresses:
                found[Key(family, protocol, address, port.port)] = (port.label, kind)
        if port.node_port:
            found[Key(family, protocol, None, port.node_port)] = (port.label, "node port")
    return found


def service_changes(before: Held, after: Held, names: Names) -> list[ServiceChange]:
    """What an apply changes, Service by Service.

    Args:
        before: what svcc holds.
        after: what it is to hold.
        names: of frontends that come; those that go are known by what was noted.
    """
    known = memory.recall()
    return changes(before, after, {**(known.names if known is not None else {}), **names})
