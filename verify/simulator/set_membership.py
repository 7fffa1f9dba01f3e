"""Membership of one packet in an ipset, read plainly (ipset(8))."""

from __future__ import annotations

from svcc.grammar.address import Network
from svcc.grammar.ipvs.ipset import Entry, PortOf, Set

_EXACT = ("hash:ip", "hash:ip,port", "hash:ip,port,ip")
_WITH_BARE_PORTS = (6, 17)
"""Protocols that bitmap:port knows (net/netfilter/ipset/ip_set_getport.c)."""


def find_entry(
    item: Set,
    flags: tuple[str, ...],
    protocol: int,
    source: tuple[int, int],
    destination: tuple[int, int],
) -> Entry | None:
    """The entry that a packet falls under, None if none.

    Args:
        item: the set.
        flags: ``src`` or ``dst`` for each part of its entries.
        protocol: IANA number.
        source: address and port.
        destination: address and port, as they are by now.

    Raises:
        ValueError: the set has a type or entries that are not modelled.
    """
    if not item.is_plain:
        raise ValueError(f"set {item.name} of type {item.kind}")
    found = None
    if item.kind in _EXACT and len(flags) == item.kind.count(",") + 1:
        # A set of single addresses is looked up, as the kernel does: large ones are usual.
        assert item.family is not None
        ends = [source if flag == "src" else destination for flag in flags]
        key = tuple(
            PortOf(protocol, end[1]) if part == "port"
            else Network(item.family, end[0], item.family.bits)
            for part, end in zip(item.kind.partition(":")[2].split(","), ends, strict=True)
        )  # fmt: skip
        candidates = [entry for entry in (item.entries.get(key),) if entry is not None]
    else:
        candidates = list(item.entries.values())
    for entry in candidates:
        if len(flags) != len(entry.parts):
            continue
        ends = [source if flag == "src" else destination for flag in flags]
        if all(_under(part, protocol, *end) for part, end in zip(entry.parts, ends, strict=True)):
            if entry.no_match:
                raise ValueError(f"set {item.name} with nomatch")
            found = found or entry
    return found


def _under(part: Network | PortOf | int, protocol: int, address: int, port: int) -> bool:
    if isinstance(part, Network):
        return address & part.mask == part.value
    if isinstance(part, PortOf):
        return (protocol, port) == part
    return protocol in _WITH_BARE_PORTS and port == part
