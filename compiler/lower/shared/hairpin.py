"""Whose source is rewritten on the way out: marked packets, and those sent back to their sender.

A hairpin is a packet whose chosen backend is its own sender. It must come back through the
node, or the backend would see an answer from itself that no connection of its own expects.
One rule finds all of them after translation; a rule per endpoint, as kube-proxy has it, would
be walked by every packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from svcc.compiler.lower.shared.chains import Chains
from svcc.compiler.lower.shared.dispatch import LEAF_PORTS, Part
from svcc.compiler.lower.shared.matches import TRANSLATED, protocol_match
from svcc.grammar.address import Family, prefix_mask
from svcc.grammar.iptables.program import (
    AddressMatch,
    BpfMatch,
    ConntrackMatch,
    Goto,
    Jump,
    MarkMatch,
    Masquerade,
    PortRange,
    Rule,
    SetMark,
    Target,
    Verdict,
)

POSTROUTING, HAIRPIN = "SVCC-POSTROUTING", "SVCC-HAIRPIN"

_LOAD, _TO_INDEX, _JUMP_IF_EQUAL = 0x20, 0x07, 0x1D
_TRUE, _FALSE = (0x06, 0, 0, 1), (0x06, 0, 0, 0)


def _same_words(pairs: tuple[tuple[int, int], ...]) -> BpfMatch:
    """A classic BPF program: true if the words at each pair of offsets are equal."""
    program: list[tuple[int, int, int, int]] = []
    for number, (one, other) in enumerate(pairs):
        to_false = 4 * (len(pairs) - 1 - number) + 1
        program += [
            (_LOAD, 0, 0, one),
            (_TO_INDEX, 0, 0, 0),
            (_LOAD, 0, 0, other),
            (_JUMP_IF_EQUAL, 0, to_false, 0),
        ]
    return BpfMatch((*program, _TRUE, _FALSE))


SENT_TO_ITSELF = {
    Family.IPV4: _same_words(((12, 16),)),
    Family.IPV6: _same_words(tuple((8 + 4 * word, 24 + 4 * word) for word in range(4))),
}
"""Source and destination address are equal; offsets in the header of RFC 791 and RFC 8200."""

_Ports = tuple[int, PortRange]
"""Protocol number and ports."""


def masquerade(
    chains: Chains,
    mark: int,
    gates: Iterable[Part],
    node_ports: Iterable[tuple[int, int]],
    more: Callable[[], None] = lambda: None,
) -> None:
    """Write the chains behind POSTROUTING.

    Args:
        chains: of the nat table.
        mark: the packet mark that asks for masquerading.
        gates: prefixes that hold the addresses of the frontends.
        node_ports: protocol and number of node ports whose traffic is not all marked anyway.
        more: adds rules that mark, ahead of those that look for the mark.
    """
    for name in (POSTROUTING, HAIRPIN):
        chains.declare(name)
    chains.base(Rule(chain="POSTROUTING", target=Jump(POSTROUTING)))
    matches = (TRANSLATED, SENT_TO_ITSELF[chains.family])
    chains.add(POSTROUTING, Jump(HAIRPIN), matches=matches)
    more()
    not_marked = MarkMatch(mark, mark, negated=True)
    chains.add(POSTROUTING, Verdict("RETURN"), matches=(not_marked,))
    # Cleared, or a tunnel that copies the mark would have the outer packet masqueraded.
    chains.add(POSTROUTING, SetMark(0, mark))
    chains.add(POSTROUTING, Masquerade(random_fully=True))
    # Other people's translations are left alone: only what was sent to a frontend counts.
    for gate in gates:
        original = AddressMatch(gate.prefix, prefix_mask(chains.family, gate.length))
        gated = (ConntrackMatch(original_destination=original),) if gate.length else ()
        chains.add(HAIRPIN, SetMark(mark, mark), matches=gated)
    _ports(chains, HAIRPIN, _runs(node_ports), SetMark(mark, mark))


def _runs(ports: Iterable[tuple[int, int]]) -> list[_Ports]:
    """Neighbouring ports as ranges, sorted."""
    found: list[_Ports] = []
    for protocol, port in sorted(ports):
        if found and found[-1][0] == protocol and found[-1][1].last + 1 == port:
            found[-1] = (protocol, PortRange(found[-1][1].first, port))
        else:
            found.append((protocol, PortRange(port, port)))
    return found


def _ports(chains: Chains, chain: str, ports: Sequence[_Ports], target: Target) -> None:
    """Apply ``target`` to packets that were sent to one of the ports; a tree if they are many."""
    if len(ports) <= LEAF_PORTS:
        for protocol, span in ports:
            _port(chains, chain, protocol, span, target)
        return
    for protocol in sorted({protocol for protocol, _ in ports}):
        members = [item for item in ports if item[0] == protocol]
        size = -(-len(members) // chains.branches.ports)
        for start in range(0, len(members), size):
            part = members[start : start + size]
            span = PortRange(part[0][1].first, part[-1][1].last)
            name = f"{HAIRPIN}-{protocol}-{span.first}"
            while name in chains:
                name += "L"
            chains.declare(name)
            _port(chains, chain, protocol, span, Goto(name))
            _ports(chains, name, part, target)


def _port(chains: Chains, chain: str, protocol: int, span: PortRange, target: Target) -> None:
    match = ConntrackMatch(original_destination_ports=span)
    chains.append(
        Rule(chain=chain, protocol=protocol_match(protocol), matches=(match,), target=target)
    )
