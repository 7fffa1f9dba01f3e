"""One packet and two rule sets: both encodings in one text.

The packet, the world around it and the interfaces are the same for both; all else of the second
is renamed. Random choices are each one's own: what is compared are shares, and what becomes of
packets that are sent to the same place.
"""

from __future__ import annotations

import re
from fractions import Fraction

from svcc.verify.netfilter.rounding import FIVE_DIGITS
from svcc.verify.slicing.cutter import Cut
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.shares import SharesEncoding
from svcc.verify.smt.terms import conjunction, disjunction, negate

OTHER = "b_"
NAME = re.compile(r"[A-Za-z_]\w*")
DECLARATION = re.compile(r"\(declare-const (\w+) ")
_PACKET = frozenset({"src", "dst", "sport", "dport", "proto", "mark0", "iif", "oif0", "oif1"})
_WORLD = re.compile(r"own_source|own_at_\d+|any_port|mark0_\d+")

Target = tuple[int, int | None]
"""Address and port; None: the port stays."""


class Joint:
    """Two cuts of one region.

    ``outcomes`` and ``shares`` are (lines, goal): a goal that can be met is a difference, in what
    becomes of packets for the same place or in how many go where. ``same_lists``: names of recent
    lists that stand for the same backend. ``strangers_only``: lists could not be matched, so only
    clients that stand in none are asked about.

    Raises:
        SharesUndecidedError: shares depend on marks that chance sets.
    """

    def __init__(self, one: Cut, two: Cut) -> None:
        self.one, self.two = one, two
        self._other_names: set[str] = set()
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
        self.names = mine.declared | {OTHER + name for name in theirs.declared}
        self.interfaces = mine.interfaces
        self.patterns = {name: pattern for pattern, name in mine.patterns.items()}
        self.their_patterns = {name: pattern for pattern, name in theirs.patterns.items()}
        lines = self._together(mine, theirs)
        self.outcomes = (lines, self._outcomes(mine, theirs))
        self.shares = self._shares(my_shares, their_shares)

    # -- one text ----------------------------------------------------------------------

    def _together(self, one: Encoding, two: Encoding) -> list[str]:
        theirs = self._renamed_lines(two.lines, self._common(one, two))
        return [*one.lines, *theirs, *self._links(one, two), *self._ages(one, two)]

    def _common(self, one: Encoding, two: Encoding) -> set[str]:
        names = _PACKET | {n for n in one.declared & two.declared if _WORLD.fullmatch(n)}
        if self.one.schema.local == self.two.schema.local:
            names |= {"local"}
        return set(names)

    def _renamed_lines(self, lines: list[str], shared: set[str]) -> list[str]:
        names = {found[1] for line in lines if (found := DECLARATION.match(line))} - shared
        self._other_names = names
        return [
            self._renamed(line)
            for line in lines
            if not ((found := DECLARATION.match(line)) and found[1] in shared)
        ]

    def _renamed(self, term: str) -> str:
        names = self._other_names
        return NAME.sub(lambda m: OTHER + m[0] if m[0] in names else m[0], term)

    def _links(self, one: Encoding, two: Encoding) -> list[str]:
        """What both name by numbers of their own is equal where the values are."""
        pairs = []
        for letter, left, right in (
            ("H", self.one.numbering.hosts, self.two.numbering.hosts),
            ("P", self.one.numbering.ports, self.two.numbering.ports),
        ):
            for value in left.keys() & right.keys():
                pairs.append((f"{letter}{left[value]}", f"{letter}{right[value]}"))
                if letter == "H":
                    flag = "backend_local"
                    pairs.append((f"{flag}{left[value]}", f"{flag}{right[value]}"))
        patterns = one.patterns.keys() & two.patterns.keys()
        pairs += [(one.patterns[key], two.patterns[key]) for key in patterns]
        return [
            f"(assert (= {mine} {OTHER}{other}))"
            for mine, other in sorted(pairs)
            if mine in one.declared and other in two.declared
        ]

    # -- what must be the same ---------------------------------------------------------

    def _outcomes(self, one: Encoding, two: Encoding) -> str:
        """Packets that are sent to the same place see something else there."""
        renamed = self._renamed
        there = conjunction(
            [
                f"(= {one.destination} {renamed(two.destination)})",
                f"(= {one.destination_port} {renamed(two.destination_port)})",
            ]
        )
        ends = [one.passed, one.is_dropped, one.is_rejected]
        differ = [
            # A target outside the model took the packet.
            negate(disjunction(ends), True),
            f"(distinct {one.passed} {renamed(two.passed)})",
            f"(distinct {one.is_dropped} {renamed(two.is_dropped)})",
            f"(distinct {one.is_rejected} {renamed(two.is_rejected)})",
            conjunction([one.passed, f"(distinct {one.masqueraded} {renamed(two.masqueraded)})"]),
        ]
        for index, (fires, host, port) in enumerate(one.dnat):
            place = self._target(self.one, host, port)
            for other, (their_fires, their_host, their_port) in enumerate(two.dnat):
                if self._target(self.two, their_host, their_port) != place:
                    continue
                mine = [one.dnat_recorded[index][n] for n in one.dnat_lists[index]]
                theirs = [renamed(two.dnat_recorded[other][n]) for n in two.dnat_lists[other]]
                if mine or theirs:
                    left, right = disjunction(mine), disjunction(theirs)
                    both = [fires, renamed(their_fires), f"(distinct {left} {right})"]
                    differ.append(conjunction(both))
        return conjunction([there, disjunction(differ)])

    def _target(self, cut: Cut, host: int, port: int | None) -> Target:
        addresses = {number: value for value, number in cut.numbering.hosts.items()}
        ports = {number: value for value, number in cut.numbering.ports.items()}
        return addresses[host], None if port is None else ports[port]

    def _shares(self, one: SharesEncoding, two: SharesEncoding) -> tuple[list[str], str]:
        """A place gets more of the packets on one side."""
        totals: list[dict[Target, str]] = []
        for cut, side in ((self.one, one), (self.two, two)):
            weights: dict[Target, list[str]] = {}
            for weight, host, port in side.weights:
                weights.setdefault(self._target(cut, host, port), []).append(weight)
            totals.append({place: side.total(found) for place, found in weights.items()})
        lines = self._together(one, two)
        differ = []
        for place in sorted(totals[0].keys() | totals[1].keys(), key=str):
            mine = totals[0].get(place, "0.0")
            theirs = self._renamed(totals[1].get(place, "0.0"))
            if mine != theirs:
                differ.append(f"(> (- {mine} {theirs}) {_real(FIVE_DIGITS)})")
                differ.append(f"(> (- {theirs} {mine}) {_real(FIVE_DIGITS)})")
        return lines, disjunction(differ)

    # -- recent lists ------------------------------------------------------------------

    def _match_lists(self, one: Encoding, two: Encoding) -> None:
        """Lists that stand for the same backend on both sides hold the same clients."""
        sides = []
        for cut, side in ((self.one, one), (self.two, two)):
            places: dict[int, set[Target]] = {}
            for index, (_, host, port) in enumerate(side.dnat):
                for number in side.dnat_lists[index]:
                    places.setdefault(number, set()).add(self._target(cut, host, port))
            asked = {number for number, _ in side.recent}
            sides.append({number: places.get(number, set()) for number in asked | places.keys()})
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

    def distinct(self) -> list[str]:
        """Numbers of either side that stand for different values."""
        lines = []
        for letter, left, right in (
            ("H", self.one.numbering.hosts, self.two.numbering.hosts),
            ("P", self.one.numbering.ports, self.two.numbering.ports),
        ):
            names = [f"{letter}{number}" for number in left.values()]
            names += [f"{OTHER}{letter}{n}" for value, n in right.items() if value not in left]
            names = [name for name in names if name in self.names]
            if len(names) > 1:
                lines.append(f"(assert (distinct {' '.join(names)}))")
        return lines

    def _ages(self, one: Encoding, two: Encoding) -> list[str]:
        if self.strangers_only:
            absent = [*one.recent.values(), *(OTHER + name for name in two.recent.values())]
            return [f"(assert {negate(name, True)})" for name in absent]
        lines = []
        for (number, seconds), name in one.recent.items():
            for (their_number, their_seconds), their_name in two.recent.items():
                if self._pairs.get(number) != their_number:
                    continue
                other = OTHER + their_name
                if seconds == their_seconds:
                    lines.append(f"(assert (= {name} {other}))")
                elif their_seconds is None or (seconds is not None and seconds < their_seconds):
                    lines.append(f"(assert (=> {name} {other}))")
                else:
                    lines.append(f"(assert (=> {other} {name}))")
        return lines


def _real(value: Fraction) -> str:
    return f"(/ {value.numerator}.0 {value.denominator}.0)"
