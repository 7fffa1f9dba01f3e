"""One packet's way through the rules, and whether it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Address, Family
from svcc.verify.confirm.findings import Finding, is_worse, worst
from svcc.verify.confirm.judge import allowed_outcomes, describe_outcome
from svcc.verify.confirm.replay import every_way
from svcc.verify.model.owned_rules import owned_rules
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.prepare import prepare
from svcc.verify.proof.prover import Prover
from svcc.verify.questions.senders import Destination, destination_of, usual_packets
from svcc.verify.questions.why import Reasons
from svcc.verify.region_judge import RegionJudge
from svcc.verify.report.explanation import Explanation, Way
from svcc.verify.report.report import MAX_NAMED, rule_text
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Allowances, Packet, World
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec.expectation import Frontend
from svcc.verify.spec.for_rules import expectations_of


class EndlessError(Exception):
    """A walk through the rules does not end."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(reason)
        self.source = source


class Explainer:
    """Explains packets of one family on one node.

    The verdict on a packet is that of :func:`svcc.verify.engine.verify` on its frontend, as far
    as it is about that packet: the same rules, the same expectation, the same allowances. What is
    shown is what the simulator does with it; where that contradicts the proof, nothing is proved.

    Raises:
        EndlessError: a walk through the rules does not end.
    """

    def __init__(
        self,
        objects: Objects,
        settings: NodeSettings,
        family: Family,
        loaded: LoadedRules,
        prover: Prover | None = None,
        *,
        reading: int = 0,
    ) -> None:
        """``reading``: which of the expectations that the rules may follow; then the others are
        asked only where they do not follow this one.
        """
        prepared = prepare(loaded.rules, settings)
        if prepared.endless:
            raise EndlessError(loaded.source, prepared.endless[0].reason)
        self._rules = prepared.rules
        self._source = loaded.source
        self._settings = settings
        self._family = family
        self._reasons = Reasons(objects, settings)
        prover = prover or Prover()
        expectation, *others = expectations_of(objects, settings, prepared.rules)[reading:]
        self._other: Explainer | None = None
        if others:
            self._other = Explainer(objects, settings, family, loaded, prover, reading=reading + 1)
        indexed = owned_rules(
            prepared.rules,
            expectation.settings.masquerade_mark,
            expectation.settings.pods.networks.get(family),
        )
        self._regions = Regions(indexed, expectation)
        self._judge = RegionJudge(self._regions, prepared.rules, prover)
        self._every = list(self._regions)
        self._known: dict[tuple[str, bool], list[Finding]] = {}
        self._shared: list[Finding] | None = None

    def packet(self, packet: Packet) -> Explanation:
        """One packet, as it is given; one from an address of the node is the node's own.

        Where kube-proxies have read the objects in two ways, it is right if it is by either.
        """
        found = self._packet(packet)
        if found.verdict != "proved" and self._other is not None:
            other = self._other.packet(packet)
            return other if other.verdict == "proved" else found
        return found

    def _packet(self, packet: Packet) -> Explanation:
        if self._regions.always_local(packet.source, self._regions.full_mask):
            packet = replace(packet, from_node=True, in_interface="")
        first, *others = [self._of_region(packet, region) for region in self._regions_of(packet)]
        for other in others:
            if is_worse(other.verdict, first.verdict):
                where = str(Address(self._family, packet.destination))
                return replace(other, worlds=(f"{where} is the node's own", *other.worlds))
        return first

    def _of_region(self, packet: Packet, region: Region) -> Explanation:
        whole = self._findings(region)
        found = whole
        if any(finding.verdict != "proved" for finding in whole):
            found = [*self._judge.of_packet(region, packet), *self._of_shared_lists(region)]
        wrong = tuple(f for f in found if f.verdict == "violated")
        undecided = tuple(self._why(f) for f in found if f.verdict == "undecided")
        notes: list[str] = []
        ways = self._ways(packet, self._judge.usual_world(region, packet), notes)
        if not wrong and not undecided:
            undecided = tuple(self._contradictions(region, packet))
            notes += self._notes(region, whole)
        worlds: tuple[str, ...] = ()
        if wrong and not self._is_wrong_usually(region, packet):
            example = wrong[0].counterexample
            if example is not None and example.world is not None:
                worlds = tuple(self._described(example.packet, example.world))
                ways = self._ways(packet, example.world, notes)
        allowed = allowed_outcomes(region.cases, packet)
        return Explanation(
            packet=packet,
            frontend=region.frontend,
            expected=", or ".join(describe_outcome(packet, outcome) for outcome in allowed),
            allowed=tuple(allowed),
            why=self._reasons.of(region.frontend, packet, allowed) if region.frontend else (),
            ways=ways,
            verdict="violated" if wrong else "undecided" if undecided else "proved",
            wrong=wrong,
            undecided=() if wrong else undecided,
            worlds=worlds,
            notes=tuple(notes),
            source=self._source,
        )

    # -- the verdict -------------------------------------------------------------------

    def _findings(self, region: Region) -> list[Finding]:
        """What verify finds of all packets of the region."""
        key = (region.name, region.from_node)
        if key not in self._known:
            found = [*self._judge.findings(region), *self._of_shared_lists(region)]
            self._known[key] = found
        return self._known[key]

    def _of_shared_lists(self, region: Region) -> Iterator[Finding]:
        """What is wrong as another Service port fills a recent list that this one asks."""
        if region.frontend is None:
            return
        if self._shared is None:
            if not self._judge.note_lists(region):
                return
            for other in self._every:
                self._judge.note_lists(other)
            self._shared = list(self._judge.list_findings())
        yield from (f for f in self._shared if f.frontend == region.name)

    def _contradictions(self, region: Region, packet: Packet) -> Iterator[str]:
        """Why what is proved of a packet is not said to be right all the same."""
        try:
            found = self._judge.usual_failures(region, packet)
        except UndecidableError:
            # Proved whatever that rule does.
            return
        if found and self._judge.arrives(region, packet):
            yield f"internal error, please report: proved, but the simulator {found[0]}"
        elif found:
            yield "no such packet is assumed to arrive (docs/verification.md)"

    def _is_wrong_usually(self, region: Region, packet: Packet) -> bool:
        try:
            return bool(self._judge.usual_failures(region, packet))
        except UndecidableError:
            return False

    def _notes(self, region: Region, whole: list[Finding]) -> Iterator[str]:
        """That other packets to the same frontend fare worse."""
        for verdict, text in (("violated", "is wrong"), ("undecided", "is not decided")):
            worse = next((f for f in whole if f.verdict == verdict), None)
            if worse is not None:
                why = worse.says or self._why(worse)
                yield f"for other packets {region.name} {text}: {why}"
                return

    def _why(self, finding: Finding) -> str:
        """Why a finding is not decided, with the rules that may decide."""
        rules = [rule_text(rule, self._family, self._source) for rule in finding.rules[:MAX_NAMED]]
        if len(finding.rules) > MAX_NAMED:
            rules.append(f"and {len(finding.rules) - MAX_NAMED} more rules")
        return f"{finding.property}: {finding.reason}" + "".join(f"; {rule}" for rule in rules)

    # -- what is shown -----------------------------------------------------------------

    def _ways(self, packet: Packet, world: World, notes: list[str]) -> tuple[Way, ...]:
        """All that can become of the packet, whoever does it."""
        world = replace(world, allowances=Allowances())
        try:
            found = distribution(self._rules, packet, world)
        except UndecidableError as error:
            notes.append(f"line {error.rule.line}: {error.what} is outside the model")
            try:
                found = distribution(self._rules, packet, next(every_way(world)))
            except UndecidableError:
                return ()
            notes[-1] += "; shown is the way if it is not true"
        return tuple(Way(share, result) for share, result in found)

    def _described(self, packet: Packet, world: World) -> Iterator[str]:
        """A world in words, as far as it is not the usual one."""
        for name, age in sorted(world.recent.items()):
            yield f"the sender was seen {age} s ago in the recent list {name}"
        own = packet.destination
        full = self._regions.full_mask
        if world.is_local(own) and not self._regions.always_local(own, full):
            yield f"{Address(self._family, own)} is the node's own"
        elif world.out_interface not in ("eth0", "eth1", "lo"):
            yield f"it leaves by {world.out_interface}"

    # -- frontends ---------------------------------------------------------------------

    @property
    def frontends(self) -> list[Frontend]:
        """Every frontend that is judged."""
        every = (region.frontend for region in self._every if not region.from_node)
        return [frontend for frontend in every if frontend is not None]

    def service(self, name: str) -> Iterator[Explanation]:
        """Every frontend of a Service (``NAMESPACE/NAME`` or ``NAMESPACE/NAME:PORT``), for each
        kind of sender.
        """
        return self.every_sender(lambda f: name in (f.service, f.service.partition(":")[0]))

    def every_sender(
        self, wanted: Callable[[Frontend], bool], at: Address | None = None
    ) -> Iterator[Explanation]:
        """Frontends, each for every kind of sender. ``at``: where packets to node ports are
        sent, None: to the node's first address.
        """
        for region in self._every:
            frontend = region.frontend
            if frontend is None or region.from_node or not wanted(frontend):
                continue
            to = destination_of(frontend)
            if to.address is None and at is not None:
                to = replace(to, address=at.value)
            shown = list(self.to(to))
            yield from shown
            seen = worst(item.verdict for item in shown)
            for other in (region, replace(region, from_node=True)):
                for finding in self._findings(other):
                    if not is_worse(finding.verdict, seen):
                        continue
                    found = self._as_found(other, finding, shown[0].packet)
                    if not self._is_right_otherwise(found.packet):
                        seen = finding.verdict
                        yield replace(found, sender="other")

    def to(self, destination: Destination) -> Iterator[Explanation]:
        """A packet from every kind of sender to a place, frontend or not."""
        for sender, packet in usual_packets(self._settings, destination):
            yield replace(self.packet(packet), sender=sender)

    def leading_to(self, address: int, port: int | None) -> frozenset[Frontend]:
        """The frontends from which some rule may send packets on to an address and port (None:
        any).
        """
        return frozenset(
            region.frontend
            for region in self._every
            if region.frontend is not None
            and region.frontend.address != address
            and self._judge.may_send_to(region, address, port)
        )

    def _is_right_otherwise(self, packet: Packet) -> bool:
        """Whether the packet is right by the other way to read the objects."""
        return self._other is not None and self._other.packet(packet).verdict == "proved"

    def _as_found(self, region: Region, finding: Finding, packet: Packet) -> Explanation:
        """The packet that shows a finding."""
        if finding.counterexample is not None:
            return self._of_region(finding.counterexample.packet, region)
        return replace(
            self._of_region(packet, region),
            verdict=finding.verdict,
            undecided=(self._why(finding),),
            ways=(),
        )

    def _regions_of(self, packet: Packet) -> list[Region]:
        """The region that a packet is in, and the one that it is in if its destination is an
        address of the node that nobody has listed.
        """
        place = (packet.destination, packet.protocol, packet.destination_port)
        local = self._regions.always_local(packet.destination, self._regions.full_mask)
        node_port = rest = None
        for region in self._every:
            if region.from_node != packet.from_node:
                continue
            front, virtual = region.frontend, region.virtual_ip
            if front is None:
                if virtual is None or virtual.value == packet.destination:
                    rest = rest or region
            elif (front.address, front.protocol, front.port) == place:
                return [region]
            elif (front.address, front.protocol, front.port) == (None, *place[1:]):
                node_port = region
        if local and node_port is not None:
            return [node_port]
        found = [rest]
        if node_port is not None and not self._regions.never_local(packet.destination):
            found.append(node_port)
        return [region for region in found if region is not None]
