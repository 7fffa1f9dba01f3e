"""A schema as SMT-LIB: every packet, every mark, every random choice at once.

Each rule becomes one Boolean ("the packet is here and the rule fires"); a jump's body is
written out where the jump stands. Random choices are free Booleans here: shares are the
business of :mod:`svcc.verify.shares`. Text is written instead of terms built because the
solver reads text several times faster than Python builds terms.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from svcc.grammar.address import Family
from svcc.verify.records import Condition
from svcc.verify.schema import Hook, Schema, SchemaItem


class Encoding:
    """SMT-LIB declarations and assertions of one schema, and the names of what they define.

    After :meth:`run`: ``dnat`` has (fires, host, port) of every DNAT rule, ``dropped``,
    ``rejected``, ``passed``, ``masqueraded``, ``mark`` name terms, ``unknown_met`` has the
    terms that say that the packet met a match or target outside the model.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.width = schema.family.bits
        self.lines: list[str] = []
        self.dnat: list[tuple[str, int, int | None]] = []
        self.dnat_lists: list[list[int]] = []
        self.dnat_recorded: list[dict[int, str]] = []
        self.recorded: dict[int, str] = {}
        self.recent: dict[tuple[int, int | None], str] = {}
        self.unknown_met: list[str] = []
        self.fell_through: list[str] = []
        self.interfaces: dict[str, int] = {"lo": 0}
        self.free: list[str] = []
        self.dropped: list[str] = []
        self.rejected: list[str] = []
        self._masquerades: list[str] = []
        self._counter = 0
        self.patterns: dict[tuple[str, str], str] = {}
        self._untracked = "false"
        self._translated = "false"
        self._in_interface = ""
        self._out_interface = ""
        self._destination = "dst"
        self._port = "dport"
        self._local = "local"
        self._accepted: list[str] = []
        self._unchanged: set[int] = set()
        self._outer: set[int] = set()
        self.declared: set[str] = set()
        self.mark = "mark0"

    def run(self) -> None:
        """Write everything down."""
        schema = self.schema
        vector = f"(_ BitVec {self.width})"
        self._declare("src", vector)
        self._declare("dst", vector)
        for name in ("sport", "dport"):
            self._declare(name, "(_ BitVec 16)")
        self._declare("proto", "(_ BitVec 8)")
        self._declare("mark0", "(_ BitVec 32)")
        for name in ("iif", "oif0", "oif1"):
            self._declare(name, "Int")
        self._declare("local", "Bool")
        self._assume()
        self._in_interface = "none" if schema.from_node else "iif"
        self._out_interface = "oif0" if schema.from_node else "none"
        alive = self._hooks("true", schema.rewriting)
        self._after_translation()
        if schema.from_node:
            self._out_interface = "oif1"
            alive = self._hooks(alive, schema.onward)
            inside = self._define("Bool", f"(and {alive} {self._local})")
            outside = f"(and {alive} (not {self._local}))"
            self._in_interface, self._out_interface = "lo", "none"
            inside = self._hooks(inside, schema.inward)
        else:
            inside = self._define("Bool", f"(and {alive} {self._local})")
            outside = self._define("Bool", f"(and {alive} (not {self._local}))")
            self._out_interface = "none"
            inside = self._hooks(inside, schema.inward)
            self._out_interface = "oif1"
            outside = self._hooks(outside, schema.onward)
        self.passed = self._define("Bool", f"(or {inside} {outside})")
        self.masqueraded = disjunction(self._masquerades)
        self.is_dropped = disjunction(self.dropped)
        self.is_rejected = disjunction(self.rejected)
        # What comes in from a wire for the node itself never passes POSTROUTING.
        self.sent_out = "true" if schema.from_node else _negate(self._local, True)
        self._interface_axioms()
        self._recent_axioms()
        self._distinct_numbers()

    def text(self) -> str:
        """All of it as SMT-LIB."""
        return "\n".join(self.lines)

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

    def condition(self, parts: tuple[Condition, ...]) -> str:
        """A conjunction of conditions of an expectation's case, on the packet as it came."""
        saved = (self._destination, self._in_interface)
        self._destination = "dst"
        self._in_interface = "none" if self.schema.from_node else "iif"
        text = conjunction([self._one(part) for part in parts])
        self._destination, self._in_interface = saved
        return text

    def address(self, value: int) -> str:
        """A literal address."""
        return f"(_ bv{value} {self.width})"

    def define(self, sort: str, term: str) -> str:
        """A fresh name for a term."""
        return self._define(sort, term)

    # -- the packet and the world ------------------------------------------------------

    def _assume(self) -> None:
        schema = self.schema
        mark = schema.mark
        self._assert(f"(= (bvand mark0 (_ bv{mark} 32)) (_ bv{mark if schema.marked else 0} 32))")
        known_local = [self._masked("src", address, mask) for address, mask in schema.node_networks]
        if not schema.from_node:
            # The kernel drops what comes from outside with one of the node's own sources.
            self._assert(f"(not {disjunction(known_local)})")
            self._assert("(not (= iif 0))")
        if schema.fixed_destination:
            self._assert(f"(= dst {self.host(0)})")
        if schema.fixed_port:
            self._assert(f"(= dport {self.port(0)})")
        if schema.protocol is not None:
            self._assert(f"(= proto (_ bv{schema.protocol} 8))")
        if schema.local is not None:
            self._assert("local" if schema.local else "(not local)")
        if not schema.fixed_destination:
            destination_local = [
                self._masked("dst", address, mask) for address, mask in schema.node_networks
            ]
            self._assert(f"(=> {disjunction(destination_local)} local)")

    def _after_translation(self) -> None:
        """Name the packet's destination as it is behind the nat hook."""
        if not self.dnat:
            return
        destination, port, local = "dst", "dport", "local"
        changed = []
        for index, (fires, host, new_port) in enumerate(self.dnat):
            destination = f"(ite {fires} {self.host(host)} {destination})"
            if new_port is not None:
                port = f"(ite {fires} {self.port(new_port)} {port})"
            flag = f"backend_local{host}"
            if flag not in self.declared:
                self._declare(flag, "Bool")
            local = f"(ite {fires} {flag} {local})"
            if index not in self._unchanged:
                changed.append(fires)
        self._destination = self._define(f"(_ BitVec {self.width})", destination)
        self._port = self._define("(_ BitVec 16)", port)
        self._local = self._define("Bool", local)
        self._translated = disjunction(changed)

    # -- chains ------------------------------------------------------------------------

    def _hooks(self, alive: str, hooks: tuple[Hook, ...]) -> str:
        for hook in hooks:
            enter = alive
            if hook.table == "nat" and self._untracked != "false":
                enter = self._define("Bool", f"(and {alive} (not {self._untracked}))")
            self._accepted = []
            through = self._chain(hook.items, enter)
            self.fell_through.append(through)
            if hook.drops:
                self.dropped.append(through)
                through = "false"
            alive_parts = [through, *self._accepted]
            if enter != alive:
                alive_parts.append(f"(and {alive} {self._untracked})")
            alive = disjunction(alive_parts)
        return alive

    def _chain(self, items: tuple[SchemaItem, ...], enter: str) -> str:
        """Returns the term that says that the packet comes back from the chain."""
        here = enter
        back: list[str] = []
        outer, self._outer = self._outer, set(self.recorded)
        for item in items:
            fires, here = self._fire(item, here)
            kind = item.action[0]
            if kind == "jump":
                back_here = self._chain(item.body, fires)
                here = disjunction([here, back_here])
            elif kind == "goto":
                back.append(self._chain(item.body, fires))
            elif kind == "return":
                back.append(fires)
            elif kind in ("mark", "nothing", "notrack"):
                here = disjunction([here, fires])
                if kind == "mark":
                    self._set_mark(fires, item.action[1], item.action[2])
                elif kind == "notrack":
                    self._untracked = disjunction([self._untracked, fires])
            else:
                self._final(kind, fires, item)
            if here == "false":
                break
        self._outer = outer
        return disjunction([here, *back])

    def _fire(self, item: SchemaItem, here: str) -> tuple[str, str]:
        conditions: list[str] = []
        reached = here
        for condition in item.conditions:
            if condition[0] == "recent":
                term = self._recent(condition, conjunction([reached, *conditions]))
            else:
                term = self._one(condition)
            conditions.append(term)
        if any(c[0] == "unknown" for c in item.conditions):
            self._meet_unknown(item, conditions, reached)
        condition_term = conjunction(conditions)
        if condition_term == "true":
            return here, "false"
        fires = self._define("Bool", f"(and {here} {condition_term})")
        return fires, self._define("Bool", f"(and {here} (not {condition_term}))")

    def _meet_unknown(self, item: SchemaItem, terms: list[str], reached: str) -> None:
        known = [t for t, c in zip(terms, item.conditions, strict=True) if c[0] != "unknown"]
        self.unknown_met.append(self._define("Bool", conjunction([reached, *known])))

    def _final(self, kind: str, fires: str, item: SchemaItem) -> None:
        if kind == "accept":
            self._accepted.append(fires)
        elif kind == "drop":
            self.dropped.append(fires)
        elif kind == "reject":
            self.rejected.append(fires)
        elif kind == "masquerade":
            self._masquerades.append(fires)
            self._accepted.append(fires)
        elif kind == "dnat":
            _, host, port, same = item.action
            if same:
                self._unchanged.add(len(self.dnat))
            own = [c[2] for c in item.conditions if c[0] == "recent" and c[1] != "rcheck"]
            self.dnat_lists.append(own or [n for n in self.recorded if n not in self._outer])
            self.dnat_recorded.append(dict(self.recorded))
            self.dnat.append((fires, host, port))
            self._accepted.append(fires)
        else:
            self.unknown_met.append(fires)

    def _set_mark(self, fires: str, value: int, mask: int) -> None:
        changed = f"(bvxor (bvand {self.mark} (_ bv{~mask & 0xFFFFFFFF} 32)) (_ bv{value} 32))"
        self.mark = self._define("(_ BitVec 32)", f"(ite {fires} {changed} {self.mark})")

    # -- conditions --------------------------------------------------------------------

    def _one(self, condition: Condition) -> str:
        kind, *rest = condition
        if kind == "any":
            parts, negated = rest
            return _negate(disjunction([self._one(part) for part in parts]), negated)
        method = getattr(self, f"_is_{kind}")
        term: str = method(*rest)
        return term

    def _is_src(self, address: int, mask: int, negated: bool) -> str:
        return _negate(self._masked("src", address, mask), negated)

    def _is_dst(self, address: int, mask: int, negated: bool) -> str:
        return _negate(self._masked(self._destination, address, mask), negated)

    def _is_odst(self, address: int, mask: int, negated: bool) -> str:
        return _negate(self._masked("dst", address, mask), negated)

    def _is_src_host(self, number: int, negated: bool) -> str:
        return _negate(f"(= src {self.host(number)})", negated)

    def _is_dst_host(self, number: int, negated: bool) -> str:
        return _negate(f"(= {self._destination} {self.host(number)})", negated)

    def _is_odst_host(self, number: int, negated: bool) -> str:
        return _negate(f"(= dst {self.host(number)})", negated)

    def _is_proto(self, number: int, negated: bool) -> str:
        return _negate(f"(= proto (_ bv{number} 8))", negated)

    def _is_sport(self, first: int, last: int, negated: bool) -> str:
        return _negate(_between("sport", first, last), negated)

    def _is_dport(self, first: int, last: int, negated: bool) -> str:
        return _negate(_between(self._port, first, last), negated)

    def _is_odport(self, first: int, last: int, negated: bool) -> str:
        return _negate(_between("dport", first, last), negated)

    def _is_dport_number(self, number: int, negated: bool) -> str:
        return _negate(f"(= {self._port} {self.port(number)})", negated)

    def _is_odport_number(self, number: int, negated: bool) -> str:
        return _negate(f"(= dport {self.port(number)})", negated)

    def _is_sports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> str:
        return _negate(disjunction([_between("sport", *r) for r in ranges]), negated)

    def _is_dports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> str:
        return _negate(disjunction([_between(self._port, *r) for r in ranges]), negated)

    def _is_ports(self, ranges: tuple[tuple[int, int], ...], negated: bool) -> str:
        either = [_between(port, *r) for r in ranges for port in ("sport", self._port)]
        return _negate(disjunction(either), negated)

    def _is_node(self, negated: bool) -> str:
        return _negate("true" if self.schema.from_node else "false", negated)

    def _is_srclocal(self, negated: bool) -> str:
        return self._is_node(negated)

    def _is_dstlocal(self, negated: bool) -> str:
        return _negate(self._local, negated)

    def _is_iif(self, name: str, negated: bool) -> str:
        return _negate(self._interface(self._in_interface, name), negated)

    def _is_oif(self, name: str, negated: bool) -> str:
        if self._out_interface == "none":
            return _negate(self._interface("none", name), negated)
        if name == "lo":
            return _negate(self._local, negated)
        leaves = f"(not {self._local})"
        term = conjunction([leaves, self._interface(self._out_interface, name)])
        return _negate(term, negated)

    def _is_mark(self, value: int, mask: int, negated: bool) -> str:
        return _negate(f"(= (bvand {self.mark} (_ bv{mask} 32)) (_ bv{value} 32))", negated)

    def _is_state(self, states: tuple[str, ...], negated: bool) -> str:
        tracked = "true" if self.schema.state in states else "false"
        if tracked == "false":
            parts = []
            if "DNAT" in states:
                parts.append(self._translated)
            if "SNAT" in states:
                parts.append(disjunction(self._masquerades))
            tracked = disjunction(parts)
        if self._untracked == "false":
            return _negate(tracked, negated)
        untracked = "true" if "UNTRACKED" in states else "false"
        return _negate(f"(ite {self._untracked} {untracked} {tracked})", negated)

    def _is_never(self) -> str:
        return "false"

    def _is_random(self, threshold: int) -> str:
        return self._free("random")

    def _is_unknown(self, *what: Any) -> str:
        negated = len(what) > 1 and bool(what[1])
        return _negate(self._free("unknown"), negated)

    def _is_bpf(self, condition: Any) -> str:
        if isinstance(condition, bool):
            return "true" if condition else "false"
        left, right = (self._word(operand) for operand in (condition.left, condition.right))
        then, otherwise = (self._is_bpf(b) for b in (condition.then, condition.otherwise))
        return f"(ite (= {left} {right}) {then} {otherwise})"

    def _word(self, operand: Any) -> str:
        if isinstance(operand, int):
            return f"(_ bv{operand} 32)"
        variable = "src" if operand.side == "source" else self._destination
        if self.schema.family is Family.IPV4:
            return variable
        high = self.width - 1 - 32 * operand.index
        return f"((_ extract {high} {high - 31}) {variable})"

    def _recent(self, condition: Condition, reached: str) -> str:
        _, operation, number, seconds, negated = condition
        before = self.recorded.get(number, "false")
        if operation == "set":
            self.recorded[number] = self._define("Bool", disjunction([before, reached]))
            return "false" if negated else "true"
        key = (number, seconds)
        if key not in self.recent:
            self.recent[key] = f"recent{number}_{'any' if seconds is None else seconds}"
            self._declare(self.recent[key], "Bool")
        known = disjunction([before, self.recent[key]])
        if operation == "update":
            seen = conjunction([reached, known])
            self.recorded[number] = self._define("Bool", disjunction([before, seen]))
        return _negate(known, negated)

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
                self._assert(f"(distinct {' '.join(names)})")

    def _interface(self, variable: str, name: str) -> str:
        pattern = name.endswith("+")
        if variable == "none":
            return "true" if name == "+" else "false"
        if variable == "lo":
            hit = "lo".startswith(name[:-1]) if pattern else name == "lo"
            return "true" if hit else "false"
        if not pattern:
            number = self.interfaces.setdefault(name, len(self.interfaces))
            return f"(= {variable} {number})"
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
                self._assert(f"(=> (= {variable} {number}) {hit})")

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


def _negate(term: str, negated: bool) -> str:
    if not negated:
        return term
    if term in ("true", "false"):
        return "false" if term == "true" else "true"
    return f"(not {term})"


def _between(variable: str, first: int, last: int) -> str:
    if first == last:
        return f"(= {variable} (_ bv{first} 16))"
    low = f"(bvule (_ bv{first} 16) {variable})"
    return f"(and {low} (bvule {variable} (_ bv{last} 16)))"
