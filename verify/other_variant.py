"""Rules of the other iptables variant, which the kernel passes packets through as well.

legacy and nft each register hooks of their own, so a packet must get through both. One rule set
is judged; of the other it is only asked whether it can touch packets to frontends at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.iptables.names import BUILT_IN_CHAINS
from svcc.grammar.iptables.program import NatTarget
from svcc.grammar.iptables.ruleset import RuleSet, place_of
from svcc.verify.model.actions import (
    Accept,
    Continue,
    Dnat,
    Drop,
    Excused,
    Masquerade,
    Notrack,
    Reject,
    Return,
    SetMark,
    UnknownTarget,
)
from svcc.verify.model.other_tools import of_a_tool
from svcc.verify.model.owned_rules import owned_rules
from svcc.verify.model.ownership import is_service_table
from svcc.verify.prepare.prepare import prepare
from svcc.verify.simulator.packet import Packet, Result
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.items import Balance, InlinedRun, Item
from svcc.verify.slicing.regions import Regions
from svcc.verify.slicing.schema_conditions import InlinedGoto, InlinedJump
from svcc.verify.slicing.slicer import MissingChainError, SliceTooLargeError
from svcc.verify.spec.expectation import Expectation, expect
from svcc.verify.spec.outcomes import Serve

DISPATCH = ("KUBE-SERVICES", "SVCC-SERVICES")
"""The chains that service proxies begin with."""
_OF_KUBELET = frozenset({"KUBE-FIREWALL", "KUBE-MARK-DROP", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"})
"""The kubelet writes them with the variant that it takes for the node's."""


def has_service_chains(rules: RuleSet) -> bool:
    """Whether a service proxy's dispatch is among the rules."""
    return any(
        is_service_table(table) or any(name in chains for name in DISPATCH)
        for table, chains in rules.tables.items()
    )


def holds_service_rules(rules: RuleSet) -> bool:
    """Whether there is anything that can serve: a service proxy's dispatch, a virtual server, or
    a translation that is no other tool's.
    """
    if has_service_chains(rules) or (rules.ipvs is not None and rules.ipvs.servers):
        return True
    return any(
        isinstance(rule.target, NatTarget) and rule.target.name != "SNAT"
        for table in rules.at("nat")
        for name, chain in rules.tables[table].items()
        if not of_a_tool(name)
        for rule in chain.rules
    )


def places_of(packet: Packet, results: Iterable[Result]) -> list[Box]:
    """Where a packet is addressed to on its way."""
    full = (1 << packet.family.bits) - 1
    places = [(packet.destination, packet.destination_port)]
    places += [(result.destination, result.destination_port) for result in results]
    return [
        Box(address, full, packet.protocol, port, port) for address, port in dict.fromkeys(places)
    ]


def touching(
    objects: Objects,
    settings: NodeSettings,
    rules: RuleSet,
    places: Iterable[Box] | None = None,
) -> str | None:
    """A rule or policy that can touch packets to frontends, before or after translation, in the
    words of iptables; None if there is none.

    ``places``: packets to these, in place of those to frontends.
    """
    prepared = prepare(rules, settings, as_they_stand=True)
    if prepared.endless:
        return "a walk that does not end"
    rules = prepared.rules
    indexed = owned_rules(rules, settings.masquerade_mark, settings.pods.networks.get(rules.family))
    expectation = expect(objects, settings, rules.family)
    slicer = Regions(indexed, expectation).slicer(excluded=False)
    boxes = dict.fromkeys(_boxes(expectation) if places is None else places)
    for table, chains in rules.tables.items():
        for hook in BUILT_IN_CHAINS[place_of(table)]:
            if hook not in chains:
                continue
            for box in boxes:
                try:
                    items, policy = slicer.hook(table, hook, [box], box)
                except (SliceTooLargeError, MissingChainError):
                    return f"{table} {hook}"
                found = next(_harmful(items), None)
                if found is not None:
                    rule = found.record.rule
                    return f"line {rule.line}: {table} {rule.chain}"
                if policy == "DROP":
                    return f"{table} :{hook} DROP"
    return None


def _boxes(expectation: Expectation) -> Iterator[Box]:
    """Packets to frontends as they come, and as they go on to backends."""
    full = (1 << expectation.family.bits) - 1
    for item in expectation.frontends:
        frontend = item.frontend
        address, mask = (0, 0) if frontend.address is None else (frontend.address, full)
        local = True if frontend.address is None else None
        yield Box(address, mask, frontend.protocol, frontend.port, frontend.port, local)
        for case in item.cases:
            for outcome in case.allowed:
                if isinstance(outcome, Serve):
                    for backend in outcome.backends:
                        yield Box(
                            backend.address, full, frontend.protocol, backend.port, backend.port
                        )


def _harmful(items: tuple[Item, ...]) -> Iterator[Item]:
    for item in items:
        if item.record.rule.chain in _OF_KUBELET:
            continue
        match item.action:
            case InlinedJump() | InlinedGoto() | InlinedRun():
                yield from _harmful(item.body)
            case Accept() | Continue() | Return() | Excused():
                pass
            case Masquerade(of_other_tool=True):
                pass
            case (
                Masquerade()
                | Drop()
                | Reject()
                | Notrack()
                | SetMark()
                | Dnat()
                | Balance()
                | UnknownTarget()
            ):
                yield item
            case _:
                assert_never(item.action)
