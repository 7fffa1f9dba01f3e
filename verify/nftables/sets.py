"""Sets of nftables as what both models know: ipsets, or lists that remember clients.

A set that rules fill (``update @SET { ip saddr }``) is a recent list: an element lives as long as
its timeout, and ``update`` starts that anew, which ``add`` does not (net/netfilter/nft_dynset.c,
nft_dynset_eval): it records who is in no list. What ``delete`` does, and other keys, is not in the
model: whoever asks for such a set is undecided. Sets are taken to have room for what is added, if
they have as much as iptables' lists: a full one ends the rule (nft_dynset_new).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from svcc.grammar.address import Family, Network
from svcc.grammar.iptables.program import (
    AddressMatch,
    Match,
    RecentMatch,
    SetMatch,
)
from svcc.grammar.ipvs import ipset
from svcc.grammar.ipvs.ipset import Part, PortOf, Sets
from svcc.grammar.nftables.program import (
    Chain,
    Concatenation,
    DynamicSet,
    Element,
    Expression,
    Field,
    Set,
    Table,
)
from svcc.verify.nftables.fields import OutsideError, blocks, number_range, protocol_number

Direction = Literal["src", "dst"]
_ADDRESS: dict[str, Direction] = {
    "ip saddr": "src", "ip daddr": "dst", "ip6 saddr": "src", "ip6 daddr": "dst",
}  # fmt: skip
LEAST_ROOM = 100
"""Elements that a set must have room for, to be taken to have room: xt_recent's lists, which the
model takes for such sets, remember that many (net/netfilter/xt_recent.c, ip_list_tot)."""

_PROTOCOL = frozenset({"meta l4proto", "ip protocol", "ip6 nexthdr"})
_PORT = frozenset({"th dport"})


@dataclass(slots=True)
class Written:
    """The sets that rules of a family ask for, as ipsets, by new names."""

    family: Family
    sets: Sets = field(default_factory=dict)
    _known: dict[tuple[object, ...], SetMatch] = field(default_factory=dict)

    def one_address(self, asked: AddressMatch, side: Direction) -> Match:
        """That the source or destination lies in one block, or not, as a match.

        Raises:
            OutsideError: the mask has holes.
        """
        length = asked.mask.bit_count()
        block = Network(self.family, asked.address & asked.mask, length)
        if block.mask != asked.mask:
            raise OutsideError
        return self.addresses([block], side, negated=asked.negated)

    def addresses(self, found: Iterable[Network], side: Direction, *, negated: bool) -> SetMatch:
        """That the source or destination lies in one of some blocks."""
        entries = tuple((block,) for block in _ipset_blocks(found))
        return self._match(entries, (side,), negated=negated)

    def members(
        self, keys: tuple[str, ...], elements: Iterable[Expression], *, negated: bool
    ) -> SetMatch:
        """That the fields ``keys`` have the values of one of some elements.

        Raises:
            OutsideError: no ipset says so.
        """
        order, flags = _kind_of(keys)
        entries = []
        for element in elements:
            values = element.parts if isinstance(element, Concatenation) else (element,)
            if len(values) != len(keys):
                raise OutsideError
            entries += self._entries(values, order)
        return self._match(tuple(entries), flags, negated=negated)

    def _entries(
        self, values: tuple[Expression, ...], order: tuple[int | tuple[int, int], ...]
    ) -> list[tuple[Part, ...]]:
        found: list[tuple[Part, ...]] = [()]
        for place in order:
            parts: list[Part]
            if isinstance(place, tuple):
                number, port = protocol_number(values[place[0]]), number_range(values[place[1]])
                if port[0] != port[1]:
                    raise OutsideError
                parts = [PortOf(number, port[0])]
            else:
                parts = list(_ipset_blocks(blocks(values[place], self.family)))
            found = [(*known, part) for known in found for part in parts]
        return found

    def _match(
        self, entries: tuple[tuple[Part, ...], ...], flags: tuple[Direction, ...], *, negated: bool
    ) -> SetMatch:
        key = (entries, flags, negated)
        known = self._known.get(key)
        if known is not None:
            return known
        name = f"nft {len(self.sets)}"
        exact = all(
            part.prefix_length == part.family.bits
            for entry in entries
            for part in entry
            if isinstance(part, Network)
        )
        one = "ip" if exact else "net"
        two = f"{one},port" if flags[-1:] == ("dst",) else "net,net"
        kinds = {1: one, 2: two, 3: f"ip,port,{one}"}
        if len(flags) == 3 and not all(
            isinstance(e[0], Network) and e[0].prefix_length == self.family.bits for e in entries
        ):
            raise OutsideError
        item = ipset.Set(name=name, kind=f"hash:{kinds[len(flags)]}", family=self.family)
        for entry in entries:
            item.add(*entry)
        self.sets[name] = item
        self._known[key] = SetMatch(name, flags, negated)
        return self._known[key]


def _ipset_blocks(found: Iterable[Network]) -> Iterable[Network]:
    """An ipset has no block of all addresses, but two halves (ipset(8), hash:net)."""
    for block in found:
        if block.prefix_length:
            yield block
        else:
            half = 1 << (block.family.bits - 1)
            yield Network(block.family, 0, 1)
            yield Network(block.family, half, 1)


def _kind_of(
    keys: tuple[str, ...],
) -> tuple[tuple[int | tuple[int, int], ...], tuple[Direction, ...]]:
    """Which fields the parts of an entry are, and their directions.

    Raises:
        OutsideError: there is no type of ipset with them.
    """
    sides: list[tuple[int, Direction]] = []
    protocol = port = -1
    for place, key in enumerate(keys):
        if key in _ADDRESS:
            sides.append((place, _ADDRESS[key]))
        elif key in _PROTOCOL and protocol < 0:
            protocol = place
        elif key in _PORT and port < 0:
            port = place
        else:
            raise OutsideError
    both = protocol >= 0 and port >= 0
    if len(sides) == 2 and protocol < 0 and port < 0:
        first, second = sorted(sides, key=lambda pair: pair[1])
        if first[1] == second[1]:
            raise OutsideError
        return (first[0], second[0]), ("dst", "src")
    if (protocol >= 0) != (port >= 0) or not sides:
        raise OutsideError
    if len(sides) == 1:
        ((place, side),) = sides
        return ((place, (protocol, port)), (side, "dst")) if both else ((place,), (side,))
    if len(sides) != 2 or not both or {side for _, side in sides} != {"src", "dst"}:
        raise OutsideError
    (destination,) = (place for place, side in sides if side == "dst")
    (source,) = (place for place, side in sides if side == "src")
    return (destination, (protocol, port), source), ("dst", "dst", "src")


# -- sets that rules fill ------------------------------------------------------------------


@dataclass(slots=True)
class Filled:
    """What rules of a table do to its sets."""

    table: Table
    family: Family
    _statements: dict[str, list[DynamicSet]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for chain in self.table.chains.values():
            for statement in _dynamic(chain):
                self._statements.setdefault(statement.name, []).append(statement)

    def is_filled(self, item: Set) -> bool:
        """Whether the elements are not those of the text alone."""
        return item.name in self._statements or bool(item.flags & {"dynamic", "timeout"})

    def may_be_full(self, item: Set) -> bool:
        """Whether a few clients are enough for nobody else to be added."""
        return item.size is not None and item.size < LEAST_ROOM

    def seconds(self, item: Set) -> int | None:
        """How long a client stays in a set that is a recent list; None: for ever.

        Raises:
            OutsideError: it is none.
        """
        statements = self._statements.get(item.name, [])
        kept = {item.timeout if s.timeout is None else s.timeout for s in statements}
        source = "ip saddr" if self.family is Family.IPV4 else "ip6 saddr"
        updated = all(
            s.operation != "delete"
            and s.data is None
            and s.key == Field(source)
            and not s.statements
            for s in statements
        )
        if not statements and "dynamic" in item.flags and not item.elements:
            # Whoever fills it, somebody may have.
            kept = {item.timeout}
        if not updated or len(kept) != 1 or item.data is not None or self.may_be_full(item):
            raise OutsideError
        (timeout,) = kept
        if timeout is None:
            return None
        if timeout % 1000:
            raise OutsideError
        return timeout // 1000

    def asked(self, item: Set, key: Expression, *, negated: bool) -> RecentMatch:
        """That a client stands in a set.

        Raises:
            OutsideError: it is no recent list, or the key is not the source.
        """
        seconds = self.seconds(item)
        if not isinstance(key, Field) or _ADDRESS.get(key.name) != "src":
            raise OutsideError
        return RecentMatch(
            operation="rcheck", name=self._name(item), seconds=seconds, negated=negated
        )

    def recorded(self, item: Set, statement: DynamicSet) -> tuple[RecentMatch, ...]:
        """What a statement that fills the set does, nothing if it does not matter.

        What cannot be modelled makes undecided who asks for the set, not who fills it.
        """
        try:
            seconds = self.seconds(item)
        except OutsideError:
            return ()
        name = self._name(item)
        recorded = RecentMatch(operation="set", name=name)
        if statement.operation == "update":
            return (recorded,)
        known = RecentMatch(operation="rcheck", name=name, seconds=seconds, negated=True)
        return (known, recorded)

    def _name(self, item: Set) -> str:
        return f"{self.table.family} {self.table.name} {item.name}"


def _dynamic(chain: Chain) -> Iterable[DynamicSet]:
    for rule in chain.rules:
        yield from (s for s in rule.statements if isinstance(s, DynamicSet))


def lasting(elements: Iterable[Element]) -> list[Element]:
    """The elements of a set or map.

    Raises:
        OutsideError: one of them goes away by itself, or is for some packets only.
    """
    found = list(elements)
    if any(e.timeout is not None or e.expires is not None or e.statements for e in found):
        raise OutsideError
    return found
