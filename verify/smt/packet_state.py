"""What a packet has become on its way through the hooks, as terms, and what is declared of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from svcc.verify.model.conditions import (
    Mark,
)
from svcc.verify.slicing.schema import Schema
from svcc.verify.smt.packet_variables import PORT, Interface, Variable, packet_variables
from svcc.verify.smt.script import Script
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    TRUE,
    Sort,
    Term,
    bit_vector,
    bits,
    boolean,
    conjunction,
    disjunction,
    distinct,
    equal,
    exclusive_or,
    extract,
    has_value,
    implies,
    in_network,
    negate,
)
from svcc.verify.spec.outcomes import DroppedByMark


class PacketState:
    """Declarations and assertions about one packet, and what it is by now.

    Its present destination, mark and interfaces change as it passes the hooks: the attributes
    that say so belong to the class that walks the chains.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.width = schema.family.bits
        self.script = Script()
        self.distinct: list[Term] = []
        """That different numbers stand for different values: few proofs need it."""
        self.recorded: dict[int, Term] = {}
        self.recent: dict[tuple[int, int | None], Term] = {}
        self.interfaces: dict[str, int] = {"lo": 0}
        self.free: list[Term] = []
        self.packet = packet_variables(self.width)
        self._hosts: dict[int, Term] = {}
        self._ports: dict[int, Term] = {}
        self._masquerades: list[Term] = []
        self._counter = 0
        self.marks_that_matter = schema.mark | tested_marks(schema)
        self.patterns: dict[tuple[Variable, str], Term] = {}
        self._untracked = FALSE
        self._translated = FALSE
        self._sent_on = FALSE
        self._in_interface: Interface = "none"
        self._out_interface: Interface = "none"
        self._destination = self.packet.dst
        self._source = self.packet.src
        self._source_port = self.packet.sport
        self._source_local = boolean(schema.from_node)
        self._new_source = FALSE
        """Source or source port are no longer those that the packet came with."""
        self._moved = FALSE
        """The source address is no longer the one that the packet came with."""
        self._looped = False
        self._routed_local: Term | None = None
        """Whether the interface was chosen for a local destination; None: for the present one."""
        self._port = self.packet.dport
        self._virtual_destination, self._virtual_port = self.packet.dst, self.packet.dport
        """What the packet was addressed to when it came to IPVS."""
        self._local = self.packet.local
        self.mark_bits: dict[int, Term] = {}
        """What the bits of the mark are by now; one that is not here is as the packet came."""

    @property
    def declared(self) -> Mapping[str, Term]:
        """The free constants so far, by name."""
        return self.script.declared

    def host(self, number: int) -> Term:
        """The name of a numbered address."""
        known = self._hosts.get(number)
        if known is None:
            known = self._hosts[number] = self._declare(f"H{number}", bit_vector(self.width))
        return known

    def port(self, number: int) -> Term:
        """The name of a numbered port."""
        known = self._ports.get(number)
        if known is None:
            known = self._ports[number] = self._declare(f"P{number}", PORT)
        return known

    def address(self, value: int) -> Term:
        """A literal address."""
        return bits(value, self.width)

    @property
    def destination(self) -> Term:
        """The packet's destination, as it is by now."""
        return self._destination

    @property
    def destination_port(self) -> Term:
        """The packet's destination port, as it is by now."""
        return self._port

    def add_interface_axioms(self) -> None:
        """Once more what is known of interfaces, after others have been named."""
        self._interface_axioms()

    @property
    def sent_elsewhere(self) -> Term:
        """DNAT or IPVS has changed the destination. DNAT to where the packet goes anyway does not
        (net/netfilter/nf_nat_core.c, nf_nat_setup_info)."""
        return disjunction([self._translated, self._sent_on])

    def define(self, term: Term) -> Term:
        """A fresh name for a term, unless that is short."""
        if not term.arguments:
            return term
        self._counter += 1
        return self.script.define(f"t{self._counter}", term)

    def mark_bit(self, number: int) -> Term:
        """The term that a bit of the mark is set: bit by bit, since rules name few of them."""
        if number not in self.mark_bits:
            self.mark_bits[number] = self.first_mark_bit(number)
        return self.mark_bits[number]

    def first_mark_bit(self, number: int) -> Term:
        """The term that the packet came with a bit of the mark."""
        symbol = f"mark0_{number}"
        known = self.declared.get(symbol)
        if known is None:
            known = self._declare(symbol, BOOL)
            bit = extract(self.packet.mark0, number, number)
            self._assert(equal(known, has_value(bit, 1)))
        return known

    def _set_mark(self, fires: Term, value: int, mask: int) -> None:
        """``--set-xmark value/mask``: clear the bits of the mask, turn over those of the value."""
        for number in range(32):
            clears, turns = mask >> number & 1, value >> number & 1
            if not (clears or turns) or not self.marks_that_matter >> number & 1:
                continue
            old = self.mark_bit(number)
            if not clears:
                new = exclusive_or(old, fires)
            elif turns:
                new = disjunction([old, fires])
            else:
                new = conjunction([old, negate(fires, True)])
            self.mark_bits[number] = self.define(new)

    def _recent_axioms(self) -> None:
        by_list: dict[int, list[tuple[int, Term]]] = {}
        for (number, seconds), flag in self.recent.items():
            limit = 1 << 62 if seconds is None else seconds
            by_list.setdefault(number, []).append((limit, flag))
        for entries in by_list.values():
            entries.sort(key=lambda entry: entry[0])
            for (_, younger), (_, older) in pairwise(entries):
                self._assert(implies(younger, older))

    def _distinct_numbers(self) -> None:
        # Values are numbered by value, so two numbers never stand for the same one.
        for numbered in (self._hosts, self._ports):
            if len(numbered) > 1:
                self.distinct.append(distinct(numbered.values()))
        for address, mask, inside in self.schema.facts:
            for number, hit in enumerate(inside):
                if number in self._hosts:
                    at = in_network(self._hosts[number], address, mask)
                    self._assert(negate(at, not hit))

    def _interface(self, interface: Interface, pattern: str) -> Term:
        """An interface has a name; ``+`` at the end of it stands for any suffix."""
        if interface == "none":
            return boolean(pattern == "+")
        if interface == "lo":
            return boolean(
                "lo".startswith(pattern[:-1]) if pattern[-1:] == "+" else pattern == "lo"
            )
        if not pattern.endswith("+"):
            number = self.interfaces.setdefault(pattern, len(self.interfaces))
            return self._numbered(interface, number)
        if pattern == "+":
            return TRUE
        key = (interface, pattern)
        if key not in self.patterns:
            self.patterns[key] = self._declare(f"pattern{len(self.patterns)}", BOOL)
        return self.patterns[key]

    def _numbered(self, variable: Variable, number: int) -> Term:
        return has_value(self.packet.interface(variable), number)

    def _interface_axioms(self) -> None:
        for (variable, pattern), flag in self.patterns.items():
            for interface, number in self.interfaces.items():
                hit = negate(flag, not interface.startswith(pattern[:-1]))
                self._assert(implies(self._numbered(variable, number), hit))
        for pattern in dict.fromkeys(pattern for _, pattern in self.patterns):
            first, last = self.patterns.get(("oif0", pattern)), self.patterns.get(("oif1", pattern))
            if first is not None and last is not None:
                same = equal(self.packet.oif0, self.packet.oif1)
                self._assert(implies(same, equal(first, last)))

    def _free(self, stem: str) -> Term:
        constant = self._declare(f"{stem}{len(self.free)}", BOOL)
        self.free.append(constant)
        return constant

    def _declare(self, symbol: str, sort: Sort) -> Term:
        return self.script.declare(symbol, sort)

    def _assert(self, term: Term) -> None:
        self.script.require(term)


def tested_marks(schema: Schema) -> int:
    """The bits of the mark that some rule looks at, or an outcome."""
    bits = 0
    for case in schema.cases:
        for outcome in case.allowed:
            bits |= outcome.mark if isinstance(outcome, DroppedByMark) else 0
    hooks = (*schema.rewriting, *schema.inward, *schema.onward, *schema.resent)
    pending = [item for hook in hooks for item in hook.items] + list(schema.balanced)
    while pending:
        item = pending.pop()
        pending.extend(item.body)
        for condition in item.conditions:
            if isinstance(condition, Mark):
                bits |= condition.mask
    return bits
