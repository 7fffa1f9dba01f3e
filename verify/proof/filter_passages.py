"""What kube-proxy's filter rules do beside the services.

Forwarded replies and packets with the masquerade mark are accepted whatever the FORWARD
policy is, packets of no known connection are dropped (or their resets would tear down
translated connections; https://github.com/kubernetes/kubernetes/issues/74839), and health
check node ports are open. Judged only where the rule set has service chains in ``filter``. In
nftables an acceptance ends one base chain only, and binds nobody else's: there only what is dropped
is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from svcc.grammar.iptables.program import Rule
from svcc.grammar.iptables.ruleset import RuleSet, nft_table_of, place_of
from svcc.verify.confirm.answers import Undecided, Violated
from svcc.verify.confirm.findings import OUTSIDE, Counterexample, Finding, Retry, VerdictName
from svcc.verify.confirm.replay import (
    TooManyWaysError,
    every_way,
    interface_of,
    packet_of_values,
    unconfirmed,
)
from svcc.verify.model.actions import Accept, Drop
from svcc.verify.model.conditions import Destination
from svcc.verify.model.ownership import is_proxy_chain, is_service_table
from svcc.verify.proof.prover import Prover
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import Packet, Result, World
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.foreign import without_foreign
from svcc.verify.slicing.items import Item
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.outside_the_model import rules_outside_the_model
from svcc.verify.slicing.regions import Regions
from svcc.verify.slicing.schema import Hook, Schema
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.term import Term, conjunction, disjunction, negate
from svcc.verify.spec import codes
from svcc.verify.spec.expectation import Expectation
from svcc.verify.spec.properties import LETS_THROUGH

_TCP = 6


@dataclass(frozen=True, slots=True)
class Passage:
    """Packets of one conntrack state at one filter hook, to be accepted or dropped."""

    name: str
    hook: str
    state: str
    accept: bool
    marked: bool = False
    port: int | None = None

    def schema(self, regions: Regions) -> tuple[Schema, tuple[Item, ...]]:
        """The passage as the solver sees it, and what it is made of."""
        inside = self.hook == "INPUT"
        box = Box(local=inside)
        if self.port is not None:
            box = Box(0, 0, _TCP, self.port, self.port, inside)
        slicer = regions.slicer(state=self.state)
        numbering = Numbering(full_mask=regions.full_mask)
        if self.port is not None:
            numbering.port(self.port)
        all_items: list[Item] = []
        hooks = []
        for table in self.tables(regions):
            items, policy = slicer.hook(table, self.hook, [box], box)
            # What the host's own rules decide first is not the service rules' business.
            items = without_foreign(items, verdict=Accept() if self.accept else Drop())
            all_items += items
            drops = policy == "DROP" and not self.accept
            hooks.append(Hook(table, self.hook, numbering.items(items), drops))
        hook = tuple(hooks)
        schema = Schema(
            family=regions.family,
            from_node=False,
            rewriting=(),
            inward=hook if inside else (),
            onward=() if inside else hook,
            cases=(),
            fixed_destination=False,
            fixed_port=self.port is not None,
            protocol=_TCP if self.port is not None else None,
            local=inside,
            mark=regions.mark,
            node_networks=regions.node_networks,
            state=self.state,
            marked=self.marked,
        )
        return schema, tuple(all_items)

    def tables(self, regions: Regions) -> list[str]:
        """The tables that are looked at: what is accepted by one is not accepted by others."""
        if self.accept:
            return ["filter"]
        tables = regions.rules.tables
        return [
            table
            for place in ("mangle", "filter", "security")
            for table in tables
            if table == "filter" or (place_of(table) == place and nft_table_of(table))
        ]

    def violated(self, encoding: Encoding) -> Term:
        """The term that a packet is not treated so."""
        if not self.accept:
            return negate(encoding.is_dropped)
        # The guard of loopback comes first.
        loopback = encoding.schema.node_networks[0]
        return conjunction(
            [
                encoding.condition((Destination(*loopback, negated=True),)),
                disjunction([*encoding.fell_through, encoding.is_dropped, encoding.is_rejected]),
            ]
        )

    def world(self, found: Violated, packet: Packet) -> World:
        """The world that the solver found, in which the packet passes the hook."""
        inside = self.hook == "INPUT"
        out = interface_of(found, "oif1", "eth1")
        return World(
            lambda address: inside and address != packet.source,
            out_interface=out,
            state=self.state,
        )

    def fulfilled_by(self, result: Result) -> bool:
        """Whether a simulated packet was treated so."""
        if not self.accept:
            return result.verdict == "dropped"
        return any(
            step.table == "filter" and step.rule is not None and step.effect == "ACCEPT"
            for step in result.trace
        )


def passages(regions: Regions, expectation: Expectation) -> Iterator[Passage]:
    """What has to be judged; nothing where ``filter`` has no service chains."""
    tables = regions.rules.tables
    of_iptables = any(map(is_proxy_chain, tables.get("filter", {})))
    if of_iptables:
        yield Passage("forwarded replies", "FORWARD", "ESTABLISHED", accept=True)
        yield Passage("forwarded packets with the mark", "FORWARD", "NEW", accept=True, marked=True)
    if expectation.drops_invalid and (of_iptables or any(map(is_service_table, tables))):
        yield Passage("forwarded packets of no connection", "FORWARD", "INVALID", accept=False)
    if not of_iptables:
        return
    for port in expectation.health_check_ports:
        yield Passage(f"health check node port {port}", "INPUT", "NEW", accept=True, port=port)


def _wrong(passage: Passage, rules: RuleSet, packet: Packet, world: World) -> list[Result]:
    """What becomes of the packet against what must, whatever is outside the model.

    Raises:
        UndecidableError: a rule outside the model decides.
    """

    def once(world: World) -> list[Result]:
        outcomes = distribution(rules, packet, world)
        return [result for _, result in outcomes if not passage.fulfilled_by(result)]

    try:
        return once(world)
    except UndecidableError as undecidable:
        try:
            ways = [once(way) for way in every_way(world)]
        except TooManyWaysError:
            raise undecidable from None
        if not all(ways):
            raise
        return ways[0]


def _is_right(passage: Passage, rules: RuleSet, packet: Packet, world: World) -> bool:
    try:
        return not _wrong(passage, rules, packet, world)
    except UndecidableError:
        return False


def judge_passage(passage: Passage, rules: RuleSet, regions: Regions, prover: Prover) -> Finding:
    """Prove or refute one passage."""
    schema, items = passage.schema(regions)
    encoding = Encoding(schema)
    encoding.run()
    answer = prover.term(encoding, LETS_THROUGH, passage.violated(encoding))
    family = regions.family

    def finding(
        verdict: VerdictName, reason: str = "", code: str = "", rules: tuple[Rule, ...] = ()
    ) -> Finding:
        return Finding(LETS_THROUGH, passage.name, family, verdict, None, reason, code, rules=rules)

    if answer is None:
        return finding("proved")
    if isinstance(answer, Undecided) and answer.candidate is not None:
        answer = answer.candidate
    if isinstance(answer, Undecided):
        if answer.reason == "solver":
            return finding("undecided", "the solver gave up", codes.GAVE_UP)
        unknown = rules_outside_the_model(items)
        return finding("undecided", OUTSIDE, codes.OUTSIDE_THE_MODEL, unknown)
    packet = packet_of_values(answer, family, False, passage.port)
    world = passage.world(answer, packet)
    try:
        wrong = _wrong(passage, rules, packet, world)
    except UndecidableError as undecidable:
        reason, rule = f"outside the model: {undecidable.what}", undecidable.rule
        return finding("undecided", reason, codes.OUTSIDE_THE_MODEL, (rule,))
    if not wrong:
        return finding("undecided", unconfirmed(packet), codes.UNCONFIRMED)
    expected = "accepted" if passage.accept else "dropped"
    retry = Retry(
        packet, world, (), lambda others, w: _is_right(passage, others, packet, w),
        "ACCEPT" if passage.accept else "DROP",
    )  # fmt: skip
    got = "left to the policy" if wrong[0].verdict == "passed" else wrong[0].verdict
    return Finding(
        LETS_THROUGH,
        passage.name,
        family,
        "violated",
        Counterexample(packet, wrong[0].trace, expected, got, world=world, retry=retry),
        "",
        codes.NOT_LET_THROUGH,
        f"must be {expected}, but they are {got}",
    )
