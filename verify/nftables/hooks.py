"""Where base chains of nftables stand among the places that both models know.

Sources: include/uapi/linux/netfilter_ipv4.h (priorities); net/netfilter/core.c,
nf_hook_entries_grow (of two at one priority the later registered is asked first);
net/netfilter/nf_nat_core.c, nf_nat_register_fn (chains of type nat are asked where nat stands,
whatever their priority says, in the order of their priorities).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from svcc.grammar.nftables.program import (
    BaseChain,
    Chain,
    Hook,
    OtherStatement,
    Reject,
    Table,
)
from svcc.grammar.nftables.walks import names_in, reached

PLACES = ("raw", "mangle", "nat", "filter", "security")
"""In the order in which a packet passes them at one hook."""
OF_IPTABLES = {"raw": -300, "mangle": -150, "nat": 0, "filter": 0, "security": 50}
"""The priorities of iptables' tables among others at their place."""
_FIRST = 1 << 40
"""Less than every priority."""
_WAY_OUT = ("oif", "meta oif", "rt ", "meta rtclassid", "rtclassid", "meta sdif")
_CONNTRACK, _NAT_DST, _FILTER, _SECURITY, _NAT_SRC = -200, -100, 0, 50, 100


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """A base chain at its place; ``priority`` orders it among others there.

    ``table`` None: it is one of iptables. ``known`` False: the models have no such place, ``place``
    is one near it.
    """

    table: Table | None
    chain: Chain
    place: str
    hook: str
    priority: int
    known: bool = True


def standings(table: Table, chain: Chain, base: BaseChain) -> tuple[Standing, ...]:
    """Where a base chain stands.

    One that filters at prerouting behind the translation stands first behind the routing, both
    ways on: what rules see there is the same, if they do not ask for the way out.
    """
    if base.hook == "prerouting" and base.type != "nat" and base.priority > _NAT_DST:
        if not stands_behind_routing_alike(table, chain):
            return (Standing(table, chain, "mangle", "PREROUTING", base.priority, known=False),)
        priority = base.priority - _FIRST
        return tuple(
            Standing(table, chain, "mangle", hook, priority) for hook in ("INPUT", "FORWARD")
        )
    place, known = _place(base)
    priority = base.priority
    if place == "nat":
        priority += _NAT_SRC if base.hook in ("prerouting", "output") else -_NAT_SRC
    return (Standing(table, chain, place, _HOOKS[base.hook], priority, known),)


def stands_behind_routing_alike(table: Table, base: Chain) -> bool:
    """Whether what a chain at prerouting leads to does the same behind the routing.

    Only there the way out is known; and a refusal would come before what the routing drops.
    """
    for chain in reached(table, base):
        for rule in chain.rules:
            for statement in rule.statements:
                if isinstance(statement, Reject | OtherStatement):
                    return False
                if any(name.startswith(_WAY_OUT) for name in names_in(statement)):
                    return False
    return True


def standing_of_iptables(place: str, hook: str) -> Standing:
    """Where a base chain of iptables stands."""
    return Standing(None, Chain(hook), place, hook, OF_IPTABLES[place])


_HOOKS: dict[Hook, str] = {
    "prerouting": "PREROUTING",
    "input": "INPUT",
    "forward": "FORWARD",
    "output": "OUTPUT",
    "postrouting": "POSTROUTING",
    "ingress": "PREROUTING",
    "egress": "POSTROUTING",
}


def _place(base: BaseChain) -> tuple[str, bool]:
    priority, hook = base.priority, base.hook
    if hook in ("ingress", "egress"):
        return ("raw" if hook == "ingress" else "mangle"), False
    if base.type == "nat":
        return "nat", hook != "forward"
    if hook in ("prerouting", "output"):
        if priority == _CONNTRACK:
            return "mangle", False
        if priority < _CONNTRACK:
            return "raw", True
        if priority < _NAT_DST:
            return "mangle", True
        if priority == _NAT_DST:
            return "mangle", False
        return ("filter" if priority < _SECURITY else "security"), True
    if hook == "postrouting":
        return "mangle", priority < _NAT_SRC
    if hook == "input" and priority >= _NAT_SRC:
        return "security", False
    if priority < _FILTER:
        return "mangle", True
    return ("filter" if priority < _SECURITY else "security"), True


def grouped(chains: Iterable[Standing], *, ties_turned: bool = False) -> list[list[Standing]]:
    """The chains that stand together as one table, in the order in which packets pass them.

    Those of one table of nftables stand together where that leaves the order as it is at every
    hook; what they lead to is then translated once. ``ties_turned``: those at one priority are
    asked in the order in which they are given, not the other way round.
    """
    found: list[list[Standing]] = []
    for place in PLACES:
        there = [each for each in chains if each.place == place]
        if not ties_turned:
            # Later registered, earlier asked.
            there.reverse()
        there.sort(key=lambda each: each.priority)
        groups = _by_table(there, together=True)
        found += groups if _keeps_order(groups, there) else _by_table(there, together=False)
    return found


def _by_table(there: Iterable[Standing], *, together: bool) -> list[list[Standing]]:
    """What stands together: all chains of iptables, and of each table of nftables too, or not."""
    found: dict[object, list[Standing]] = {}
    for each in there:
        key: object = None
        if each.table is not None:
            number = 0
            while any(o.hook == each.hook for o in found.get((each.table.key, number), ())):
                number += 1
            key = (each.table.key, number) if together else each
        found.setdefault(key, []).append(each)
    return list(found.values())


def _keeps_order(groups: list[list[Standing]], there: list[Standing]) -> bool:
    flat = [each for group in groups for each in group]
    return all(
        [e for e in flat if e.hook == hook] == [e for e in there if e.hook == hook]
        for hook in {each.hook for each in there}
    )
