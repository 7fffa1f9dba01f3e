"""To which backends svcc's nat rules can send a UDP packet, judged by its destination alone."""

from __future__ import annotations

from svcc.apply.iptables.read import TableState
from svcc.apply.iptables.respell import parse_rules
from svcc.apply.system.conntrack import Endpoint
from svcc.grammar.address import Family
from svcc.grammar.iptables.program import AddrtypeMatch, Goto, Jump, NatTarget, Rule, TransportMatch
from svcc.grammar.numbers import TRANSPORTS

UDP = TRANSPORTS["udp"]


class Reach:
    """One family's nat table; chains are parsed as they are walked."""

    def __init__(self, family: Family, state: TableState) -> None:
        self._family = family
        self._state = state
        self._parsed: dict[str, list[Rule]] = {}
        self._entries = [
            rule
            for chain in ("PREROUTING", "OUTPUT")
            for rule in self._parse(self._state.jumps(chain))
        ]

    def backends(self, destination: Endpoint, *, local: bool) -> frozenset[Endpoint]:
        """Every DNAT destination that a packet may get; empty if there is none.

        A condition on anything but destination, protocol and destination port is taken to
        hold for some packet.

        Args:
            destination: where the packet is addressed to.
            local: whether that is an address of this node.
        """
        found: set[Endpoint] = set()
        walked: set[str] = set()
        waiting = list(self._entries)
        while waiting:
            rule = waiting.pop()
            if not _may_match(rule, destination, local=local):
                continue
            match rule.target:
                case Jump(chain) | Goto(chain) if chain not in walked:
                    walked.add(chain)
                    waiting += self._rules(chain)
                case NatTarget(name="DNAT", first_address=address, first_port=port):
                    found.add((address or destination[0], port or destination[1]))
        return frozenset(found)

    def _rules(self, chain: str) -> list[Rule]:
        rules = self._parsed.get(chain)
        if rules is None:
            rules = self._parsed[chain] = self._parse(self._state.chains.get(chain, []))
        return rules

    def _parse(self, lines: list[str]) -> list[Rule]:
        from svcc.grammar.errors import InputError

        try:
            return parse_rules(lines, self._family, "nat") if lines else []
        except InputError:
            # Somebody else's rule in one of our chains: it is about to be replaced.
            half = len(lines) // 2
            return [] if not half else self._parse(lines[:half]) + self._parse(lines[half:])


def _may_match(rule: Rule, destination: Endpoint, *, local: bool) -> bool:
    address, port = destination
    wanted = rule.destination
    if wanted and ((address & wanted.mask == wanted.address & wanted.mask) == wanted.negated):
        return False
    protocol = rule.protocol
    if protocol and protocol.number and (protocol.number == UDP) == protocol.negated:
        return False
    for match in rule.matches:
        match match:
            case TransportMatch(destination_ports=ports) if ports is not None:
                if (ports.first <= port <= ports.last) == ports.negated:
                    return False
            case AddrtypeMatch(destination_type="LOCAL", destination_negated=negated):
                if local == negated:
                    return False
    return True
