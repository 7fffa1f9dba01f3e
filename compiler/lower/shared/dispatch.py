"""From a packet's destination to its Service: a tree of chains over addresses and ports.

A linear list costs one rule per Service for every new connection. The tree is cut by the
addresses that are really there: at each node the heaviest parts of their binary trie are cut
off, so that every level leaves at most about a quarter of the addresses, however they are
distributed. Within the tree ``-g`` is used, so that a packet that finds nothing falls back to
where the tree was entered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.matches import to_port
from svcc.compiler.lower.shared.names import digest
from svcc.grammar.address import prefix_mask
from svcc.grammar.iptables.program import AddressMatch, Goto, Jump, Target

LINEAR = 64
"""Up to this many entries a list is as fast as a tree, and easier to read."""
LEAF_ADDRESSES = 6
"""Walks are as long as with leaves of 4, and there are a quarter fewer chains to load."""
LEAF_PORTS = 16


class Entry(NamedTuple):
    """What to do with packets to one address (None: any that gets here), protocol and port."""

    address: int | None
    protocol: int
    port: int
    target: Target
    comment: str = ""


class Part(NamedTuple):
    """Addresses that are told from the rest by one prefix."""

    prefix: int
    length: int
    addresses: list[int]


def dispatch_addresses(
    chains: Chains, chain: str, entries: Sequence[Entry], *, stem: str
) -> list[Part]:
    """Add the rules that lead from ``chain`` to the entries' targets.

    ``stem`` begins the names of the tree's chains. Returns the gates: prefixes that hold every
    address of the entries.

    Depth: with 8 branches a level leaves at most 2/9 of the addresses (see :func:`cut`), so
    10,000 of them are at most 6 levels and 2**20 at most 9.
    """
    ordered = sorted(entries, key=lambda e: (e.address or 0, e.protocol, e.port))
    by_address = {
        address: list(group) for address, group in groupby(ordered, key=lambda e: e.address or 0)
    }
    addresses = list(by_address)
    bits = chains.family.bits
    if len(entries) <= LINEAR:
        for entry in ordered:
            _add_entry(chains, chain, entry)
        return [Part(address, bits, [address]) for address in addresses]
    tree = _Tree(chains, by_address, stem)
    gates = cut(addresses, bits, chains.branches.addresses)
    for gate in gates:
        target = tree.node(gate)
        chains.add(chain, Jump(target), destination=_prefix(chains, gate))
    return gates


def dispatch_ports(
    chains: Chains, chain: str, entries: Sequence[Entry], *, stem: str, linear: int = LINEAR
) -> None:
    """Add the rules that lead from ``chain`` to the entries' targets by protocol and port."""
    ordered = sorted(entries, key=lambda e: (e.protocol, e.port))
    if len(ordered) <= linear:
        for entry in ordered:
            _add_entry(chains, chain, entry)
        return
    for protocol, group in groupby(ordered, key=lambda e: e.protocol):
        members = list(group)
        size = -(-len(members) // chains.branches.ports)
        for start in range(0, len(members), size):
            part = members[start : start + size]
            name = f"{stem}-{protocol}-{part[0].port}"
            while name in chains:
                name += "L"
            chains.declare(name)
            match = to_port(protocol, part[0].port, part[-1].port)
            chains.add(chain, Goto(name), protocol=protocol, matches=(match,))
            dispatch_ports(chains, name, part, stem=stem, linear=LEAF_PORTS)


def _add_entry(chains: Chains, chain: str, entry: Entry) -> None:
    chains.add(
        chain,
        entry.target,
        destination=None if entry.address is None else chains.host(entry.address),
        protocol=entry.protocol,
        matches=(to_port(entry.protocol, entry.port),),
        comment=entry.comment,
    )


def _prefix(chains: Chains, part: Part) -> AddressMatch | None:
    if not part.length:
        return None
    return AddressMatch(part.prefix, prefix_mask(chains.family, part.length))


class _Tree:
    def __init__(self, chains: Chains, by_address: dict[int, list[Entry]], stem: str) -> None:
        self._chains = chains
        self._by_address = by_address
        self._stem = stem

    def node(self, part: Part) -> str:
        """Write the chains of a part; returns the name of the first."""
        chain = self._name(part)
        self._chains.declare(chain)
        if len(part.addresses) <= LEAF_ADDRESSES:
            for address in part.addresses:
                self._address(chain, address)
            return chain
        for child in cut(part.addresses, self._chains.family.bits, self._chains.branches.addresses):
            target = self.node(child)
            self._chains.add(chain, Goto(target), destination=_prefix(self._chains, child))
        return chain

    def _address(self, chain: str, address: int) -> None:
        entries = self._by_address[address]
        if len(entries) <= LEAF_PORTS:
            for entry in entries:
                _add_entry(self._chains, chain, entry)
            return
        target = self._name(Part(address, self._chains.family.bits, [address])) + "P"
        self._chains.add(chain, Goto(target), destination=self._chains.host(address))
        dispatch_ports(
            self._chains,
            target,
            [entry._replace(address=None) for entry in entries],
            stem=f"{self._stem}P{digest(target, 6)}",
            linear=LEAF_PORTS,
        )

    def _name(self, part: Part) -> str:
        """A name that the part's own addresses decide, so that it survives changes elsewhere."""
        base = f"{self._stem}-{_compact(part.prefix, self._chains.family.bits)}-{part.length}"
        name, number = base, 0
        while name in self._chains:
            number += 1
            name = f"{base}{chr(ord('a') + number - 1)}"
        return name


def _compact(prefix: int, bits: int) -> str:
    """An address as short text: hexadecimal for IPv4, a digest for IPv6."""
    return f"{prefix:08x}" if bits == 32 else digest(f"{prefix:032x}", 10)


def cut(addresses: list[int], bits: int, width: int) -> list[Part]:
    """Cut sorted addresses into at most ``width`` parts of similar weight.

    Each part is told by a prefix; where one prefix lies inside another it comes first, and
    takes what it holds away from the other. As the heaviest part is always cut next, and
    no cut takes less than a third of it or more than two thirds, of 8 parts none has more than
    2/9 of the addresses, and of 64 none more than 2/65.
    """
    if len(addresses) <= width * LEAF_ADDRESSES:
        parts = _leaves(addresses, bits)
        if len(parts) <= width:
            return _innermost_first(parts)
    parts = [_part(addresses, bits)]
    while len(parts) < width:
        heaviest = max(parts, key=lambda part: len(part.addresses))
        if len(heaviest.addresses) <= LEAF_ADDRESSES:
            break
        parts.remove(heaviest)
        inner = _heavy_subtree(heaviest, bits)
        members = set(inner.addresses)
        rest = [address for address in heaviest.addresses if address not in members]
        parts += [inner, _part(rest, bits)]
    return _innermost_first(parts)


def _innermost_first(parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: (-part.length, part.prefix))


def _leaves(addresses: list[int], bits: int) -> list[Part]:
    """Parts for leaves, as full as they can be: cut off the trie from its bottom up."""
    parts: list[Part] = []

    def left_over(members: list[int]) -> list[int]:
        if len(members) <= LEAF_ADDRESSES:
            return members
        low, high = map(left_over, _halves(_part(members, bits), bits))
        if len(low) + len(high) <= LEAF_ADDRESSES:
            return low + high
        more, fewer = (low, high) if len(low) >= len(high) else (high, low)
        parts.append(_part(more, bits))
        return fewer

    parts.append(_part(left_over(addresses), bits))
    return parts


def _halves(part: Part, bits: int) -> tuple[list[int], list[int]]:
    """The addresses on either side of the first bit after the common prefix."""
    middle = part.prefix | 1 << (bits - part.length - 1)
    split = bisect_left(part.addresses, middle)
    return part.addresses[:split], part.addresses[split:]


def _part(addresses: list[int], bits: int) -> Part:
    """The addresses with their longest common prefix."""
    length = bits - (addresses[0] ^ addresses[-1]).bit_length()
    low = bits - length
    return Part(addresses[0] >> low << low, length, addresses)


def _heavy_subtree(part: Part, bits: int) -> Part:
    """A subtree of the part's trie with between a third and two thirds of its addresses."""
    limit = 2 * len(part.addresses) / 3
    node = part
    while len(node.addresses) > limit:
        low, high = _halves(node, bits)
        node = _part(low if len(low) >= len(high) else high, bits)
    return node
