"""Regions: a partition of all packets by destination, and the slice of each.

Every declared address with its port is a region; every node port on the addresses of the
node, less those; and everything else. Each region is looked at twice: for packets that come
in from a wire and for those that the node itself sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from svcc.grammar.address import Address, Family, Network
from svcc.grammar.ipvsadm import VirtualKey, VirtualServer
from svcc.grammar.program import Rule
from svcc.verify.expectation import (
    Case,
    Discard,
    Expectation,
    Frontend,
    Outcome,
    Refuse,
    Serve,
    Untouched,
)
from svcc.verify.older import refused_marks
from svcc.verify.properties import CAPTURES, FAIR, MASQUERADES, REACHES, REFUSES
from svcc.verify.records import IndexedRules, Record
from svcc.verify.schema import Hook, Numbering, Schema
from svcc.verify.sender import Atom, DestinationIn, PortIn, ProtocolIn, SourceIn, negation
from svcc.verify.slices import Box, Item, Slicer, without_foreign
from svcc.verify.virtual import FULL_MARK, arriving_marks, translated_port, usable

_BEFORE_WIRE = (("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("nat", "PREROUTING"))
_BEFORE_NODE = (("raw", "OUTPUT"), ("mangle", "OUTPUT"), ("nat", "OUTPUT"))
_INWARD = (("mangle", "INPUT"), ("filter", "INPUT"), ("nat", "INPUT"))
_LOOPED = (("raw", "PREROUTING"), ("mangle", "PREROUTING"), *_INWARD)
_RESENT_WIRE = (("mangle", "OUTPUT"), ("filter", "OUTPUT"))
_RESENT_NODE = (("mangle", "OUTPUT"),)
_POSTROUTING = (("mangle", "POSTROUTING"), ("nat", "POSTROUTING"))
_ONWARD_WIRE = (("mangle", "FORWARD"), ("filter", "FORWARD"), *_POSTROUTING)
_ONWARD_NODE = (("filter", "OUTPUT"), *_POSTROUTING)


_UNDECLARED = (
    Case((ProtocolIn((6, 17, 132)),), (Refuse(),)),
    Case((ProtocolIn((6, 17, 132), negated=True),), (Untouched(), Refuse())),
)
"""Virtual IPs are addresses of the node, but none of its sockets can be reached through them."""


@dataclass(frozen=True, slots=True)
class Region:
    """Some packets of one direction. ``frontend`` None: those for no frontend at all.

    ``virtual_ip``: those for ports of this virtual IP that are no frontend.
    """

    frontend: Frontend | None
    cases: tuple[Case, ...]
    box: Box
    from_node: bool
    virtual_ip: Address | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        if self.virtual_ip is not None:
            return f"other ports of {self.virtual_ip}"
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
        self._virtual = rules.virtual
        self.virtual_ips = self._virtual.addresses if self._virtual else frozenset[int]()
        self._foreign_marks = arriving_marks(self._virtual) if self._virtual else ()
        self._foreign_marks += refused_marks(rules)
        self._of_virtual_ip = self.slicer(node_ports=False, virtual_ips=False)
        self._of_address = self.slicer(excluded=False)
        self._of_node_port = self.slicer(node_ports=False)
        self._of_rest = self.slicer()

    def slicer(
        self,
        *,
        excluded: bool = True,
        node_ports: bool = True,
        virtual_ips: bool = True,
        state: str = "NEW",
    ) -> Slicer:
        """A slicer that leaves out what belongs to declared frontends (or nothing)."""
        return Slicer(
            self.rules,
            always_local=self.always_local,
            never_local=self.never_local,
            excluded=(lambda box: self._excluded(box, node_ports, virtual_ips))
            if excluded
            else None,
            state=state,
            absent=self.virtual_ips if excluded and virtual_ips else frozenset(),
        )

    def never_local(self, address: int) -> bool:
        """Whether the address is a cluster IP, and none of the node's own."""
        return address in self.cluster_ips and address not in self.virtual_ips

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
        for address in sorted(self.virtual_ips):
            box = Box(address, self.full_mask, local=True)
            for from_node in (False, True):
                yield Region(None, _UNDECLARED, box, from_node, Address(self.family, address))
        for from_node in (False, True):
            yield Region(None, self._rest_cases(from_node), Box(), from_node)

    def always_local(self, address: int, mask: int) -> bool:
        """Whether a whole block is known to be the node's own."""
        if mask == self.full_mask and address in self.virtual_ips:
            return True
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
        if region.virtual_ip is not None:
            slicer = self._of_virtual_ip
        if frontend is not None and frontend.address is None:
            slicer = self._of_node_port
        numbering = Numbering(self.full_mask)
        if frontend is not None:
            numbering.default_port = frontend.port
            numbering.port(frontend.port)
            if frontend.address is not None:
                numbering.host(frontend.address)
        if region.virtual_ip is not None:
            numbering.host(region.virtual_ip.value)
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
        boxes = self._placed(boxes)
        balanced = self._balanced(region, boxes, _marks(rewriting), slicer)
        sent_on = []
        for address, port in _translations(balanced):
            numbering.host(address)
            ports = (box.first_port, box.last_port) if port is None else (port, port)
            sent_on.append(Box(address, self.full_mask, box.protocol, *ports))
        sent_on = self._placed(sent_on)
        cases = numbering.cases(region.cases)
        inside = [b._replace(local=True) for b in boxes if b.local is not False]
        outside = [b._replace(local=False) for b in boxes if b.local is not True]
        if region.from_node:
            onward = hooks(_ONWARD_NODE, [*boxes, *sent_on])
            here = [b._replace(local=True) for b in sent_on if b.local is not False]
            inward = hooks(_LOOPED, [*inside, *here])
            resent = hooks(_RESENT_NODE, sent_on)
        else:
            onward = hooks(_ONWARD_WIRE, outside)
            if sent_on:
                away = [b._replace(local=False) for b in sent_on if b.local is not True]
                onward = [item for item in onward if item[1] != "POSTROUTING"]
                onward += hooks(_POSTROUTING, [*outside, *away])
            inward = hooks(_INWARD, inside)
            resent = hooks(_RESENT_WIRE, sent_on)

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
            region.virtual_ip is not None
            or (frontend is not None and frontend.address is not None),
            frontend is not None,
            region.box.protocol,
            region.box.local,
            self.mark,
            self.node_networks,
            facts=numbering.facts(),
            balanced=numbering.items(balanced),
            resent=numbered(resent),
            local_hosts=tuple(
                number
                for address, number in numbering.hosts.items()
                if self.always_local(address, self.full_mask)
            )
            if balanced
            else (),
            foreign_marks=self._foreign_marks,
        )
        stages = (*rewriting, *inward, *onward, *resent)
        items = (*(item for hook in stages for item in hook[2]), *balanced)
        return Cut(schema, numbering, items)

    def _placed(self, boxes: list[Box]) -> list[Box]:
        """The boxes without repetition; what is known to be local is marked so."""
        return [
            b._replace(local=True) if b.mask and self.always_local(b.address, b.mask) else b
            for b in dict.fromkeys(boxes)
        ]

    def _balanced(
        self, region: Region, boxes: list[Box], marks: set[int], slicer: Slicer
    ) -> tuple[Item, ...]:
        """The virtual servers that packets of the boxes may meet.

        Those by a mark: ``marks`` are the values that rules give the packet as a whole, and no
        packet arrives with one (a stated assumption).
        """
        if self._virtual is None:
            return ()
        reach = [box for box in boxes if region.from_node or box.local is not False]
        if not reach:
            return ()
        index = self._virtual
        found = [
            virtual_item(VirtualKey(self.family, 0, mark, 0), index.by_mark[mark], None)
            for mark in sorted(marks)
            if mark in index.by_mark
        ]
        seen: set[VirtualKey] = set()
        for box in reach:
            port = box.first_port if box.first_port == box.last_port else None
            for key, server in index.meeting(
                box.address, box.mask, self.full_mask, box.protocol, port
            ):
                place = Box(
                    key.address, self.full_mask, key.protocol, key.port, key.port or 65535, True
                )
                other = box.mask != self.full_mask or port is None
                if key not in seen and not (other and slicer.leaves_out(place)):
                    seen.add(key)
                    found.append(virtual_item(key, server, None if len(reach) > 1 else box))
        return tuple(found)

    def _excluded(self, box: Box, node_ports: bool, virtual_ips: bool) -> bool:
        if virtual_ips and box.mask == self.full_mask and box.address in self.virtual_ips:
            return True
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
            *self._guarded_loopback((to_loopback, negation(from_loopback)), stranger),
        )

    def _guarded_loopback(
        self, condition: tuple[Atom, ...], outcomes: tuple[Outcome, ...]
    ) -> tuple[Case, ...]:
        """Health checks may be let in before the guard is asked, as where the kubelet has it."""
        if not self._expectation.health_check_ports or Untouched() in outcomes:
            return (Case(condition, outcomes),)
        health = PortIn(self._expectation.health_check_ports)
        return (
            Case((*condition, negation(health)), outcomes),
            Case((*condition, health), (*outcomes, Untouched())),
        )


def _loopback(family: Family) -> Network:
    if family is Family.IPV4:
        return Network(family, 127 << 24, 8)
    return Network(family, 1, 128)


def _marks(hooks: list[tuple[str, str, tuple[Item, ...], bool]]) -> set[int]:
    """The values that some rule gives the mark as a whole."""
    found: set[int] = set()
    pending = [item for hook in hooks for item in hook[2]]
    while pending:
        item = pending.pop()
        pending.extend(item.body)
        if item.action[0] == "mark" and item.action[2] == FULL_MARK:
            found.add(item.action[1])
    return found


def virtual_item(key: VirtualKey, server: VirtualServer, box: Box | None) -> Item:
    """A virtual server as a rule: a choice among its real servers, or a refusal.

    ``box``: all packets that get here; conditions that they all fulfil are left out.
    """
    record = Record(Rule("IPVS", line=server.line), "ipvs", (), ("virtual", key, server))
    conditions: list[tuple[object, ...]] = []
    if not key.protocol:
        conditions.append(("mark", key.address, FULL_MARK, False))
    else:
        full = (1 << key.family.bits) - 1
        if box is None or box.mask != full:
            conditions.append(("dst", key.address, full, False))
        if box is None or box.protocol is None:
            conditions.append(("proto", key.protocol, False))
        if key.port and (box is None or box.first_port != box.last_port):
            conditions.append(("dport", key.port, key.port, False))
    real = usable(server)
    if not real:
        return Item(tuple(conditions), ("reject",), (), record)
    timeout = server.scheduling.persistence
    choices = tuple(
        (k.address, translated_port(key, server.scheduling, k), weight) for k, weight in real
    )
    return Item(tuple(conditions), ("balance", choices, timeout), (), record)


def _translations(items: tuple[Item, ...]) -> Iterator[tuple[int, int | None]]:
    for item in items:
        if item.action[0] == "dnat":
            _, address, port = item.action
            yield address, port
        elif item.action[0] == "balance":
            for address, port, _ in item.action[1]:
                yield address, port
        elif item.body:
            yield from _translations(item.body)
