"""Conditions on a packet as SMT-LIB terms."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from svcc.grammar.address import Family
from svcc.verify.model.rules import Condition
from svcc.verify.slicing.schema import Schema


class Terms:
    """Declarations and assertions about one packet, and the terms that its conditions become.

    The packet's present destination, mark and interfaces change as it passes the hooks; the
    attributes that say what they are by now belong to the class that walks the chains.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.width = schema.family.bits
        self.lines: list[str] = []
        self.distinct: list[str] = []
        """That different numbers stand for different values: few proofs need it."""
        self.recorded: dict[int, str] = {}
        self.recent: dict[tuple[int, int | None], str] = {}
        self.interfaces: dict[str, int] = {"lo": 0}
        self.free: list[str] = []
        self._masquerades: list[str] = []
        self._counter = 0
        self.marks_that_matter = schema.mark | tested_marks(schema)
        self.patterns: dict[tuple[str, str], str] = {}
        self._untracked = "false"
        self._translated = "false"
        self._sent_on = "false"
        self._in_interface = ""
        self._out_interface = ""
        self._destination = "dst"
        self._source = "src"
        self._source_port = "sport"
        self._source_local = "true" if schema.from_node else "false"
        self._new_source = "false"
        """Source or source port are no longer those that the packet came with."""
        self._moved = "false"
        """The source address is no longer the one that the packet came with."""
        self._looped = False
        self._routed_local: str | None = None
        """Whether the interface was chosen for a local destination; None: for the present one."""
        self._port = "dport"
        self._virtual_destination, self._virtual_port = "dst", "dport"
        """What the packet was addressed to when it came to IPVS."""
        self._local = "local"
        self.declared: set[str] = set()
        self.mark_bits: dict[int, str] = {}
        """What the bits of the mark are by now; one that is not here is as the packet came."""

    def host(self, number: int) -> str:
        """The name of a numbered address."""
        name = f"H{number}"
        if name not in self.declared:
            self._declare(name, f"(_ BitVec {self.width})")
        return name

    def port(self, number: int) -> str:
        """The name of a numbered port."""
        name = f"P{number}"
        if name not in self.declared:
            self._declare(name, "(_ BitVec 16)")
        return name

    def address(self, value: int) -> str:
        """A literal address."""
        return f"(_ bv{value} {self.width})"

    @property
    def destination(self) -> str:
        """The packet's destination, as it is by now."""
        return self._destination

    @property
    def destination_port(self) -> str:
        """The packet's destination port, as it is by now."""
        return self._port

    def add_interface_axioms(self) -> None:
        """Once more what is known of interfaces, after others have been named."""
        self._interface_axioms()

    @property
    def sent_elsewhere(self) -> str:
        """DNAT or IPVS has changed the destination. DNAT to where the packet goes anyway does not
        (net/netfilter/nf_nat_core.c, nf_nat_setup_info)."""
        return disjunction([self._translated, self._sent_on])

    def define(self, sort: str, term: str) -> str:
        """A fresh name for a term."""
        return self._define(sort, term)

    # -- conditions --------------------------------------------------------------------

    def _one(self, condition: Condition) -> str:
        kind, *rest = condition
        if kind == "any":
            parts, negated = rest
            return negate(disjunction([self._one(part) for part in parts]), negated)
        method = getattr(self, f"_is_{kind}")
        term: str = method(*rest)
        return term

    def _is_src(self, address: int, mask: int, negated: bool) -> str:
        return negate(self._masked(self._source, address, mask), negated)

    def _is_osrc(self, address: int, mask: int, negated: bool) -> str:
        return negate(self._masked("src", address, mask), negated)

    def _is_dst(self, address: int, mask: int, negated: bool) -> str:
        return negate(self._masked(self._destination, address, mask), negated)

    def _is_odst(self, address: int, mask: int, negated: bool) -> str:
        return negate(self._masked("dst", address, mask), negated)

    def _is_src_host(self, number: int, negated: bool) -> str:
        return negate(f"(= {self._source} {self.host(number)})", negated)

    def _is_osrc_host(self, number: int, negated: bool) -> str:
        return negate(f"(= src {self.host(number)})", negated)

    def _is_dst_host(self, number: int, negated: bool) -> str:
        return negate(f"(= {self._destination} {self.host(number)})", negated)

    def _is_dst_in(self, numbers: tuple[int, ...], negated: bool) -> str:
        either = [f"(= {self._destination} {self.host(number)})" for number in numbers]
        return negate(disjunction(either), negated)

    def _is_dport_in(self, numbers: tuple[int, ...], negated: bool) -> str:
        either = [f"(= {self._port} {self.port(number)})" for number in numbers]
        return negate(disjunction(either), negated)

    def _is_odst_host(self, number: int, negated: bool) -> str:
        return negate(f"(= dst {self.host(number)})", negated)

    def _is_proto(self, number: int, negated: bool) -> str:
        return negate(f"(= proto (_ bv{number} 8))", negated)

    def _is_sport(self, first: int, last: int, negated: bool) -> str:
        return negate(between(self._source_port, first, last), negated)

    def _is_dport(self, first: int, last: int, negated: bool) -> str:
        return negate(between(self._port, first, last), negated)

    def _is_odport(self, first: int, last: int, negated: bool) -> str:
        return negate(between("dport", first, last), negated)

    def _is_dport_number(self, number: int, negated: bool) -> str:
        return negate(f"(= {self._port} {self.port(number)})", negated)

    def _is_odport_number(self, number: int, negated: bool) -> str:
        return negate(f"(= dport {self.port(number)})", negated)

    def _is_sports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> str:
        return negate(disjunction([between(self._source_port, *r) for r in ranges]), negated)

    def _is_dports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> str:
        return negate(disjunction([between(self._port, *r) for r in ranges]), negated)

    def _is_ports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> str:
        either = [between(port, *r) for r in ranges for port in (self._source_port, self._port)]
        return negate(disjunction(either), negated)

    def _is_node(self, negated: bool) -> str:
        return negate("true" if self.schema.from_node else "false", negated)

    def _is_srclocal(self, negated: bool) -> str:
        return negate(self._source_local, negated)

    def _is_dstlocal(self, negated: bool) -> str:
        return negate(self._local, negated)

    def _is_iif(self, name: str, negated: bool) -> str:
        return negate(self._interface(self._in_interface, name), negated)

    def _is_oif(self, name: str, negated: bool) -> str:
        if self._out_interface == "none":
            return negate(self._interface("none", name), negated)
        local = self._local if self._routed_local is None else self._routed_local
        if name == "lo":
            return negate(local, negated)
        leaves = negate(local, True)
        term = conjunction([leaves, self._interface(self._out_interface, name)])
        return negate(term, negated)

    def _is_mark(self, value: int, mask: int, negated: bool) -> str:
        if value & ~mask:
            return negate("false", negated)
        bits = [negate(self.mark_bit(b), not value >> b & 1) for b in range(32) if mask >> b & 1]
        return negate(conjunction(bits), negated)

    def mark_bit(self, number: int) -> str:
        """The term that a bit of the mark is set: bit by bit, since rules name few of them."""
        if number not in self.mark_bits:
            self.mark_bits[number] = self.first_mark_bit(number)
        return self.mark_bits[number]

    def first_mark_bit(self, number: int) -> str:
        """The term that the packet came with a bit of the mark."""
        name = f"mark0_{number}"
        if name not in self.declared:
            self._declare(name, "Bool")
            self._assert(f"(= {name} (= ((_ extract {number} {number}) mark0) #b1))")
        return name

    def _set_mark(self, fires: str, value: int, mask: int) -> None:
        """``--set-xmark value/mask``: clear the bits of the mask, turn over those of the value."""
        for number in range(32):
            clears, turns = mask >> number & 1, value >> number & 1
            if not (clears or turns) or not self.marks_that_matter >> number & 1:
                continue
            old = self.mark_bit(number)
            if not clears:
                new = f"(xor {old} {fires})"
            elif turns:
                new = disjunction([old, fires])
            else:
                new = conjunction([old, negate(fires, True)])
            self.mark_bits[number] = self._define("Bool", new)

    def _is_state(self, states: tuple[str, ...], negated: bool) -> str:
        tracked = "true" if self.schema.state in states else "false"
        if tracked == "false":
            parts = []
            if "DNAT" in states:
                parts.append(self._translated)
            if "SNAT" in states:
                parts.append(self._new_source)
            tracked = disjunction(parts)
        if self._untracked == "false":
            return negate(tracked, negated)
        untracked = "true" if "UNTRACKED" in states else "false"
        return negate(f"(ite {self._untracked} {untracked} {tracked})", negated)

    def _is_connection(
        self, states: tuple[str, ...] | None, negated: bool, details: tuple[Condition, ...]
    ) -> str:
        """A question about the connection where there may be none yet."""
        if not self._looped:
            if states is None:
                return "false"
            found = "true" if "INVALID" in states else "false"
            if self._untracked != "false":
                untracked = "true" if "UNTRACKED" in states else "false"
                found = f"(ite {self._untracked} {untracked} {found})"
            return negate(found, negated)
        known = conjunction([self._one(detail) for detail in details])
        if states is None:
            return conjunction([negate(self._untracked, True), known])
        return conjunction([self._is_state(states, negated), disjunction([self._untracked, known])])

    def _is_ipvs(self, negated: bool) -> str:
        return negate(self._sent_on, negated)

    def _is_vdst(self, address: int, mask: int, negated: bool) -> str:
        return negate(self._masked(self._virtual_destination, address, mask), negated)

    def _is_vdst_host(self, number: int, negated: bool) -> str:
        return negate(f"(= {self._virtual_destination} {self.host(number)})", negated)

    def _is_vport(self, first: int, last: int, negated: bool) -> str:
        return negate(between(self._virtual_port, first, last), negated)

    def _is_vport_number(self, number: int, negated: bool) -> str:
        return negate(f"(= {self._virtual_port} {self.port(number)})", negated)

    def _is_members(self, members: tuple[tuple[Condition | None, ...], ...], negated: bool) -> str:
        found = [
            conjunction([self._one(part) for part in member if part is not None])
            for member in members
        ]
        return negate(disjunction(found), negated)

    def _is_place(self, places: tuple[tuple[int | None, int], ...], negated: bool) -> str:
        found = []
        for host, port in places:
            parts = [f"(= {self._port} {self.port(port)})"]
            if host is not None:
                parts.append(f"(= {self._destination} {self.host(host)})")
            found.append(conjunction(parts))
        return negate(disjunction(found), negated)

    def _is_never(self) -> str:
        return "false"

    def _is_random(self, threshold: int) -> str:
        return self._free("random")

    def _is_unknown(self, *what: Any) -> str:
        negated = len(what) > 1 and bool(what[1])
        return negate(self._free("unknown"), negated)

    def _is_bpf(self, condition: Any) -> str:
        if isinstance(condition, bool):
            return "true" if condition else "false"
        left, right = (self._word(operand) for operand in (condition.left, condition.right))
        then, otherwise = (self._is_bpf(b) for b in (condition.then, condition.otherwise))
        return f"(ite (= {left} {right}) {then} {otherwise})"

    def _word(self, operand: Any) -> str:
        if isinstance(operand, int):
            return f"(_ bv{operand} 32)"
        variable = self._source if operand.side == "source" else self._destination
        if self.schema.family is Family.IPV4:
            return variable
        high = self.width - 1 - 32 * operand.index
        return f"((_ extract {high} {high - 31}) {variable})"

    def _recent(self, condition: Condition, reached: str) -> str:
        _, operation, number, seconds, negated = condition
        before = self.recorded.get(number, "false")
        if self._moved != "false":
            # Another address's entry in the list: nothing is known of it.
            reached = conjunction([reached, negate(self._moved, True)])
        if operation == "set":
            self.recorded[number] = self._define("Bool", disjunction([before, reached]))
            return "false" if negated else "true"
        key = (number, seconds)
        if key not in self.recent:
            self.recent[key] = f"recent{number}_{'any' if seconds is None else seconds}"
            self._declare(self.recent[key], "Bool")
        known = disjunction([before, self.recent[key]])
        if self._moved != "false":
            known = f"(ite {self._moved} {self._free('other_recent')} {known})"
        if operation == "update":
            seen = conjunction([reached, known])
            self.recorded[number] = self._define("Bool", disjunction([before, seen]))
        return negate(known, negated)

    def _recent_axioms(self) -> None:
        by_list: dict[int, list[tuple[int, str]]] = {}
        for (number, seconds), name in self.recent.items():
            limit = 1 << 62 if seconds is None else seconds
            by_list.setdefault(number, []).append((limit, name))
        for entries in by_list.values():
            entries.sort()
            for (_, younger), (_, older) in pairwise(entries):
                self._assert(f"(=> {younger} {older})")

    def _distinct_numbers(self) -> None:
        # Values are numbered by value, so two numbers never stand for the same one.
        for letter in "HP":
            names = sorted(n for n in self.declared if re.fullmatch(letter + r"\d+", n))
            if len(names) > 1:
                self.distinct.append(f"(assert (distinct {' '.join(names)}))")
        for address, mask, inside in self.schema.facts:
            for number, hit in enumerate(inside):
                if f"H{number}" in self.declared:
                    self._assert(negate(self._masked(f"H{number}", address, mask), not hit))

    def _interface(self, variable: str, name: str) -> str:
        pattern = name.endswith("+")
        if variable == "none":
            return "true" if name == "+" else "false"
        if variable == "lo":
            hit = "lo".startswith(name[:-1]) if pattern else name == "lo"
            return "true" if hit else "false"
        if not pattern:
            number = self.interfaces.setdefault(name, len(self.interfaces))
            return f"(= {variable} (_ bv{number} 16))"
        if name == "+":
            return "true"
        key = (variable, name)
        if key not in self.patterns:
            self.patterns[key] = f"pattern{len(self.patterns)}"
            self._declare(self.patterns[key], "Bool")
        return self.patterns[key]

    def _interface_axioms(self) -> None:
        for (variable, pattern), name in self.patterns.items():
            for interface, number in self.interfaces.items():
                hit = name if interface.startswith(pattern[:-1]) else f"(not {name})"
                self._assert(f"(=> (= {variable} (_ bv{number} 16)) {hit})")
        for pattern in {pattern for _, pattern in self.patterns}:
            pair = [self.patterns.get((variable, pattern)) for variable in ("oif0", "oif1")]
            if None not in pair:
                self._assert(f"(=> (= oif0 oif1) (= {pair[0]} {pair[1]}))")

    # -- text --------------------------------------------------------------------------

    def _masked(self, variable: str, address: int, mask: int) -> str:
        if mask == (1 << self.width) - 1:
            return f"(= {variable} {self.address(address)})"
        return f"(= (bvand {variable} {self.address(mask)}) {self.address(address & mask)})"

    def _free(self, stem: str) -> str:
        name = f"{stem}{len(self.free)}"
        self.free.append(name)
        self._declare(name, "Bool")
        return name

    def _declare(self, name: str, sort: str) -> None:
        self.declared.add(name)
        self.lines.append(f"(declare-const {name} {sort})")

    def _define(self, sort: str, term: str) -> str:
        if not term.startswith("("):
            return term
        self._counter += 1
        name = f"t{self._counter}"
        self.lines.append(f"(declare-const {name} {sort})")
        self.lines.append(f"(assert (= {name} {term}))")
        return name

    def _assert(self, term: str) -> None:
        self.lines.append(f"(assert {term})")


def disjunction(terms: list[str]) -> str:
    """``or`` of the terms, simplified where that is obvious."""
    kept = [term for term in dict.fromkeys(terms) if term != "false"]
    if "true" in kept:
        return "true"
    if len(kept) < 2:
        return kept[0] if kept else "false"
    return f"(or {' '.join(kept)})"


def conjunction(terms: list[str]) -> str:
    """``and`` of the terms, simplified where that is obvious."""
    kept = [term for term in dict.fromkeys(terms) if term != "true"]
    if "false" in kept:
        return "false"
    if len(kept) < 2:
        return kept[0] if kept else "true"
    return f"(and {' '.join(kept)})"


def negate(term: str, negated: bool) -> str:
    if not negated:
        return term
    if term in ("true", "false"):
        return "false" if term == "true" else "true"
    return f"(not {term})"


def between(variable: str, first: int, last: int) -> str:
    """The term that a port lies in a range."""
    if first == last:
        return f"(= {variable} (_ bv{first} 16))"
    low = f"(bvule (_ bv{first} 16) {variable})"
    return f"(and {low} (bvule {variable} (_ bv{last} 16)))"


def tested_marks(schema: Schema) -> int:
    """The bits of the mark that some rule looks at, or an outcome."""
    bits = 0
    for case in schema.cases:
        for outcome in case.allowed:
            bits |= outcome[1] if outcome[0] == "doomed" else 0
    hooks = (*schema.rewriting, *schema.inward, *schema.onward, *schema.resent)
    pending = [item for hook in hooks for item in hook.items] + list(schema.balanced)
    while pending:
        item = pending.pop()
        pending.extend(item.body)
        for condition in item.conditions:
            if condition[0] == "mark":
                bits |= condition[2]
    return bits
