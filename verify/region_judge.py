"""One region, or one packet of it: what is proved, and what the simulator confirms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property

from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.confirm.allowances import AllowancesOfRegions
from svcc.verify.confirm.answers import Answer, Undecided, Violated
from svcc.verify.confirm.findings import (
    OUTSIDE,
    SHARES_BY_MARKS,
    Counterexample,
    Finding,
    is_worse,
)
from svcc.verify.confirm.judge import allowed_outcomes
from svcc.verify.confirm.replay import Trial, packet_of, unconfirmed, world_of
from svcc.verify.policy.judge import PolicyJudge
from svcc.verify.proof.prover import Prover
from svcc.verify.proof.refinement import refine
from svcc.verify.proof.shared_lists import SharedLists
from svcc.verify.signatures.signatures import Signature, Signatures
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Packet, World
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.cutter import Cut, Cutter
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.slicing.schema import Hook, Schema
from svcc.verify.slicing.slicer import SliceTooLargeError
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.packet_variables import packet_variables
from svcc.verify.smt.shares import tolerance
from svcc.verify.smt.term import Term, has_value
from svcc.verify.spec import codes
from svcc.verify.spec.outcomes import Case
from svcc.verify.spec.packet_conditions import FromPod, PacketCondition
from svcc.verify.spec.properties import LEFT_OUT


class RegionJudge:
    """Judges the regions of one family's rules.

    ``rules`` are those that ``regions`` were made of, prepared. ``statements`` are judged beside.
    """

    def __init__(
        self,
        regions: Regions,
        rules: RuleSet,
        prover: Prover,
        statements: PolicyJudge | None = None,
    ) -> None:
        self._regions = regions
        self._cutter = Cutter(regions)
        self._allowances = AllowancesOfRegions(regions)
        self._rules = rules
        self._prover = prover
        self._statements = statements
        self._alike: dict[Signature, tuple[str, ...]] = {}
        """The properties that regions with a signature have a say in, where all are proved for all
        numbers."""
        self._last_proved: tuple[Box, tuple[str, ...], list[Finding]] | None = None
        self._examples: dict[tuple[Schema, str], tuple[Violated, Numbering]] = {}
        self._shared_lists = SharedLists()
        self._tolerance: tuple[tuple[Hook, ...], Fraction] | None = None
        self.doubts: list[str] = []

    def trial(self, region: Region, schema: Schema) -> Trial:
        """What the simulator's results are judged by in a region that has this schema."""
        if self._tolerance is None or self._tolerance[0] is not schema.rewriting:
            # A region's properties and packets are asked about one after the other.
            self._tolerance = (schema.rewriting, tolerance(schema))
        return Trial(
            rules=self._rules,
            cases=region.cases,
            masquerade_mark=self._regions.mark,
            tolerance=self._tolerance[1],
        )

    # -- regions -----------------------------------------------------------------------

    def statements_alone(self) -> None:
        """Judge nothing but the statements of the policy."""
        statements = self._statements
        for region in self._regions:
            if statements is None or not statements.speak_of(region):
                continue
            self._prover.statistics.regions += 1
            try:
                cut = self._cutter.cut(region)
            except SliceTooLargeError:
                statements.too_large(region)
            else:
                statements.judge(region, cut, self._allowances.of(region))

    def may_send_to(self, region: Region, address: int, port: int | None) -> bool:
        """Whether the rules may translate packets of a region to an address and port (None: any);
        also where they are too many to tell.
        """
        try:
            boxes = self._cutter.cut(region).boxes
        except SliceTooLargeError:
            return True
        return any(
            not (address ^ box.address) & box.mask
            and (port is None or box.first_port <= port <= box.last_port)
            for box in boxes
            if box[:5] != region.box[:5]
        )

    def findings(self, region: Region) -> list[Finding]:
        """One finding per property that the region has a say in."""
        first, *others = self._regions.parts(region)
        found = self._of_part(first, region)
        for part in others:
            worst = {finding.property: finding for finding in found}
            for finding in self._of_part(part, region):
                known = worst.get(finding.property)
                if known is None or is_worse(finding.verdict, known.verdict):
                    worst[finding.property] = finding
            found = list(worst.values())
        return found

    def _of_part(self, region: Region, whole: Region) -> list[Finding]:
        signature = self._signature(region)
        if signature is not None and (names := self._alike.get(signature)) is not None:
            self._prover.statistics.regions += 1
            return self._proved_alike(region, names)
        try:
            cut = self._cutter.cut(region)
        except SliceTooLargeError:
            if self._statements is not None:
                self._statements.too_large(region)
            return self._too_large(region)
        self._shared_lists.note(whole, cut)
        boxes = None if self._regions.visits is None else cut.boxes
        moved = self._moved(region, cut) if boxes is None else None
        if moved is not None:
            self._prover.statistics.regions += 1
            self._judge_statements(region, cut)
            return moved
        schema, numbering = cut.schema, cut.numbering
        answers = refine(
            self._regions,
            region,
            schema,
            lambda extra: self._prover.region(schema, numbering, extra, boxes),
        )
        if answers.pop(LEFT_OUT, None) is not None:
            self.doubts.append(f"packets of {region.name} are sent where nobody looked")
        self._judge_statements(region, cut)
        for name, answer in answers.items():
            if isinstance(answer, Violated):
                self._examples[schema, name] = (answer, numbering)
        found = self._found(region, cut, answers)
        if signature is not None and self._holds_for_all(schema) and signature.is_whole(cut):
            self._alike[signature] = tuple(finding.property for finding in found)
        return found

    def _holds_for_all(self, schema: Schema) -> bool:
        """Whether all is proved whatever the numbers are: what holds for those of one region alone,
        such as that its backends lie in a network that rules ask senders for, says nothing of
        others.
        """
        return not any(self._prover.general(schema).values())

    def _proved_alike(self, region: Region, names: tuple[str, ...]) -> list[Finding]:
        last = self._last_proved
        if last is None or last[0] is not region.box or last[1] != names:
            # Both directions of a frontend come one after the other, and are found the same of.
            frontend, family = region.name, self._regions.family
            found = [Finding(name, frontend, family, "proved") for name in names]
            last = self._last_proved = region.box, names, found
        return last[2]

    @cached_property
    def _signatures(self) -> Signatures:
        return Signatures(self._regions, self._cutter)

    def _signature(self, region: Region) -> Signature | None:
        """The region's signature, unless it has to be cut for something else."""
        statements = self._statements
        if statements is not None and statements.speak_of(region):
            return None
        return self._signatures.of(region)

    def note_lists(self, region: Region) -> bool:
        """Note the recent lists of a region; whether it has any."""
        try:
            cut = self._cutter.cut(region)
        except SliceTooLargeError:
            return False
        self._shared_lists.note(region, cut)
        return bool(cut.numbering.lists)

    def list_findings(self) -> Iterator[Finding]:
        """What is wrong with the recent lists of all regions that were looked at."""
        return self._shared_lists.findings(
            self._rules, self._regions, self._allowances.to_frontends
        )

    def _judge_statements(self, region: Region, cut: Cut) -> None:
        # What statements say of a frontend is judged with the part that is the frontend's.
        if self._statements is not None and not region.left_alone:
            self._statements.judge(region, cut, self._allowances.of(region))

    def _too_large(self, region: Region) -> list[Finding]:
        reason = "too many rules touch these packets to be written out"
        return [
            self._undecided(region, name, reason, codes.TOO_MANY_RULES)
            for name in sorted(region.properties)
        ]

    def _found(
        self,
        region: Region,
        cut: Cut,
        answers: dict[str, Answer],
        packet: Packet | None = None,
    ) -> list[Finding]:
        # Most of what is found is this, once for each property of each frontend.
        wanted, frontend, family = region.properties, region.name, self._regions.family
        return [
            Finding(name, frontend, family, "proved")
            if answer is None
            else self._finding(region, cut, name, answer, packet)
            for name, answer in answers.items()
            if answer is not None or name in wanted
        ]

    def _moved(self, region: Region, cut: Cut) -> list[Finding] | None:
        """The findings of a region whose schema is known to fail, by the packets of another such
        region, put to this one's addresses; None if the simulator does not confirm them here.
        """
        schema, numbering = cut.schema, cut.numbering
        if not schema.fixed_destination or region.virtual_ip is not None:
            return None
        if not any((schema, name) in self._examples for name in region.properties):
            return None
        found = []
        addresses = {number: value for value, number in numbering.hosts.items()}
        wanted = region.properties
        for name, general in self._prover.general(schema).items():
            if general is None:
                if name in wanted:
                    found.append(self._proved(region, name))
                continue
            example = self._examples.get((schema, name))
            if example is None:
                return None
            answer, numbers = example
            values = dict(answer.values)
            if (host := numbers.hosts.get(int(values.get("src", -1)))) is not None:
                values["src"] = addresses[host]
            finding = self._finding(region, cut, name, replace(answer, values=values))
            if finding.verdict != "violated":
                return None
            found.append(finding)
        return found

    # -- one packet --------------------------------------------------------------------

    def of_packet(self, region: Region, packet: Packet) -> list[Finding]:
        """As :meth:`findings`, of one packet of the region alone.

        What a packet does not say (what lists remember of its sender, which way out is chosen,
        which addresses nobody has listed are the node's) is as bad as it can be.
        """
        region = self._allowances.part(region, packet)
        try:
            cut = self._cutter.cut(region)
        except SliceTooLargeError:
            return self._too_large(region)
        fixed = self._fixed(region, cut, packet)
        answers = self._prover.region(fixed, cut.numbering, _values_of(packet))
        return self._found(region, replace(cut, schema=fixed), answers, packet)

    def arrives(self, region: Region, packet: Packet) -> bool:
        """Whether a packet is one that may come at all, by what is assumed of all packets."""
        region = self._allowances.part(region, packet)
        cut = self._cutter.cut(region)
        encoding = Encoding(self._fixed(region, cut, packet))
        encoding.run()
        case = encoding.condition(encoding.schema.cases[0].condition)
        found = self._prover.term(encoding, "arrives", case, cut.numbering, _values_of(packet))
        return found is not None

    def _fixed(self, region: Region, cut: Cut, packet: Packet) -> Schema:
        """The region's schema with nothing to say of packets that come in elsewhere."""
        by_interface: PacketCondition = (
            (FromPod(packet.in_interface),) if packet.in_interface else ()
        )
        case = Case(by_interface, allowed_outcomes(region.cases, packet))
        return replace(cut.schema, cases=cut.numbering.cases((case,)))

    # -- answers -----------------------------------------------------------------------

    def _proved(self, region: Region, name: str) -> Finding:
        return Finding(name, region.name, self._regions.family, "proved")

    def _undecided(
        self, region: Region, name: str, reason: str, code: str, rules: tuple[Rule, ...] = ()
    ) -> Finding:
        family = self._regions.family
        return Finding(name, region.name, family, "undecided", None, reason, code, rules=rules)

    def _finding(
        self,
        region: Region,
        cut: Cut,
        name: str,
        answer: Violated | Undecided,
        packet: Packet | None = None,
    ) -> Finding:
        """What an answer comes to; ``packet``: the one that was asked about."""
        if isinstance(answer, Violated):
            return self._confirmed(region, cut, name, answer, packet)
        if answer.candidate is not None:
            found = self._confirmed(region, cut, name, answer.candidate, packet, sure=False)
            if found.verdict == "violated":
                return found
        if answer.reason == "unknown rule":
            rules = cut.outside_the_model()
            reason = OUTSIDE if rules else SHARES_BY_MARKS
            return self._undecided(region, name, reason, codes.OUTSIDE_THE_MODEL, rules)
        return self._undecided(region, name, "the solver gave up", codes.GAVE_UP)

    def _confirmed(
        self,
        region: Region,
        cut: Cut,
        name: str,
        answer: Violated,
        packet: Packet | None,
        *,
        sure: bool = True,
    ) -> Finding:
        """What the simulator says to a packet; unless ``sure`` only a failure of that very
        property counts.
        """
        family = self._regions.family
        packet = packet or packet_of(region, family, answer)
        world = world_of(self._regions, cut.numbering, packet, answer)
        world = replace(world, allowances=self._allowances.of(region))
        try:
            trial = self.trial(region, cut.schema)
            found = trial.failures(packet, world)
        except UndecidableError as undecidable:
            reason, rules = f"outside the model: {undecidable.what}", (undecidable.rule,)
            return self._undecided(region, name, reason, codes.OUTSIDE_THE_MODEL, rules)
        failure = next(
            (f for f in found if f.property == name), found[0] if found and sure else None
        )
        if failure is None:
            return self._undecided(region, name, unconfirmed(packet), codes.UNCONFIRMED)
        example = Counterexample(
            packet, failure.result.trace, failure.expected, failure.got, world=world,
            retry=trial.retry(packet, world),
        )  # fmt: skip
        return Finding(
            name, region.name, family, "violated", example, "", failure.code, failure.says
        )

    def usual_world(self, region: Region, packet: Packet) -> World:
        """The world as it is if nothing else is known: the client is new to all lists."""
        full = self._regions.full_mask
        return World(
            lambda address: self._regions.always_local(address, full),
            allowances=self._allowances.of(region, packet),
        )

    def usual_failures(self, region: Region, packet: Packet) -> Sequence[str]:
        """What the plain reading alone finds wrong with a packet in the usual world.

        Raises:
            UndecidableError: a rule outside the model decides.
        """
        world = self.usual_world(region, packet)
        found = self.trial(region, self._cutter.cut(region).schema).failures(packet, world)
        return [failure.says for failure in found]


def _values_of(packet: Packet) -> list[Term]:
    """That the solver's packet is this one."""
    variables = packet_variables(packet.family.bits)
    return [
        has_value(variables.src, packet.source),
        has_value(variables.sport, packet.source_port),
        has_value(variables.dst, packet.destination),
        has_value(variables.dport, packet.destination_port),
        has_value(variables.proto, packet.protocol),
        has_value(variables.mark0, packet.mark),
    ]
