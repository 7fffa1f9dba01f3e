"""Regions: a partition of all packets by destination, and the slice of each.

Every declared address with its port is a region; every node port on the addresses of the
node, less those; and everything else. Each region is looked at twice: for packets that come
in from a wire and for those that the node itself sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from svcc.grammar.address import Family, Network
from svcc.verify.expectation import (
    Case,
    Discard,
    Expectation,
    Frontend,
    Serve,
    Untouched,
)
from svcc.verify.properties import CAPTURES, FAIR, MASQUERADES, REACHES, REFUSES
from svcc.verify.records import IndexedRules
from svcc.verify.schema import Hook, Numbering, Schema
from svcc.verify.sender import DestinationIn, SourceIn, negation
from svcc.verify.slices import Box, Item, Slicer, without_foreign

_BEFORE_WIRE = (("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("nat", "PREROUTING"))
_BEFORE_NODE = (("raw", "OUTPUT"), ("mangle", "OUTPUT"), ("nat", "OUTPUT"))
_INWARD = (("mangle", "INPUT"), ("filter", "INPUT"), ("nat", "INPUT"))
_LOOPED = (("raw", "PREROUTING"), ("mangle", "PREROUTING"), *_INWARD)
_POSTROUTING = (("mangle", "POSTROUTING"), ("nat", "POSTROUTING"))
_ONWARD_WIRE = (("mangle", "FORWARD"), ("filter", "FORWARD"), *_POSTROUTING)
_ONWARD_NODE = (("filter", "OUTPUT"), *_POSTROUTING)


@dataclass(frozen=True, slots=True)
class Region:
    """Some packets of one direction. ``frontend`` None: those for no frontend at all."""

    frontend: Frontend | None
    cases: tuple[Case, ...]
    box: Box
    from_node: bool

    @property
    def name(self) -> str:
        """How messages call it."""
        return "everything else" if self.frontend is None else str(self.frontend)

    @property
    def properties(self) -> frozenset[str]:
        """The properties that its cases have a say in."""
        found: set[str] = set()
        for case in self.cases:
            for outcome in case.allowed:
                if isinstance(outcome, Serve):
                    found |= {REACHES, FAIR, MASQUERADES}
                elif isinstance(outcome, Untouched):
                    found.add(CAPTURES)
                else:
                    found.add(REFUSES)
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class Cut:
    """A region's schema, the numbers that were taken out of it, and the rules in its slices."""

    schema: Schema
    numbering: Numbering
    items: tuple[Item, ...]

    def outside_the_model(self) -> list[str]:
        """What the model does not know among the rules, with their lines."""
        found: dict[str, None] = {}
        pending = list(self.items)
        while pending:
            item = pending.pop()
            pending.extend(item.body)
            if item.action[0] == "unknown" or any(c[0] == "unknown" for c in item.conditions):
                what = next((c[1] for c in item.conditions if c[0] == "unknown"), item.action[-1])
                rule = item.record.rule
                found[f"line {rule.line}, chain {rule.chain}: {what}"] = None
        return sorted(found)


class Regions:
    """The regions of one expectation, and their schemas over one rule set."""

    def __init__(self, rules: IndexedRules, expectation: Expectation) -> None:
        self._expectation = expectation
        self.family = expectation.family
        self.full_mask = (1 << self.family.bits) - 1
        settings = expectation.settings
        self.node_networks = tuple(
            (network.value, network.mask)
            for network in (
                _loopback(self.family),
                *(
                    Network(self.family, address.value, self.family.bits)
                    for address in settings.addresses
                    if address.family == self.family
                ),
            )
        )
        self.mark = settings.masquerade_mark
        self.cluster_ips = frozenset(
            item.frontend.address
            for item in expectation.frontends
            if item.frontend.kind == "cluster IP"
        )
        self.addresses = frozenset(
            (item.frontend.address, item.frontend.protocol, item.frontend.port)
            for item in expectation.frontends
            if item.frontend.address is not None
        )
        self.node_ports = frozenset(
            (item.frontend.protocol, item.frontend.port)
            for item in expectation.frontends
            if item.frontend.address is None
        )

        self.rules = rules
        self._of_address = self.slicer(excluded=False)
        self._of_node_port = self.slicer(node_ports=False)
        self._of_rest = self.slicer()

    def slicer(
        self, *, excluded: bool = True, node_ports: bool = True, state: str = "NEW"
    ) -> Slicer:
        """A slicer that leaves out what belongs to declared frontends (or nothing)."""
        return Slicer(
            self.rules,
            always_local=self.always_local,
            never_local=self.cluster_ips.__contains__,
            excluded=(lambda box: self._excluded(box, node_ports)) if excluded else None,
            state=state,
        )

    def __iter__(self) -> Iterator[Region]:
        for item in self._expectation.frontends:
            frontend = item.frontend
            for from_node in (False, True):
                if frontend.address is None:
                    box = Box(0, 0, frontend.protocol, frontend.port, frontend.port, local=True)
                else:
                    local = None if item.may_be_local else False
                    if self.always_local(frontend.address, self.full_mask):
                        local = True
                    box = Box(
                        frontend.address,
                        self.full_mask,
                        frontend.protocol,
                        frontend.port,
                        frontend.port,
                        local,
                    )
                yield Region(frontend, item.cases, box, from_node)
        for from_node in (False, True):
            yield Region(None, self._rest_cases(from_node), Box(), from_node)

    def always_local(self, address: int, mask: int) -> bool:
        """Whether a whole block is known to be the node's own."""
        return any(
            known_mask & ~mask == 0 and address & known_mask == known
            for known, known_mask in self.node_networks
        )

    def declared(self, address: int, protocol: int, port: int) -> bool:
        """Whether an address, protocol and port are a frontend."""
        return (address, protocol, port) in self.addresses

    def cut(self, region: Region) -> Cut:
        """The region as the solver sees it.

        Raises:
            SliceTooLargeError: the rules touch the region in too many ways.
        """
        frontend = region.frontend
        slicer = self._of_rest if frontend is None else self._of_address
        if frontend is not None and frontend.address is None:
            slicer = self._of_node_port
        numbering = Numbering(self.full_mask)
        if frontend is not None:
            numbering.default_port = frontend.port
            numbering.port(frontend.port)
            if frontend.address is not None:
                numbering.host(frontend.address)
        box = region.box

        def hooks(
            names: tuple[tuple[str, str], ...], boxes: list[Box]
        ) -> list[tuple[str, str, tuple[Item, ...], bool]]:
            found = []
            for table, chain in names:
                items, policy = slicer.hook(table, chain, boxes, box)
                drops = policy == "DROP"
                if frontend is None:
                    items, drops = without_foreign(items), False
                if items or drops:
                    found.append((table, chain, items, drops))
            return found

        rewriting = hooks(_BEFORE_NODE if region.from_node else _BEFORE_WIRE, [box])
        boxes = [box]
        for _, _, items, _ in rewriting:
            for address, port in _translations(items):
                # Numbered in the order of the rules: the order of the objects varies freely.
                numbering.host(address)
                ports = (box.first_port, box.last_port) if port is None else (port, port)
                boxes.append(Box(address, self.full_mask, box.protocol, *ports))
        cases = numbering.cases(region.cases)
        boxes = [
            b._replace(local=True) if b.mask and self.always_local(b.address, b.mask) else b
            for b in dict.fromkeys(boxes)
        ]
        inside = [b._replace(local=True) for b in boxes if b.local is not False]
        outside = [b._replace(local=False) for b in boxes if b.local is not True]
        if region.from_node:
            onward = hooks(_ONWARD_NODE, boxes)
            inward = hooks(_LOOPED, inside)
        else:
            onward = hooks(_ONWARD_WIRE, outside)
            inward = hooks(_INWARD, inside)

        def numbered(
            found: list[tuple[str, str, tuple[Item, ...], bool]],
        ) -> tuple[Hook, ...]:
            return tuple(
                Hook(table, chain, numbering.items(items), drops)
                for table, chain, items, drops in found
            )

        hooks_by_stage = (numbered(rewriting), numbered(inward), numbered(onward))
        schema = Schema(
            self.family,
            region.from_node,
            *hooks_by_stage,
            cases,
            frontend is not None and frontend.address is not None,
            frontend is not None,
            region.box.protocol,
            region.box.local,
            self.mark,
            self.node_networks,
            facts=numbering.facts(),
        )
        items = tuple(item for hook in (*rewriting, *inward, *onward) for item in hook[2])
        return Cut(schema, numbering, items)

    def _excluded(self, box: Box, node_ports: bool) -> bool:
        if box.protocol is None or box.first_port != box.last_port:
            return False
        if node_ports and box.local and (box.protocol, box.first_port) in self.node_ports:
            return True
        return box.mask == self.full_mask and self.declared(
            box.address, box.protocol, box.first_port
        )

    def _rest_cases(self, from_node: bool) -> tuple[Case, ...]:
        block = (_loopback(self.family),)
        to_loopback, from_loopback = DestinationIn(block), SourceIn(block)
        settings = self._expectation.settings
        # Loopback node ports need route_localnet, and that opens 127/8 to the neighbours.
        guarded = settings.loopback_node_ports(self.family) and bool(self.node_ports)
        stranger = (Discard(),) if guarded and not from_node else (Untouched(), Discard())
        return (
            Case((negation(to_loopback),), (Untouched(),)),
            Case((to_loopback, from_loopback), (Untouched(),)),
            Case((to_loopback, negation(from_loopback)), stranger),
        )


def _loopback(family: Family) -> Network:
    if family is Family.IPV4:
        return Network(family, 127 << 24, 8)
    return Network(family, 1, 128)


def _translations(items: tuple[Item, ...]) -> Iterator[tuple[int, int | None]]:
    for item in items:
        if item.action[0] == "dnat":
            _, address, port = item.action
            yield address, port
        elif item.body:
            yield from _translations(item.body)
