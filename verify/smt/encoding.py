"""A schema as SMT-LIB: every packet, every mark, every random choice at once.

Each rule becomes one Boolean ("the packet is here and the rule fires"); a jump's body is
written out where the jump stands. Random choices are free Booleans here: shares are the
business of :mod:`svcc.verify.smt.shares`. Text is written instead of terms built because the
solver reads text several times faster than Python builds terms.
"""

from __future__ import annotations

from svcc.grammar.address import Family
from svcc.verify.model.rules import Condition
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.schema import Hook, Schema, SchemaItem
from svcc.verify.smt.terms import Terms, between, conjunction, disjunction, negate

_ENDS_HERE = frozenset({"dnat", "accept", "drop", "reject"})


class Encoding(Terms):
    """SMT-LIB declarations and assertions of one schema, and the names of what they define.

    After :meth:`run`: ``dnat`` has (fires, host, port) of every DNAT rule, ``dropped``,
    ``rejected``, ``passed``, ``masqueraded``, ``mark`` name terms, ``unknown_met`` has the
    terms that say that the packet met a match or target outside the model.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        self.dnat: list[tuple[str, int, int | None]] = []
        self.dnat_lists: list[list[int]] = []
        self.dnat_recorded: list[dict[int, str]] = []
        self.persistence: dict[int, int | None] = {}
        """Seconds that IPVS remembers a client's real server, by the place in ``dnat``."""
        self.lingering: set[int] = set()
        """Lists in which a rule records clients that go on to other rules."""
        self.unknown_met: list[str] = []
        self.clients: list[str] = []
        """Variables for the backend that a client is bound to."""
        self.excused: list[str] = []
        """Terms that say that a rule that is not the service proxy's ended the packet."""
        self.by_others: list[str] = []
        """Terms that say that another tool rewrote the source, which counts for nothing."""
        self.let_past: list[str] = []
        """Terms that say that another tool accepted the packet, whatever follows."""
        self.fell_through: list[str] = []
        self.dropped: list[str] = []
        self.rejected: list[str] = []
        self._accepted: list[str] = []
        self._balanced: list[tuple[str, int, int | None, int | None]] = []
        self._outer: set[int] = set()
        self._rewrites: list[tuple[str, str | int, str | int]] = []
        """(fires, address, port) of every rule that rewrites the source."""

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
            self._declare(name, "(_ BitVec 16)")
        self._declare("local", "Bool")
        self._assume()
        self._in_interface = "none" if schema.from_node else "iif"
        self._out_interface = "oif0" if schema.from_node else "none"
        alive = self._hooks("true", schema.rewriting)
        self._after_translation()
        if schema.from_node:
            self.passed = self._from_node(alive)
        else:
            self.passed = self._from_wire(alive)
        self.masqueraded = disjunction(self._masquerades)
        self.is_dropped = disjunction(self.dropped)
        self.is_rejected = disjunction(self.rejected)
        # What comes in from a wire for the node itself never passes POSTROUTING.
        self.sent_out = "true" if schema.from_node else negate(self._local, True)
        self.stays_here = self._local
        self._interface_axioms()
        self._recent_axioms()
        self._distinct_numbers()

    def _from_node(self, alive: str) -> str:
        """The way of a packet of the node's own behind the nat hook."""
        schema = self.schema
        output = tuple(hook for hook in schema.onward if hook.chain == "OUTPUT")
        last = tuple(hook for hook in schema.onward if hook.chain != "OUTPUT")
        alive = self._balance(alive)
        served = "false"
        if self._sent_on != "false":
            served = self._define("Bool", f"(and {alive} {self._sent_on})")
            alive = self._define("Bool", f"(and {alive} (not {self._sent_on}))")
        # Without another destination there is no other route.
        self._assert(f"(=> (= dst {self._destination}) (= oif0 oif1))")
        # All hooks of OUTPUT see the interface that was chosen before the first (nf_hook_slow);
        # what IPVS sends on enters them anew.
        self._routed_local = "local"
        alive = self._hooks(alive, output)
        self._routed_local, self._out_interface = None, "oif1"
        if served != "false":
            served = self._hooks(served, schema.resent)
            alive = disjunction([alive, self._hooks(served, output)])
        alive = self._hooks(alive, last)
        inside = self._define("Bool", f"(and {alive} {self._local})")
        outside = f"(and {alive} (not {self._local}))"
        self._in_interface, self._out_interface = "lo", "none"
        self._looped = True
        self._rewrite_source()
        inside = self._hooks(inside, schema.inward)
        return self._define("Bool", f"(or {inside} {outside})")

    def _from_wire(self, alive: str) -> str:
        """The way of a packet from a wire behind the nat hook."""
        schema = self.schema
        inside = self._define("Bool", f"(and {alive} {self._local})")
        outside = self._define("Bool", f"(and {alive} (not {self._local}))")
        self._out_interface = "none"
        if not schema.balanced:
            inside = self._hooks(inside, schema.inward)
            self._out_interface = "oif1"
            outside = self._hooks(outside, schema.onward)
            return self._define("Bool", f"(or {inside} {outside})")
        inside = self._hooks(inside, tuple(h for h in schema.inward if h.table != "nat"))
        inside = self._balance(inside)
        sent = conjunction([inside, self._sent_on, negate(self._local, True)])
        sent = self._define("Bool", sent)
        here = conjunction(
            [inside, negate(conjunction([self._sent_on, negate(self._local, True)]), True)]
        )
        here = self._hooks(
            self._define("Bool", here), tuple(h for h in schema.inward if h.table == "nat")
        )
        self._out_interface = "oif1"
        saved, self._in_interface = self._in_interface, "none"
        sent = self._hooks(sent, schema.resent)
        self._in_interface = saved
        onward = tuple(h for h in schema.onward if h.chain != "POSTROUTING")
        leaves = disjunction([self._hooks(outside, onward), sent])
        last = tuple(h for h in schema.onward if h.chain == "POSTROUTING")
        leaves = self._hooks(leaves, last)
        return self._define("Bool", disjunction([here, leaves]))

    def _balance(self, alive: str) -> str:
        """Let IPVS choose: afterwards the packet's destination is the real server's."""
        if not self.schema.balanced:
            return alive
        through = self._chain(self.schema.balanced, alive)
        chosen = self._balanced
        self._sent_on = self._define("Bool", disjunction([fires for fires, *_ in chosen]))
        stays = negate(self._sent_on, True)
        self.dnat = [(conjunction([fires, stays]), h, p) for fires, h, p in self.dnat]
        destination, port, local = self._destination, self._port, self._local
        self._virtual_destination, self._virtual_port = destination, port
        for fires, host, new_port, timeout in chosen:
            destination = f"(ite {fires} {self.host(host)} {destination})"
            if new_port is not None:
                port = f"(ite {fires} {self.port(new_port)} {port})"
            local = f"(ite {fires} {self._local_flag(host)} {local})"
            self.dnat.append((fires, host, new_port))
            self.dnat_lists.append([])
            self.dnat_recorded.append({})
            self.persistence[len(self.dnat) - 1] = timeout
        self._destination = self._define(f"(_ BitVec {self.width})", destination)
        self._port = self._define("(_ BitVec 16)", port)
        self._local = self._define("Bool", local)
        return disjunction([through, self._sent_on])

    def _local_flag(self, host: int) -> str:
        """The term that a numbered host is the node's own."""
        if host in self.schema.local_hosts:
            return "true"
        if self.schema.fixed_destination and host == 0:
            return "local"
        flag = f"backend_local{host}"
        if flag not in self.declared:
            self._declare(flag, "Bool")
            if not self.schema.fixed_destination:
                self._assert(f"(=> (= dst {self.host(host)}) (= {flag} local))")
        return flag

    def text(self) -> str:
        """All of it as SMT-LIB."""
        return "\n".join(self.lines)

    def sent_to(self, box: Box) -> str:
        """The term that the packet is in a box, with its destination as it is in the end."""
        parts = [self._masked(self._destination, box.address, box.mask)] if box.mask else []
        if box.protocol is not None:
            parts.append(f"(= proto (_ bv{box.protocol} 8))")
        if (box.first_port, box.last_port) != (0, 65535):
            parts.append(between(self._port, box.first_port, box.last_port))
        if box.local is not None:
            parts.append(negate(self._local, not box.local))
        return conjunction(parts)

    def condition(self, parts: tuple[Condition, ...]) -> str:
        """A conjunction of conditions of an expectation's case, on the packet as it came."""
        saved = (self._destination, self._in_interface, self._source)
        self._destination, self._source = "dst", "src"
        self._in_interface = "none" if self.schema.from_node else "iif"
        before = (len(self.interfaces), len(self.patterns))
        text = conjunction([self._one(part) for part in parts])
        if before != (len(self.interfaces), len(self.patterns)):
            self._interface_axioms()
        self._destination, self._in_interface, self._source = saved
        return text

    # -- the packet and the world ------------------------------------------------------

    def _assume(self) -> None:
        schema = self.schema
        mark = schema.mark
        self._assert(f"(= (bvand mark0 (_ bv{mark} 32)) (_ bv{mark if schema.marked else 0} 32))")
        if schema.balanced and schema.from_node:
            # IPVS drops what is sent on from loopback (ip_vs_xmit.c).
            loopback = schema.node_networks[0]
            inside = self._masked("dst", *loopback)
            self._assert(f"(=> {self._masked('src', *loopback)} {inside})")
        for value, mask in schema.foreign_marks:
            self._assert(f"(not (= (bvand mark0 (_ bv{mask} 32)) (_ bv{value} 32)))")
        known_local = [self._masked("src", address, mask) for address, mask in schema.node_networks]
        if not schema.from_node:
            # netfilter/routing.py: IPv4 drops it, of IPv6 it is an assumption.
            known_local += [f"(= src {self.host(number)})" for number in schema.local_hosts]
            self._assert(f"(not {disjunction(known_local)})")
            self._assert("(not (= iif (_ bv0 16)))")
            if not (schema.fixed_destination or schema.fixed_port):
                # What goes to its own sender does not leave it.
                self._assert("(not (= src dst))")
        else:
            self._assert("(=> (= src dst) local)")
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
        for fires, host, new_port in self.dnat:
            changed.append(self._changes(fires, host, new_port))
            destination = f"(ite {fires} {self.host(host)} {destination})"
            if new_port is not None:
                port = f"(ite {fires} {self.port(new_port)} {port})"
            local = f"(ite {fires} {self._local_flag(host)} {local})"
        self._destination = self._define(f"(_ BitVec {self.width})", destination)
        self._port = self._define("(_ BitVec 16)", port)
        self._local = self._define("Bool", local)
        self._translated = disjunction(changed)

    def _changes(self, fires: str, host: int, port: int | None) -> str:
        """The DNAT rule fires and sends the packet elsewhere than it went anyway.

        Only then does the kernel set IPS_DST_NAT (net/netfilter/nf_nat_core.c,
        nf_nat_setup_info).
        """
        schema = self.schema
        if port is not None and schema.fixed_port and port != 0:
            return fires
        if schema.fixed_destination and host != 0:
            return fires
        same = [f"(= dst {self.host(host)})"]
        if port is not None:
            same.append(f"(= dport {self.port(port)})")
        return conjunction([fires, negate(conjunction(same), True)])

    def _rewrite_source(self) -> None:
        """Name the packet's source as it is when it comes in on loopback."""
        source, port, local, any_port = "src", "sport", self._source_local, ""
        for fires, address, new_port in self._rewrites:
            if isinstance(address, int):
                new, at = self.address(address), f"own_at_{address}"
                if not any(address & mask == n for n, mask in self.schema.node_networks):
                    if at not in self.declared:
                        self._declare(at, "Bool")
                    local = f"(ite {fires} {at} {local})"
            else:
                new = f"{address}_source"
                if new not in self.declared:
                    self._declare(new, f"(_ BitVec {self.width})")
                    if address == "own":
                        loopback = self.schema.node_networks[0]
                        self._assert(f"(=> {self._masked(new, *loopback)} {self._loops()})")
            source = f"(ite {fires} {new} {source})"
            if isinstance(new_port, int):
                port = f"(ite {fires} (_ bv{new_port} 16) {port})"
            elif new_port == "any":
                any_port = "any_port"
                port = f"(ite {fires} {any_port} {port})"
        if source == "src":
            return
        if any_port:
            self._declare(any_port, "(_ BitVec 16)")
            self._assert(f"(not (= {any_port} sport))")
        self._source = self._define(f"(_ BitVec {self.width})", source)
        self._source_port = self._define("(_ BitVec 16)", port)
        self._source_local = self._define("Bool", local)
        self._moved = self._define("Bool", f"(not (= {self._source} src))")
        same_port = f"(= {self._source_port} sport)"
        self._new_source = self._define("Bool", f"(not (and (not {self._moved}) {same_port}))")

    def _loops(self) -> str:
        """MASQUERADE may choose loopback: IPv4 never does (inet_select_addr), IPv6 on the way to
        ::1 (RFC 6724, rule 1)."""
        if self.schema.family is Family.IPV4:
            return "false"
        return self._masked(self._destination, *self.schema.node_networks[0])

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
            fires, rest = self._fire(item, here)
            kind = item.action[0]
            if kind == "jump":
                back_here = self._chain(item.body, fires)
                if back_here != fires:
                    here = disjunction([self._define("Bool", rest), back_here])
            elif kind in ("mark", "nothing", "notrack"):
                if kind == "mark":
                    self._set_mark(fires, item.action[1], item.action[2])
                elif kind == "notrack" and not self._looped:
                    # xt_CT.c: what has a connection keeps it.
                    self._untracked = disjunction([self._untracked, fires])
            else:
                here = self._define("Bool", rest)
                if kind == "goto":
                    back.append(self._chain(item.body, fires))
                elif kind == "return":
                    back.append(fires)
                else:
                    self._final(kind, fires, item)
            if here == "false":
                break
        self._outer = outer
        return disjunction([here, *back])

    def _fire(self, item: SchemaItem, here: str) -> tuple[str, str]:
        """The terms that the packet is here and the rule fires, or that it does not."""
        conditions: list[str] = []
        reached = here
        for place, condition in enumerate(item.conditions):
            if condition[0] == "recent":
                term = self._recent(condition, conjunction([reached, *conditions]))
                if condition[1] != "rcheck" and not (
                    place == len(item.conditions) - 1 and item.action[0] in _ENDS_HERE
                ):
                    self.lingering.add(condition[2])
            else:
                term = self._one(condition)
            conditions.append(term)
        if any(c[0] == "unknown" for c in item.conditions):
            self._meet_unknown(item, conditions, reached)
        condition_term = conjunction(conditions)
        if condition_term == "true":
            return here, "false"
        fires = self._define("Bool", conjunction([here, condition_term]))
        return fires, conjunction([here, negate(condition_term, True)])

    def _meet_unknown(self, item: SchemaItem, terms: list[str], reached: str) -> None:
        known = [t for t, c in zip(terms, item.conditions, strict=True) if c[0] != "unknown"]
        self.unknown_met.append(self._define("Bool", conjunction([reached, *known])))

    def _final(self, kind: str, fires: str, item: SchemaItem) -> None:
        if kind == "accept":
            self._accepted.append(fires)
            if len(item.action) > 1:
                self.let_past.append(fires)
        elif kind == "drop":
            self.dropped.append(fires)
        elif kind == "reject":
            self.rejected.append(fires)
        elif kind == "excused":
            self.excused.append(fires)
        elif kind == "masquerade":
            self._masquerades.append(fires)
            self._rewrites.append((fires, *item.action[1:3]))
            if len(item.action) > 3:
                self.by_others.append(fires)
                if self.schema.from_node:
                    # It comes in with another source than the service rules gave it.
                    self.excused.append(conjunction([fires, self._local]))
            self._accepted.append(fires)
        elif kind == "dnat":
            _, host, port = item.action
            own = [c[2] for c in item.conditions if c[0] == "recent" and c[1] != "rcheck"]
            self.dnat_lists.append(own or [n for n in self.recorded if n not in self._outer])
            self.dnat_recorded.append(dict(self.recorded))
            self.dnat.append((fires, host, port))
            self._accepted.append(fires)
        elif kind == "balance":
            _, choices, timeout = item.action
            pick = f"pick{len(self._balanced)}"
            self._declare(pick, "(_ BitVec 16)")
            last = len(choices) - 1
            for number, (host, port, _) in enumerate(choices):
                one = f"(_ bv{number} 16)"
                which = f"(= {pick} {one})" if number < last else f"(bvuge {pick} {one})"
                chosen = fires if not last else self._define("Bool", f"(and {fires} {which})")
                self._balanced.append((chosen, host, port, timeout))
        else:
            self.unknown_met.append(fires)
