"""The rules of a moment as they are judged: iptables' and svcc's nftables tables together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from svcc.grammar.address import Family

if TYPE_CHECKING:
    from svcc.apply.moments import Moment
    from svcc.grammar.iptables.program import Rule
    from svcc.grammar.iptables.ruleset import RuleSet
    from svcc.verify.transitions import Asked, Destination


@dataclass(slots=True)
class MomentRules:
    """The rules of a family, read once for each state of them.

    ``ties_turned``: chains at one priority are passed the other way round. Which of them was
    registered first depends on what was there before, so a proof is about both.
    """

    ties_turned: bool = False
    _known: dict[tuple[int, ...], RuleSet] = field(default_factory=dict)
    _asked: dict[int, Asked] = field(default_factory=dict)

    def of(self, moment: Moment, family: Family) -> RuleSet:
        """The rules that packets pass at a moment."""
        from svcc.apply.moments import text_of
        from svcc.grammar.iptables.parse import parse
        from svcc.grammar.iptables.ruleset import load

        tables = moment.tables[family]
        key = (*(id(state) for state in tables.values()), id(moment.nftables))
        if key not in self._known:
            found = load(parse(text_of(tables), family=family, source="loaded"))
            if moment.nftables.tables:
                from svcc.verify.nftables.translate import translate

                turned = self.ties_turned
                found = translate(moment.nftables, family, found, ties_turned=turned)
            self._known[key] = found
        return self._known[key]

    def asked(self, moment: Moment, family: Family) -> Asked:
        """What they ask of who sends a packet."""
        from svcc.verify.transitions import asked_of

        rules = self.of(moment, family)
        if id(rules) not in self._asked:
            self._asked[id(rules)] = asked_of(rules)
        return self._asked[id(rules)]


def translated_to(rules: RuleSet) -> set[tuple[int, int]]:
    """The addresses and ports to which nat rules translate, which may be frontends of IPVS, too."""
    from svcc.grammar.iptables.program import NatTarget

    return {
        (target.first_address, target.first_port)
        for rule in _nat_rules(rules)
        if isinstance(target := rule.target, NatTarget)
        and target.first_address is not None
        and target.first_port is not None
    }


def named(states: Iterable[RuleSet], own: frozenset[int]) -> set[Destination]:
    """What nat rules name by address, protocol and port; by protocol and port alone: on each of
    the node's ``own`` addresses.
    """
    from svcc.grammar.iptables.program import TransportMatch
    from svcc.verify.transitions import Destination

    found: set[Destination] = set()
    for rules in states:
        for rule in _nat_rules(rules):
            port = None
            for match in rule.matches:
                ports = match.destination_ports if isinstance(match, TransportMatch) else None
                if ports is not None and ports.first == ports.last and not ports.negated:
                    port = ports.first
            protocol, address = rule.protocol, rule.destination
            if port is None or protocol is None or protocol.negated:
                continue
            if address is None:
                found.update(Destination(a, protocol.number, port) for a in own)
            elif not address.negated and address.mask == (1 << rules.family.bits) - 1:
                found.add(Destination(address.address, protocol.number, port))
    return found


def _nat_rules(rules: RuleSet) -> Iterator[Rule]:
    from svcc.grammar.iptables.ruleset import place_of

    for table, chains in rules.tables.items():
        if place_of(table) == "nat":
            for chain in chains.values():
                yield from chain.rules
