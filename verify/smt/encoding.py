"""A schema as SMT-LIB: every packet, every mark, every random choice at once.

Each rule becomes one Boolean ("the packet is here and the rule fires"); a jump's body is
written out where the jump stands. Random choices are free Booleans here: shares are the
business of :mod:`svcc.verify.smt.shares`. Z3 is given the script as text, which it reads several
times faster than Python builds terms through its interface.
"""

from __future__ import annotations

from typing import assert_never

from svcc.grammar.iptables.ruleset import place_of
from svcc.verify.model.actions import (
    Accept,
    Continue,
    Drop,
    Excused,
    Masquerade,
    Notrack,
    Reject,
    Return,
    SetMark,
    UnknownTarget,
)
from svcc.verify.model.conditions import Unknown
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.schema import Hook, Schema, SchemaItem
from svcc.verify.slicing.schema_conditions import (
    InlinedGoto,
    InlinedJump,
    NumberedBalance,
    NumberedDnat,
    NumberedRecent,
    SchemaPredicate,
)
from svcc.verify.smt.packet_variables import MARK
from svcc.verify.smt.source_rewriting import SourceRewriting
from svcc.verify.smt.term import (
    BOOL,
    FALSE,
    TRUE,
    Term,
    between,
    bit_vector,
    bits,
    bvand,
    bvuge,
    conjunction,
    disjunction,
    equal,
    has_value,
    implies,
    in_network,
    ite,
    negate,
)

PICK = bit_vector(16)
"""Which of its real servers IPVS chooses."""


class Encoding(SourceRewriting):
    """The script of one schema, and the names of what it defines.

    After :meth:`run`: ``dnat`` has (fires, host, port) of every DNAT rule, ``dropped``,
    ``rejected``, ``passed``, ``masqueraded``, ``mark`` name terms, ``unknown_met`` has the
    terms that say that the packet met a match or target outside the model.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__(schema)
        self.dnat: list[tuple[Term, int, int | None]] = []
        self.dnat_lists: list[list[int]] = []
        self.dnat_recorded: list[dict[int, Term]] = []
        self.persistence: dict[int, int | None] = {}
        """Seconds that IPVS remembers a client's real server, by the place in ``dnat``."""
        self.lingering: set[int] = set()
        """Lists in which a rule records clients that go on to other rules."""
        self.unknown_met: list[Term] = []
        self.clients: list[Term] = []
        """Variables for the backend that a client is bound to."""
        self.excused: list[Term] = []
        """Terms that say that a rule that is not the service proxy's ended the packet."""
        self.by_others: list[Term] = []
        """Terms that say that another tool rewrote the source, which counts for nothing."""
        self.let_past: list[Term] = []
        """Terms that say that another tool accepted the packet, whatever follows."""
        self.fell_through: list[Term] = []
        self.dropped: list[Term] = []
        self.rejected: list[Term] = []
        self._accepted: list[Term] = []
        self._balanced: list[tuple[Term, int, int | None, int | None]] = []
        self._outer: set[int] = set()
        self._here: set[int] = set()
        """Lists that rules of the chain record clients in, whoever has done so before."""
        self._left: set[int] = set()
        """The same of the chain that was written out last."""

    def run(self) -> None:
        """Write everything down."""
        schema, packet = self.schema, self.packet
        for constant in packet:
            self._declare(constant.symbol, constant.sort)
        self._assume()
        self._in_interface = "none" if schema.from_node else "iif"
        self._out_interface = "oif0" if schema.from_node else "none"
        alive = self._hooks(TRUE, schema.rewriting)
        self._after_translation()
        if schema.from_node:
            self.passed = self._from_node(alive)
        else:
            self.passed = self._from_wire(alive)
        self.masqueraded = disjunction(self._masquerades)
        self.is_dropped = disjunction(self.dropped)
        self.is_rejected = disjunction(self.rejected)
        # What comes in from a wire for the node itself never passes POSTROUTING.
        self.sent_out = TRUE if schema.from_node else negate(self._local)
        self.stays_here = self._local
        self._interface_axioms()
        self._recent_axioms()
        self._distinct_numbers()

    def _from_node(self, alive: Term) -> Term:
        """The way of a packet of the node's own behind the nat hook."""
        schema = self.schema
        output = tuple(hook for hook in schema.onward if hook.chain == "OUTPUT")
        last = tuple(hook for hook in schema.onward if hook.chain != "OUTPUT")
        alive = self._balance(alive)
        served = FALSE
        if self._sent_on is not FALSE:
            served = self.define(conjunction([alive, self._sent_on]))
            alive = self.define(conjunction([alive, negate(self._sent_on)]))
        # Without another destination there is no other route.
        packet = self.packet
        same_way = equal(packet.oif0, packet.oif1)
        self._assert(implies(equal(packet.dst, self._destination), same_way))
        # All hooks of OUTPUT see the interface that was chosen before the first (nf_hook_slow);
        # what IPVS sends on enters them anew.
        self._routed_local = packet.local
        alive = self._hooks(alive, output)
        self._routed_local, self._out_interface = None, "oif1"
        if served is not FALSE:
            served = self._hooks(served, schema.resent)
            alive = disjunction([alive, self._hooks(served, output)])
        alive = self._hooks(alive, last)
        inside = self.define(conjunction([alive, self._local]))
        outside = conjunction([alive, negate(self._local)])
        self._in_interface, self._out_interface = "lo", "none"
        self._looped = True
        self._rewrite_source()
        inside = self._hooks(inside, schema.inward)
        return self.define(disjunction([inside, outside]))

    def _from_wire(self, alive: Term) -> Term:
        """The way of a packet from a wire behind the nat hook."""
        schema = self.schema
        inside = self.define(conjunction([alive, self._local]))
        outside = self.define(conjunction([alive, negate(self._local)]))
        self._out_interface = "none"
        if not schema.balanced:
            inside = self._hooks(inside, schema.inward)
            self._out_interface = "oif1"
            outside = self._hooks(outside, schema.onward)
            return self.define(disjunction([inside, outside]))
        inside = self._hooks(inside, tuple(h for h in schema.inward if place_of(h.table) != "nat"))
        inside = self._balance(inside)
        leaves = negate(self._local)
        sent = self.define(conjunction([inside, self._sent_on, leaves]))
        here = self.define(conjunction([inside, negate(conjunction([self._sent_on, leaves]))]))
        here = self._hooks(here, tuple(h for h in schema.inward if place_of(h.table) == "nat"))
        self._out_interface = "oif1"
        saved, self._in_interface = self._in_interface, "none"
        sent = self._hooks(sent, schema.resent)
        self._in_interface = saved
        onward = tuple(h for h in schema.onward if h.chain != "POSTROUTING")
        outside = disjunction([self._hooks(outside, onward), sent])
        last = tuple(h for h in schema.onward if h.chain == "POSTROUTING")
        outside = self._hooks(outside, last)
        return self.define(disjunction([here, outside]))

    def _balance(self, alive: Term) -> Term:
        """Let IPVS choose: afterwards the packet's destination is the real server's."""
        if not self.schema.balanced:
            return alive
        through = self._chain(self.schema.balanced, alive)
        chosen = self._balanced
        self._sent_on = self.define(disjunction([fires for fires, *_ in chosen]))
        stays = negate(self._sent_on)
        self.dnat = [(conjunction([fires, stays]), h, p) for fires, h, p in self.dnat]
        destination, port, local = self._destination, self._port, self._local
        self._virtual_destination, self._virtual_port = destination, port
        for fires, host, new_port, timeout in chosen:
            destination = ite(fires, self.host(host), destination)
            if new_port is not None:
                port = ite(fires, self.port(new_port), port)
            local = ite(fires, self._local_flag(host), local)
            self.dnat.append((fires, host, new_port))
            self.dnat_lists.append([])
            self.dnat_recorded.append({})
            self.persistence[len(self.dnat) - 1] = timeout
        self._destination = self.define(destination)
        self._port = self.define(port)
        self._local = self.define(local)
        return disjunction([through, self._sent_on])

    def _local_flag(self, host: int) -> Term:
        """The term that a numbered host is the node's own."""
        if host in self.schema.local_hosts:
            return TRUE
        if self.schema.fixed_destination and host == 0:
            return self.packet.local
        symbol = f"backend_local{host}"
        known = self.declared.get(symbol)
        if known is None:
            known = self._declare(symbol, BOOL)
            if not self.schema.fixed_destination:
                there = equal(self.packet.dst, self.host(host))
                self._assert(implies(there, equal(known, self.packet.local)))
        return known

    def sent_to(self, box: Box) -> Term:
        """The term that the packet is in a box, with its destination as it is in the end."""
        parts = [in_network(self._destination, box.address, box.mask)] if box.mask else []
        if box.protocol is not None:
            parts.append(has_value(self.packet.proto, box.protocol))
        if (box.first_port, box.last_port) != (0, 65535):
            parts.append(between(self._port, box.first_port, box.last_port))
        if box.local is not None:
            parts.append(negate(self._local, not box.local))
        return conjunction(parts)

    def condition(self, parts: tuple[SchemaPredicate, ...]) -> Term:
        """A conjunction of conditions of an expectation's case, on the packet as it came."""
        saved = (self._destination, self._in_interface, self._source)
        self._destination, self._source = self.packet.dst, self.packet.src
        self._in_interface = "none" if self.schema.from_node else "iif"
        before = (len(self.interfaces), len(self.patterns))
        term = conjunction([self._one(part) for part in parts])
        if before != (len(self.interfaces), len(self.patterns)):
            self._interface_axioms()
        self._destination, self._in_interface, self._source = saved
        return term

    # -- the packet and the world ------------------------------------------------------

    def _assume(self) -> None:
        schema, packet = self.schema, self.packet
        self._arrives_with(schema.mark if schema.marked else 0, schema.mark)
        if schema.balanced and schema.from_node:
            # IPVS drops what is sent on from loopback (ip_vs_xmit.c).
            loopback = schema.node_networks[0]
            inside = in_network(packet.dst, *loopback)
            self._assert(implies(in_network(packet.src, *loopback), inside))
        for value, mask in schema.foreign_marks:
            self._arrives_with(value, mask, negated=True)
        known_local = [in_network(packet.src, *network) for network in schema.node_networks]
        if not schema.from_node:
            # netfilter/routing.py: IPv4 drops it, of IPv6 it is an assumption.
            known_local += [equal(packet.src, self.host(number)) for number in schema.local_hosts]
            self._assert(negate(disjunction(known_local)))
            self._assert(negate(self._numbered("iif", 0)))
            if not (schema.fixed_destination or schema.fixed_port):
                # What goes to its own sender does not leave it.
                self._assert(negate(equal(packet.src, packet.dst)))
        else:
            self._assert(implies(equal(packet.src, packet.dst), packet.local))
        if schema.fixed_destination:
            self._assert(equal(packet.dst, self.host(0)))
        if schema.fixed_port:
            self._assert(equal(packet.dport, self.port(0)))
        if schema.protocol is not None:
            self._assert(has_value(packet.proto, schema.protocol))
        if schema.local is not None:
            self._assert(negate(packet.local, not schema.local))
        if not schema.fixed_destination:
            to_the_node = [in_network(packet.dst, *network) for network in schema.node_networks]
            self._assert(implies(disjunction(to_the_node), packet.local))

    def _arrives_with(self, value: int, mask: int, *, negated: bool = False) -> None:
        masked = bvand(self.packet.mark0, bits(mask, MARK.width))
        self._assert(negate(has_value(masked, value), negated))

    def _after_translation(self) -> None:
        """Name the packet's destination as it is behind the nat hook."""
        if not self.dnat:
            return
        destination, port, local = self.packet.dst, self.packet.dport, self.packet.local
        changed = []
        for fires, host, new_port in self.dnat:
            changed.append(self._changes(fires, host, new_port))
            destination = ite(fires, self.host(host), destination)
            if new_port is not None:
                port = ite(fires, self.port(new_port), port)
            local = ite(fires, self._local_flag(host), local)
        self._destination = self.define(destination)
        self._port = self.define(port)
        self._local = self.define(local)
        self._translated = disjunction(changed)

    def _changes(self, fires: Term, host: int, port: int | None) -> Term:
        """The DNAT rule fires and sends the packet elsewhere than it went anyway.

        Only then does the kernel set IPS_DST_NAT (net/netfilter/nf_nat_core.c,
        nf_nat_setup_info).
        """
        schema = self.schema
        if port is not None and schema.fixed_port and port != 0:
            return fires
        if schema.fixed_destination and host != 0:
            return fires
        same = [equal(self.packet.dst, self.host(host))]
        if port is not None:
            same.append(equal(self.packet.dport, self.port(port)))
        return conjunction([fires, negate(conjunction(same))])

    # -- chains ------------------------------------------------------------------------

    def _hooks(self, alive: Term, hooks: tuple[Hook, ...]) -> Term:
        last, bound = "", FALSE
        for hook in hooks:
            enter, passes_by = alive, self._untracked
            if place_of(hook.table) != "nat":
                passes_by = FALSE
            elif hook.chain == last and bound is not FALSE:
                # nf_nat_core.c, nf_nat_inet_fn: once a chain has translated, no other is asked.
                passes_by = disjunction([passes_by, bound])
            if passes_by is not FALSE:
                enter = self.define(conjunction([alive, negate(passes_by)]))
            self._accepted = []
            before = (len(self.dnat), len(self._masquerades))
            through = self._chain(hook.items, enter)
            self.fell_through.append(through)
            if hook.drops:
                self.dropped.append(through)
                through = FALSE
            alive_parts = [through, *self._accepted]
            if enter is not alive:
                alive_parts.append(conjunction([alive, passes_by]))
            alive = disjunction(alive_parts)
            if place_of(hook.table) == "nat":
                new = [fires for fires, *_ in self.dnat[before[0] :]]
                new += self._masquerades[before[1] :]
                bound = disjunction([bound, *new] if hook.chain == last else new)
                last = hook.chain
        return alive

    def _chain(self, items: tuple[SchemaItem, ...], enter: Term) -> Term:
        """Returns the term that says that the packet comes back from the chain."""
        here = enter
        back: list[Term] = []
        outer, self._outer = self._outer, set(self.recorded)
        outside, self._here = self._here, set()
        for item in items:
            fires, rest = self._fire(item, here)
            match item.action:
                case InlinedJump():
                    back_here = self._chain(item.body, fires)
                    self._here |= self._left
                    if back_here is not fires:
                        here = disjunction([self.define(rest), back_here])
                case SetMark(value, mask):
                    self._set_mark(fires, value, mask)
                case Notrack():
                    # xt_CT.c: what has a connection keeps it.
                    if not self._looped:
                        self._untracked = disjunction([self._untracked, fires])
                case Continue():
                    pass
                case InlinedGoto():
                    here = self.define(rest)
                    back.append(self._chain(item.body, fires))
                case Return():
                    here = self.define(rest)
                    back.append(fires)
                case action:
                    here = self.define(rest)
                    self._final(action, fires, item)
            if here is FALSE:
                break
        self._left = self._here
        self._outer, self._here = outer, outside
        return disjunction([here, *back])

    def _fire(self, item: SchemaItem, here: Term) -> tuple[Term, Term]:
        """The terms that the packet is here and the rule fires, or that it does not."""
        conditions: list[Term] = []
        reached = here
        for place, condition in enumerate(item.conditions):
            if isinstance(condition, NumberedRecent):
                term = self._recent(condition, conjunction([reached, *conditions]))
                if condition.records:
                    self._here.add(condition.number)
                if condition.records and not (
                    place == len(item.conditions) - 1 and _ends_here(item)
                ):
                    self.lingering.add(condition.number)
            else:
                term = self._one(condition)
            conditions.append(term)
        if any(isinstance(c, Unknown) for c in item.conditions):
            self._meet_unknown(item, conditions, reached)
        matches = conjunction(conditions)
        if matches is TRUE:
            return here, FALSE
        fires = self.define(conjunction([here, matches]))
        return fires, conjunction([here, negate(matches)])

    def _meet_unknown(self, item: SchemaItem, terms: list[Term], reached: Term) -> None:
        known = [
            t for t, c in zip(terms, item.conditions, strict=True) if not isinstance(c, Unknown)
        ]
        self.unknown_met.append(self.define(conjunction([reached, *known])))

    def _final(self, action: _Final, fires: Term, item: SchemaItem) -> None:
        match action:
            case Accept():
                self._accepted.append(fires)
                if action.of_other_tool:
                    self.let_past.append(fires)
            case Drop():
                self.dropped.append(fires)
            case Reject():
                self.rejected.append(fires)
            case Excused():
                self.excused.append(fires)
            case Masquerade():
                self._masquerades.append(fires)
                self._rewrites.append((fires, action.address, action.port))
                if action.of_other_tool:
                    self.by_others.append(fires)
                    if self.schema.from_node:
                        # It comes in with another source than the service rules gave it.
                        self.excused.append(conjunction([fires, self._local]))
                self._accepted.append(fires)
            case NumberedDnat(host, port):
                own = [
                    c.number for c in item.conditions if isinstance(c, NumberedRecent) and c.records
                ]
                self.dnat_lists.append(
                    own or [n for n in self.recorded if n not in self._outer or n in self._here]
                )
                self.dnat_recorded.append(dict(self.recorded))
                self.dnat.append((fires, host, port))
                self._accepted.append(fires)
            case NumberedBalance(choices, timeout):
                pick = self._declare(f"pick{len(self._balanced)}", PICK)
                last = len(choices) - 1
                for number, (host, port, _) in enumerate(choices):
                    one = bits(number, PICK.width)
                    which = equal(pick, one) if number < last else bvuge(pick, one)
                    chosen = fires if not last else self.define(conjunction([fires, which]))
                    self._balanced.append((chosen, host, port, timeout))
            case UnknownTarget():
                self.unknown_met.append(fires)
            case _:
                assert_never(action)


_Final = (
    Accept | Drop | Reject | Excused | Masquerade | NumberedDnat | NumberedBalance | UnknownTarget
)
"""Actions after which no rule of the chain is looked at."""


def _ends_here(item: SchemaItem) -> bool:
    """Whether no packet that the rule fires for goes on to other rules of the hook."""
    return isinstance(item.action, NumberedDnat | Accept | Drop | Reject)
