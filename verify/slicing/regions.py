"""Regions: a partition of all packets by destination, and the slice of each.

Every declared address with its port is a region; every node port on the addresses of the
node, less those; and everything else. Each region is looked at twice: for packets that come
in from a wire and for those that the node itself sends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from svcc.grammar.address import Address, Network
from svcc.verify.model.rules import IndexedRules
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.foreign import stand_in
from svcc.verify.slicing.slicer import Slicer
from svcc.verify.slicing.visits import Visits
from svcc.verify.spec.expectation import Expectation, Frontend
from svcc.verify.spec.node_ports import loopback_network
from svcc.verify.spec.outcomes import Case, Discard, Outcome, Refuse, Serve, Untouched
from svcc.verify.spec.packet_conditions import (
    Atom,
    DestinationIn,
    PortIn,
    ProtocolIn,
    SourceIn,
    negation,
)
from svcc.verify.spec.properties import CAPTURES, FAIR, MASQUERADES, REACHES, REFUSES

_TCP = 6
_UNDECLARED = (
    Case((ProtocolIn((6, 17, 132)),), (Refuse(),)),
    Case((ProtocolIn((6, 17, 132), negated=True),), (Untouched(), Refuse())),
)
"""Virtual IPs are addresses of the node, but none of its sockets can be reached through them."""
_EITHER = (Case((), (Untouched(), Refuse())),)


@dataclass(frozen=True, slots=True)
class Region:
    """Some packets of one direction. ``frontend`` None: those for no frontend at all.

    ``virtual_ip``: those for ports of this virtual IP that are no frontend. ``left_alone``: none of
    its packets is a frontend's by any case, so that others may do with them as they like.
    """

    frontend: Frontend | None
    cases: tuple[Case, ...]
    box: Box
    from_node: bool
    virtual_ip: Address | None = None
    left_alone: bool = False

    @property
    def of_nobody(self) -> bool:
        """Whether only what the service proxy's rules do counts."""
        return self.frontend is None or self.left_alone

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


def _leaves_alone(case: Case) -> bool:
    """Whether packets of a case may see what they saw without service rules, and no backend."""
    return any(isinstance(outcome, Untouched) for outcome in case.allowed) and not any(
        isinstance(outcome, Serve) for outcome in case.allowed
    )


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Whether the packets of a box are judged in regions of their own."""

    regions: Regions
    node_ports: bool
    virtual_ips: bool

    def __call__(self, box: Box) -> bool:
        regions, exact = self.regions, box.mask == self.regions.full_mask
        if self.virtual_ips and exact and box.address in regions.apart:
            return True
        if box.protocol is None or box.first_port != box.last_port:
            return False
        place = (box.protocol, box.first_port)
        if self.node_ports and box.local and place in regions.node_ports:
            return True
        return exact and regions.declared(box.address, *place)


class Regions:
    """The regions of one expectation over one rule set.

    With ``visits``, what slicing leaves out is noted there. ``apart`` are addresses with regions
    of their own, by default the virtual IPs of the rules. ``everybodys``: every rule counts for
    every packet, not the service proxy's alone.
    """

    def __init__(
        self,
        rules: IndexedRules,
        expectation: Expectation,
        visits: Visits | None = None,
        *,
        apart: frozenset[int] | None = None,
        everybodys: bool = False,
    ) -> None:
        self._expectation = expectation
        self.visits = visits
        self.everybodys = everybodys
        self.family = expectation.family
        self.full_mask = (1 << self.family.bits) - 1
        settings = expectation.settings
        self.node_networks = tuple(
            (network.value, network.mask)
            for network in (
                loopback_network(self.family),
                *(
                    Network(self.family, address.value, self.family.bits)
                    for address in settings.addresses
                    if address.family == self.family
                ),
            )
        )
        self.mark = settings.masquerade_mark
        frontends = [item.frontend for item in expectation.frontends]
        frontends += expectation.not_judged
        self.cluster_ips = frozenset(f.address for f in frontends if f.kind == "cluster IP")
        self.addresses = frozenset(
            (f.address, f.protocol, f.port) for f in frontends if f.address is not None
        )
        self.node_ports = frozenset((f.protocol, f.port) for f in frontends if f.address is None)

        self.rules = rules
        self.virtual_ips = rules.virtual.addresses if rules.virtual else frozenset[int]()
        self.apart = (self.virtual_ips | expectation.may_refuse) if apart is None else apart

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
            excluded=Exclusion(self, node_ports, virtual_ips) if excluded else None,
            state=state,
            absent=self.apart if excluded and virtual_ips else frozenset(),
            visits=self.visits,
        )

    def never_local(self, address: int) -> bool:
        """Whether the address is a cluster IP, and none of the node's own."""
        return address in self.cluster_ips and address not in self.virtual_ips

    def __len__(self) -> int:
        return 2 * (len(self._expectation.frontends) + len(self.apart) + 1)

    def __iter__(self) -> Iterator[Region]:
        for item in self._expectation.frontends:
            frontend = item.frontend
            box = self._box(frontend, item.may_be_local)
            for from_node in (False, True):
                yield Region(frontend, item.cases, box, from_node)
        for address in sorted(self.apart):
            local = True if self.always_local(address, self.full_mask) else None
            if self.never_local(address):
                local = False
            box = Box(address, self.full_mask, local=local)
            for from_node in (False, True):
                cases = self._undeclared(address)
                yield Region(None, cases, box, from_node, Address(self.family, address))
        for from_node in (False, True):
            yield Region(None, self._rest_cases(from_node), Box(), from_node)

    def parts(self, region: Region) -> tuple[Region, ...]:
        """A region as what is judged apart: a node port's packets to addresses that have no node
        ports are nobody's, as those to any other port there are.

        Where no other tool's rule decides anything, it is one part.
        """
        frontend = region.frontend
        if frontend is None or frontend.address is not None or self.everybodys:
            return (region,)
        left = tuple(case for case in region.cases if _leaves_alone(case))
        if not left or not self._others_decide:
            return (region,)
        rest = tuple(case for case in region.cases if not _leaves_alone(case))
        of_nobody = replace(region, cases=left, left_alone=True)
        return (replace(region, cases=rest), of_nobody) if rest else (of_nobody,)

    @cached_property
    def _others_decide(self) -> bool:
        return any(
            chain.policy == "DROP"
            or any(stand_in(record.service, record.action, None) for record in chain.records)
            for chains in self.rules.tables.values()
            for chain in chains.values()
        )

    def _box(self, frontend: Frontend, may_be_local: bool) -> Box:
        port = frontend.port
        if frontend.address is None:
            return Box(0, 0, frontend.protocol, port, port, local=True)
        local = None if may_be_local else False
        if self.always_local(frontend.address, self.full_mask):
            local = True
        return Box(frontend.address, self.full_mask, frontend.protocol, port, port, local)

    def not_judged(self) -> Iterator[Box]:
        """Packets that are in no region, and may see anything."""
        for frontend in self._expectation.not_judged:
            yield self._box(frontend, may_be_local=True)

    def _undeclared(self, address: int) -> tuple[Case, ...]:
        """What packets to ports of a virtual IP that are no frontend must see."""
        expectation = self._expectation
        if address not in self.virtual_ips and address in expectation.may_refuse:
            return _EITHER
        own = tuple(sorted(p for a, p in expectation.health_checks if a == address))
        others: tuple[int, ...] = ()
        if expectation.health_checks_anywhere:
            others = tuple(p for p in expectation.health_check_ports if p not in own)
        if not own and not others:
            return _UNDECLARED
        refused, other = _UNDECLARED
        cases = [other]
        for number in (6, 17, 132):
            protocol = ProtocolIn((number,))
            served = own if number == _TCP else ()
            # kube-proxy's set of health check ports, a bitmap:port, knows no protocol.
            either = tuple(p for p in (*own, *others) if p not in served)
            if not expectation.health_checks_anywhere:
                either = ()
            left = negation(PortIn((*served, *either)))
            cases.append(Case((protocol, left), refused.allowed))
            if served:
                cases.append(Case((protocol, PortIn(served)), (Untouched(),)))
            if either:
                cases.append(Case((protocol, PortIn(either)), (Untouched(), Refuse())))
        return tuple(cases)

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

    def _rest_cases(self, from_node: bool) -> tuple[Case, ...]:
        block = (loopback_network(self.family),)
        to_loopback, from_loopback = DestinationIn(block), SourceIn(block)
        settings, untouched = self._expectation.settings, self._expectation.untouched
        # Loopback node ports need route_localnet, and that opens 127/8 to the neighbours.
        has_node_ports = any(f.frontend.address is None for f in self._expectation.frontends)
        guarded = settings.loopback_node_ports(self.family) and has_node_ports
        stranger = (Discard(),) if guarded and not from_node else (untouched, Discard())
        elsewhere: tuple[Case, ...] = (Case((negation(to_loopback),), (untouched,)),)
        if self._expectation.may_drop:
            of_services = DestinationIn(self._expectation.may_drop)
            elsewhere = (
                Case((negation(to_loopback), negation(of_services)), (untouched,)),
                Case((negation(to_loopback), of_services), (untouched, Discard())),
            )
        return (
            *elsewhere,
            Case((to_loopback, from_loopback), (untouched,)),
            *self._guarded_loopback((to_loopback, negation(from_loopback)), stranger),
        )

    def _guarded_loopback(
        self, condition: tuple[Atom, ...], outcomes: tuple[Outcome, ...]
    ) -> tuple[Case, ...]:
        """Health checks may be let in before the guard is asked, as where the kubelet has it."""
        untouched = self._expectation.untouched
        if not self._expectation.health_check_ports or untouched in outcomes:
            return (Case(condition, outcomes),)
        health = PortIn(self._expectation.health_check_ports)
        return (
            Case((*condition, negation(health)), outcomes),
            Case((*condition, health), (*outcomes, untouched)),
        )
