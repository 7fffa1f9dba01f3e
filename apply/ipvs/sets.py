"""The order in which sets change.

Between the old rules and the new ones each set has the entries of both, so it may have to be
larger for a time, and a set of another definition takes its place by one ``ipset swap``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from svcc.apply.ipvs.commands import AddEntry, Command, CreateSet, DestroySet, RemoveEntry, SwapSets
from svcc.apply.system.errors import ApplyError
from svcc.grammar.address import Family
from svcc.grammar.ipvs.ipset import Entry, Part, Set, Sets, host
from svcc.grammar.ipvs.ipvsadm import VirtualServer
from svcc.grammar.ipvs.state import Ipvs
from svcc.grammar.numbers import TRANSPORTS

PREFIX = "SVCC-"
"""What the names of our sets start with."""

TEMPORARY_PREFIX = f"{PREFIX}TMP-"
"""Sets that are filled before they are swapped in; they live for the length of one apply."""

PENDING = {Family.IPV4: f"{PREFIX}PENDING", Family.IPV6: f"{PREFIX}6-PENDING"}
"""Sets that are there while an apply is at work; no rule refers to them.

They name the firewall marks whose virtual servers come or go: such a server is in no other
set for a time, and a later apply could not tell whose it is. That they are there at all says
that UDP flows are yet to be released.
"""

UDP = TRANSPORTS["udp"]
FIREWALL_MARK = 0
_WHOLE_MARK = 0xFFFFFFFF


def pending(live: Ipvs, wanted: Ipvs | None) -> Sets:
    """The sets of :data:`PENDING` that this change needs; ``wanted`` None: all sets go."""
    all_goes = wanted is None
    wanted = wanted or Ipvs()
    found: Sets = {}
    for key in dict.fromkeys((*live.servers, *wanted.servers)):
        before, after = live.servers.get(key), wanted.servers.get(key)
        is_marked = key.protocol == FIREWALL_MARK and (before is None) != (after is None)
        # When all goes, the virtual servers that are left tell of flows to release.
        is_released = key.protocol == UDP and not all_goes and not _same_reals(before, after)
        if not is_marked and not is_released:
            continue
        name = PENDING[key.family]
        item = found.setdefault(
            name, Set(name=name, kind="hash:ip", family=key.family, maps_marks=True)
        )
        if is_marked:
            item.add(host(key.family, key.address), mark=(key.address, _WHOLE_MARK))
    for name in PENDING.values():
        for known in (live.sets.get(name), wanted.sets.get(name)):
            if known is not None:
                item = found.setdefault(
                    name, Set(name=name, kind=known.kind, family=known.family, maps_marks=True)
                )
                item.entries |= known.entries
    return found


def _same_reals(before: VirtualServer | None, after: VirtualServer | None) -> bool:
    if before is None or after is None:
        return False
    return before.servers.keys() == after.servers.keys()


def _rank(name: str) -> int:
    """Who may pass is known before it is asked, and for as long as it is asked."""
    return 0 if "ALLOWED" in name else 2 if "GUARDED" in name else 1


def _definition(item: Set) -> tuple[object, ...]:
    return (item.kind, item.family, item.max_entries, item.maps_marks, item.is_plain)


class SetPlan:
    """The commands of each phase.

    ``wanted`` None: all sets go. ``_between`` has the definition of each set while both its
    old and its new entries are in it, in the order in which sets grow.
    """

    def __init__(self, live: Ipvs, wanted: Ipvs | None) -> None:
        """Compare.

        Raises:
            ApplyError: a set has to become one of another type.
        """
        self._live = live.sets
        self._pending = pending(live, wanted)
        self._keep_pending = {*wanted.sets} & self._pending.keys() if wanted else set()
        self._wanted: Sets = {
            name: item
            for name, item in (wanted.sets if wanted else {}).items()
            if name not in self._pending
        }
        self._taken = {*self._live, *self._wanted}
        order = sorted(self._wanted, key=lambda name: (_rank(name), name))
        self._between = {name: self._definition_between(name) for name in order}

    def _definition_between(self, name: str) -> Set:
        target, known = self._wanted[name], self._live.get(name)
        if known is None:
            return target
        if (known.kind, known.family) != (target.kind, target.family):
            raise ApplyError(
                f"the set {name} is a {_kind(known)}, and a {_kind(target)} is needed under that "
                "name; run svcc cleanup, then apply again; nothing was changed"
            )
        count = len(known.entries.keys() | target.entries.keys())
        size = target.max_entries
        if known.max_entries > size and count > size:
            size = known.max_entries
        while size < count:
            size *= 2
        return Set(
            name=name,
            kind=target.kind,
            family=target.family,
            entries={},
            max_entries=size,
            maps_marks=target.maps_marks,
        )

    def unfinished(self) -> Iterator[Command]:
        """What tells of unfinished work."""
        for name, item in self._pending.items():
            known = self._live.get(name)
            if known is None:
                yield _create(item, name)
            for parts, entry in item.entries.items():
                if known is None or parts not in known.entries:
                    yield AddEntry(name, entry)

    def unmark(self) -> Iterator[Command]:
        """Marks that change or go; without its mark a packet falls to the virtual server of its
        address.
        """
        for name, item in self._live.items():
            if item.maps_marks and name not in self._pending:
                target = self._wanted.get(name)
                for parts, entry in item.entries.items():
                    if target is None or target.entries.get(parts) != entry:
                        yield RemoveEntry(name, parts)

    def grow(self) -> Iterator[Command]:
        """Sets and entries that come, but for marks."""
        for name, between in self._between.items():
            if name not in self._live:
                yield _create(between, name)
        for name, between in self._between.items():
            known = self._live.get(name)
            if known is not None and _definition(known) != _definition(between):
                yield from self._exchange(between, self._merged(name))
            elif not self._wanted[name].maps_marks:
                yield from self._fill(name, known.entries if known else {})

    def _merged(self, name: str) -> Iterable[Entry]:
        target, known = self._wanted[name], self._live[name]
        if target.maps_marks:
            return [e for parts, e in target.entries.items() if known.entries.get(parts) == e]
        return (known.entries | target.entries).values()

    def _fill(self, name: str, there: dict[tuple[Part, ...], Entry]) -> Iterator[Command]:
        for parts, entry in self._wanted[name].entries.items():
            known = there.get(parts)
            if known is not None and known != entry:
                yield RemoveEntry(name, parts)
            if known != entry:
                yield AddEntry(name, entry)

    def _exchange(self, definition: Set, entries: Iterable[Entry]) -> Iterator[Command]:
        temporary = self._fresh_name()
        yield _create(definition, temporary)
        yield from (AddEntry(temporary, entry) for entry in entries)
        yield SwapSets(temporary, definition.name)
        yield DestroySet(temporary)

    def _fresh_name(self) -> str:
        number = 0
        while f"{TEMPORARY_PREFIX}{number}" in self._taken:
            number += 1
        name = f"{TEMPORARY_PREFIX}{number}"
        self._taken.add(name)
        return name

    def marks(self) -> Iterator[Command]:
        """Marks that come; their virtual servers are there by now."""
        for name, target in self._wanted.items():
            if target.maps_marks:
                known = self._live.get(name)
                for parts, entry in target.entries.items():
                    if known is None or known.entries.get(parts) != entry:
                        yield AddEntry(name, entry)

    def shrink(self) -> Iterator[Command]:
        """Entries and sets that go; what tells of unfinished work goes when all is done."""
        for name in reversed(self._between):
            between, target = self._between[name], self._wanted[name]
            known = self._live.get(name)
            if known is not None and _definition(between) != _definition(target):
                yield from self._exchange(target, target.entries.values())
            elif known is not None and not target.maps_marks:
                for parts in known.entries:
                    if parts not in target.entries:
                        yield RemoveEntry(name, parts)
        for name in self._live:
            if name not in self._wanted and name not in self._pending:
                yield DestroySet(name)
        for name in self._pending:
            if name not in self._keep_pending:
                yield DestroySet(name)


def _create(item: Set, name: str) -> CreateSet:
    return CreateSet(name, item.kind, item.family, item.max_entries, item.maps_marks)


def _kind(item: Set) -> str:
    return f"{item.kind} of {item.family.label}" if item.family else item.kind
