"""One packet and two rule sets: both encodings in one script.

The packet, the world around it and the interfaces are the same for both; all else of the second
is renamed. Random choices are each one's own: what is compared are shares, and what becomes of
packets that are sent to the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from svcc.verify.netfilter.rounding import FIVE_DIGITS
from svcc.verify.slicing.cutter import Cut
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.packet_variables import PacketVariables
from svcc.verify.smt.script import Assertion, Declaration, Script
from svcc.verify.smt.shares import SharesEncoding
from svcc.verify.smt.term import (
    ZERO,
    Term,
    conjunction,
    constant,
    disjunction,
    distinct,
    equal,
    greater,
    implies,
    negate,
    number,
    substitution,
    subtract,
)

OTHER = "b_"
_PACKET = frozenset(PacketVariables._fields) - {"local"}
_WORLD = ("own_source", "own_at_", "any_port", "mark0_")
"""What the names begin with of what else is the same for both."""

TranslatedTo = tuple[int, int | None]
"""Address and port; None: the port stays."""


class Difference(NamedTuple):
    """The rule sets differ if the goal can be met where the script holds."""

    script: Script
    goal: Term


class Joint:
    """Two cuts of one region.

    ``outcomes`` and ``shares`` are differences in what becomes of packets for the same place, and
    in how many go where. ``same_lists``: names of recent lists that stand for the same backend.
    ``strangers_only``: lists could not be matched, so only clients that stand in none are asked
    about.

    Raises:
        SharesUndecidedError: shares depend on marks that chance sets.
    """

    def __init__(self, one: Cut, two: Cut) -> None:
        self.one, self.two = one, two
        self._pairs: dict[int, int] = {}
        self.strangers_only = False
        mine, theirs = Encoding(one.schema), Encoding(two.schema)
        theirs.interfaces = mine.interfaces
        mine.run()
        theirs.run()
        self._match_lists(mine, theirs)
        names = [{n: name for name, n in c.numbering.lists.items()} for c in (one, two)]
        self.same_lists = {names[0][a]: names[1][b] for a, b in self._pairs.items()}
        my_shares, their_shares = SharesEncoding(one.schema), SharesEncoding(two.schema)
        my_shares.interfaces = their_shares.interfaces = mine.interfaces
        my_shares.run()
        their_shares.run()
        mine.add_interface_axioms()
        my_shares.add_interface_axioms()
        self.encoding = mine
        self.interfaces = mine.interfaces
        self.patterns = {flag.symbol: pattern for pattern, flag in mine.patterns.items()}
        self.their_patterns = {flag.symbol: pattern for pattern, flag in theirs.patterns.items()}
        self.outcomes = self._outcomes(mine, theirs)
        self.shares = self._shares(my_shares, their_shares)

    # -- one script --------------------------------------------------------------------

    def _renaming(self, one: Encoding, two: Encoding) -> Callable[[Term], Term]:
        """Gives the second side's terms names of their own."""
        shared = _PACKET | {n for n in two.declared if n.startswith(_WORLD) and n in one.declared}
        if self.one.schema.local == self.two.schema.local:
            shared |= {"local"}
        named = [
            *two.declared.values(),
            *(definition.constant for definition in two.script.definitions.values()),
        ]
        return substitution(
            {
                known: constant(OTHER + known.symbol, known.sort)
                for known in named
                if known.symbol not in shared
            }
        )

    def _together(self, one: Encoding, two: Encoding, renamed: Callable[[Term], Term]) -> Script:
        theirs = two.script.substituted(renamed)
        script = one.script.extended(
            command
            for command in theirs
            if not (isinstance(command, Declaration) and command.constant.symbol in one.declared)
        )
        facts = [*self._links(one, two, renamed), *self._ages(one, two, renamed)]
        return script.extended(map(Assertion, facts))

    def _links(
        self, one: Encoding, two: Encoding, renamed: Callable[[Term], Term]
    ) -> Iterator[Term]:
        """What both name by numbers of their own is equal where the values are."""
        pairs = []
        for letters, left, right in (
            (("H", "backend_local"), self.one.numbering.hosts, self.two.numbering.hosts),
            (("P",), self.one.numbering.ports, self.two.numbering.ports),
        ):
            for value in left.keys() & right.keys():
                pairs += [(f"{name}{left[value]}", f"{name}{right[value]}") for name in letters]
        for mine, theirs in sorted(pairs):
            if mine in one.declared and theirs in two.declared:
                yield equal(one.declared[mine], renamed(two.declared[theirs]))
        for key, flag in one.patterns.items():
            if key in two.patterns:
                yield equal(flag, renamed(two.patterns[key]))

    # -- what must be the same ---------------------------------------------------------

    def _outcomes(self, one: Encoding, two: Encoding) -> Difference:
        """Packets that are sent to the same place see something else there."""
        renamed = self._renaming(one, two)
        there = conjunction(
            [
                equal(one.destination, renamed(two.destination)),
                equal(one.destination_port, renamed(two.destination_port)),
            ]
        )
        ends = [one.passed, one.is_dropped, one.is_rejected]
        differ = [
            # A target outside the model took the packet.
            negate(disjunction(ends)),
            distinct([one.passed, renamed(two.passed)]),
            distinct([one.is_dropped, renamed(two.is_dropped)]),
            distinct([one.is_rejected, renamed(two.is_rejected)]),
            conjunction([one.passed, distinct([one.masqueraded, renamed(two.masqueraded)])]),
        ]
        for index, (fires, host, port) in enumerate(one.dnat):
            place = self._target(self.one, host, port)
            for other, (their_fires, their_host, their_port) in enumerate(two.dnat):
                if self._target(self.two, their_host, their_port) != place:
                    continue
                mine = [one.dnat_recorded[index][n] for n in one.dnat_lists[index]]
                theirs = [renamed(two.dnat_recorded[other][n]) for n in two.dnat_lists[other]]
                if mine or theirs:
                    recorded = distinct([disjunction(mine), disjunction(theirs)])
                    differ.append(conjunction([fires, renamed(their_fires), recorded]))
        script = self._together(one, two, renamed)
        return Difference(script, conjunction([there, disjunction(differ)]))

    def _target(self, cut: Cut, host: int, port: int | None) -> TranslatedTo:
        addresses = {number: value for value, number in cut.numbering.hosts.items()}
        ports = {number: value for value, number in cut.numbering.ports.items()}
        return addresses[host], None if port is None else ports[port]

    def _shares(self, one: SharesEncoding, two: SharesEncoding) -> Difference:
        """A place gets more of the packets on one side."""
        totals: list[dict[TranslatedTo, Term]] = []
        for cut, side in ((self.one, one), (self.two, two)):
            weights: dict[TranslatedTo, list[Term]] = {}
            for weight, host, port in side.weights:
                weights.setdefault(self._target(cut, host, port), []).append(weight)
            totals.append({place: side.total(found) for place, found in weights.items()})
        renamed = self._renaming(one, two)
        most = number(FIVE_DIGITS)
        differ = []
        for place in sorted(totals[0].keys() | totals[1].keys(), key=str):
            mine = totals[0].get(place, ZERO)
            theirs = renamed(totals[1].get(place, ZERO))
            if mine is not theirs:
                differ.append(greater(subtract(mine, theirs), most))
                differ.append(greater(subtract(theirs, mine), most))
        return Difference(self._together(one, two, renamed), disjunction(differ))

    # -- recent lists ------------------------------------------------------------------

    def _match_lists(self, one: Encoding, two: Encoding) -> None:
        """Lists that stand for the same backend on both sides hold the same clients."""
        sides = []
        for cut, side in ((self.one, one), (self.two, two)):
            places: dict[int, set[TranslatedTo]] = {}
            for index, (_, host, port) in enumerate(side.dnat):
                for item in side.dnat_lists[index]:
                    places.setdefault(item, set()).add(self._target(cut, host, port))
            asked = {item for item, _ in side.recent}
            sides.append({n: places.get(n, set()) for n in asked | places.keys()})
        timeouts = (*one.persistence.values(), *two.persistence.values())
        persistent = any(timeout is not None for timeout in timeouts)
        mine = {min(p, key=str): n for n, p in sides[0].items() if len(p) == 1}
        theirs = {min(p, key=str): n for n, p in sides[1].items() if len(p) == 1}
        self.strangers_only = (
            persistent
            or len(mine) != len(sides[0])
            or len(theirs) != len(sides[1])
            or bool(mine) != bool(theirs)
        )
        if not self.strangers_only:
            self._pairs = {mine[place]: theirs[place] for place in mine.keys() & theirs.keys()}

    def distinct(self, script: Script) -> Iterator[Term]:
        """Numbers of either side that stand for different values, as far as a script names them."""
        for letter, left, right in (
            ("H", self.one.numbering.hosts, self.two.numbering.hosts),
            ("P", self.one.numbering.ports, self.two.numbering.ports),
        ):
            names = [f"{letter}{n}" for n in left.values()]
            names += [f"{OTHER}{letter}{n}" for value, n in right.items() if value not in left]
            known = [script.declared[name] for name in names if name in script.declared]
            if len(known) > 1:
                yield distinct(known)

    def _ages(
        self, one: Encoding, two: Encoding, renamed: Callable[[Term], Term]
    ) -> Iterator[Term]:
        if self.strangers_only:
            for flag in one.recent.values():
                yield negate(flag)
            for flag in two.recent.values():
                yield negate(renamed(flag))
            return
        for (item, seconds), flag in one.recent.items():
            for (their_item, their_seconds), their_flag in two.recent.items():
                if self._pairs.get(item) != their_item:
                    continue
                other = renamed(their_flag)
                if seconds == their_seconds:
                    yield equal(flag, other)
                elif their_seconds is None or (seconds is not None and seconds < their_seconds):
                    yield implies(flag, other)
                else:
                    yield implies(other, flag)
