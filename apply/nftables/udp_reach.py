"""To which backends svcc's nftables rules can send a UDP packet, judged by its destination."""

from __future__ import annotations

from collections.abc import Iterable

from svcc.apply.system.conntrack import Endpoint
from svcc.grammar.address import Address
from svcc.grammar.nftables.program import (
    AnonymousSet,
    AnyVerdict,
    Concatenation,
    Expression,
    Goto,
    Jump,
    Nat,
    Number,
    Symbol,
    Table,
    Verdict,
    VerdictMap,
)

_UDP = "udp"


class TableReach:
    """One family's table; None for no table."""

    def __init__(self, table: Table | None) -> None:
        self._table = table
        self._at_addresses: dict[Endpoint, set[Endpoint]] = {}
        self._at_node_ports: dict[int, set[Endpoint]] = {}
        for item in table.sets.values() if table is not None else ():
            for key, element in item.elements.items():
                if isinstance(key, Concatenation) and Symbol(_UDP) in key.parts:
                    self._add(key.parts, element.data)

    def backends(self, destination: Endpoint, *, local: bool) -> frozenset[Endpoint]:
        """Every backend that a packet may be sent to; empty if there is none.

        Args:
            destination: where the packet is addressed to.
            local: whether that is an address of this node.
        """
        found = self._at_addresses.get(destination)
        if found is None and local:
            found = self._at_node_ports.get(destination[1])
        return frozenset(found or ())

    def is_like(self, other: TableReach) -> bool:
        """Whether packets may be sent to the same backends by either."""
        return (self._at_addresses, self._at_node_ports) == (
            other._at_addresses,
            other._at_node_ports,
        )

    def _add(self, key: tuple[Expression, ...], data: Expression | AnyVerdict | None) -> None:
        match key:
            case (Address() as address, Symbol(), Number() as port, *_):
                known = self._at_addresses.setdefault((address.value, port.value), set())
            case (Symbol(), Number() as port, *_):
                known = self._at_node_ports.setdefault(port.value, set())
            case _:
                return
        match data:
            case Concatenation((Address() as address, Number() as port)):
                known.add((address.value, port.value))
            case Goto() | Jump() | Verdict():
                known.update(self._behind([data], set()))

    def _behind(self, verdicts: Iterable[AnyVerdict], walked: set[str]) -> set[Endpoint]:
        """Backends that chains name themselves, as those with affinity do."""
        assert self._table is not None
        found: set[Endpoint] = set()
        for verdict in verdicts:
            if isinstance(verdict, Verdict) or verdict.chain in walked:
                continue
            walked.add(verdict.chain)
            chain = self._table.chains.get(verdict.chain)
            for rule in chain.rules if chain is not None else ():
                for statement in rule.statements:
                    match statement:
                        case Nat(address=Address() as address, port=Number() as port):
                            found.add((address.value, port.value))
                        case Goto() | Jump():
                            found |= self._behind([statement], walked)
                        case VerdictMap(elements=AnonymousSet() as choices):
                            below = [
                                element.data
                                for element in choices.elements
                                if isinstance(element.data, Goto | Jump)
                            ]
                            found |= self._behind(below, walked)
        return found
