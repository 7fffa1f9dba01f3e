"""Packets that are right: what a change must not make wrong if it is to tell the cause of another.

Who takes the masquerade's RETURN away makes a packet right whose mark is missing, and a hundred
others wrong. So each change is tried on packets of all kinds of frontends and senders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from svcc.grammar.address import Network
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.cause.entries import Entries
from svcc.verify.confirm.allowances import AllowancesOfRegions
from svcc.verify.confirm.replay import Trial
from svcc.verify.simulator.packet import (
    DOCUMENTATION_SOURCE,
    EPHEMERAL_PORT,
    HTTP_ALTERNATE,
    TCP,
    Allowances,
    Packet,
    World,
)
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec.outcomes import Discard, Serve
from svcc.verify.spec.packet_conditions import SourceIn

OF_A_KIND = 2
"""Regions of one kind that are asked besides the one that is wrong."""
_MOST_BACKENDS = 2
_TOLERANCE = Fraction(15, 1_000_000)


@dataclass(frozen=True, slots=True)
class Witness:
    """A packet, and what it is judged by."""

    trial: Trial
    packet: Packet
    world: World

    def is_right(self, rules: RuleSet, world: World) -> bool:
        """Whether it sees what it must by these rules."""
        return self.trial.is_right(rules, self.packet, world)


class Witnesses:
    """Packets of all kinds, each judged once by the rules as they are."""

    def __init__(self, regions: Regions, rules: RuleSet, pods: Network | None) -> None:
        self._regions, self._rules, self._pods = regions, rules, pods
        self._allowances = AllowancesOfRegions(regions)
        self._every: list[Region] = list(regions)
        self._named: dict[str, list[Region]] = {}
        for region in self._every:
            self._named.setdefault(region.name, []).append(region)
        self._known: dict[tuple[str, bool], tuple[list[Witness], list[Witness]]] = {}
        self._others: list[Region] | None = None
        self._kinds: dict[tuple[int | None, int, int], str] | None = None

    def of(self, frontend: str) -> tuple[list[Witness], list[Witness]]:
        """Packets of a frontend and some others: those that are right, and those of the frontend
        that are wrong.
        """
        own = self._named.get(frontend, [])
        right: list[Witness] = []
        wrong: list[Witness] = []
        for region in own:
            good, bad = self._judged(region)
            right += good
            wrong += bad
        service = own[0].frontend.service if own and own[0].frontend is not None else ""
        for region in self._of_all_kinds(service):
            if region.name != frontend:
                right += self._judged(region)[0]
        return right, wrong

    def entries(self, frontend: str) -> Entries:
        """What is to be known of the frontends for tries of entries of sets."""
        if self._kinds is None:
            self._kinds = {
                (f.address, f.protocol, f.port): f.kind
                for region in self._every
                if (f := region.frontend) is not None and not region.from_node
            }
        own = self._named.get(frontend, [])
        kind = own[0].frontend.kind if own and own[0].frontend is not None else ""
        usual = kind
        networks = {
            network: None
            for region in own
            for case in region.cases
            for atom in case.condition
            if isinstance(atom, SourceIn)
            for network in atom.networks
        }
        dropped = any(
            isinstance(outcome, Discard)
            for region in own
            for case in region.cases
            for outcome in case.allowed
        )
        if dropped and len(networks) > 1 and any(n != self._pods for n in networks):
            usual = "source ranges"
        return Entries(self._kinds, kind, tuple(networks), usual)

    def _of_all_kinds(self, service: str) -> list[Region]:
        """Some regions of each kind, and the other frontends of a Service."""
        if self._others is None:
            count: dict[object, int] = {}
            self._others = []
            for region in self._every:
                kind = (
                    None if region.frontend is None else region.frontend.kind,
                    region.from_node,
                    tuple(type(outcome) for case in region.cases for outcome in case.allowed),
                )
                count[kind] = count.get(kind, 0) + 1
                if count[kind] <= OF_A_KIND:
                    self._others.append(region)
        name = service.partition(":")[0]
        own = [
            region
            for region in (self._every if name else ())
            if region.frontend is not None and region.frontend.service.partition(":")[0] == name
        ]
        return [*own, *(region for region in self._others if region not in own)]

    def _judged(self, region: Region) -> tuple[list[Witness], list[Witness]]:
        key = (region.name, region.from_node)
        if key not in self._known:
            right: list[Witness] = []
            wrong: list[Witness] = []
            for witness in self._witnesses(region):
                is_right = witness.is_right(self._rules, witness.world)
                (right if is_right else wrong).append(witness)
            self._known[key] = (right, wrong)
        return self._known[key]

    def _witnesses(self, region: Region) -> Iterator[Witness]:
        trial = Trial(
            rules=self._rules,
            cases=region.cases,
            masquerade_mark=self._regions.mark,
            tolerance=_TOLERANCE,
        )
        for packet in self._packets(region):
            yield Witness(trial, packet, self._world(self._allowances.of(region, packet)))

    def _world(self, allowances: Allowances) -> World:
        full = self._regions.full_mask
        return World(
            lambda address: self._regions.always_local(address, full), allowances=allowances
        )

    def _packets(self, region: Region) -> Iterator[Packet]:
        family = self._regions.family
        destinations = list(self._destinations(region))
        outside = Packet(
            family,
            False,
            DOCUMENTATION_SOURCE[family],
            EPHEMERAL_PORT,
            *destinations[0],
            in_interface="eth0",
        )
        if region.from_node:
            own = self._regions.node_networks[-1][0] | (len(self._regions.node_networks) == 1)
            outside = replace(outside, from_node=True, source=own, in_interface="")
        for destination, port, protocol in destinations:
            yield replace(
                outside, destination=destination, destination_port=port, protocol=protocol
            )
        for source in () if region.from_node else self._sources(region):
            yield replace(outside, source=source)

    def _sources(self, region: Region) -> list[int]:
        """Pods, clients of each network that a case names, and backends."""
        found: list[int] = []
        if self._pods is not None:
            found.append(self._pods.value + 9)
        full = self._regions.full_mask
        for case in region.cases:
            for atom in case.condition:
                if isinstance(atom, SourceIn):
                    found += [n.value + (n.mask != full) for n in atom.networks]
            for outcome in case.allowed:
                if isinstance(outcome, Serve):
                    found += [b.address for b in outcome.backends[:_MOST_BACKENDS]]
        return list(dict.fromkeys(found))[:8]

    def _destinations(self, region: Region) -> Iterator[tuple[int, int, int]]:
        family, frontend = self._regions.family, region.frontend
        own = self._regions.node_networks[-1][0] | (len(self._regions.node_networks) == 1)
        if frontend is not None:
            yield frontend.address or own, frontend.port, frontend.protocol
        elif region.virtual_ip is not None:
            yield region.virtual_ip.value, HTTP_ALTERNATE, TCP
        else:
            elsewhere = DOCUMENTATION_SOURCE[family] + 1
            yield elsewhere, HTTP_ALTERNATE, TCP
            yield elsewhere, 53, 17
            yield own, 22, TCP
