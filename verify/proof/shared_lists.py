"""Recent lists that two Service ports share: a client of one would be bound at the other.

Each region is proved by itself, for any contents of the lists. What is recorded for one
Service port and asked for another shows only in two packets, which the simulator is sent.
Affinity is per Service port, as kube-proxy's (proxier.go: one list per endpoint chain).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from svcc.grammar.iptables.ruleset import RuleSet
from svcc.verify.confirm.findings import Counterexample, Finding, Retry
from svcc.verify.confirm.judge import allowed_outcomes, describe_outcome, describe_result
from svcc.verify.model.conditions import Recent
from svcc.verify.simulator.interpreter import distribution
from svcc.verify.simulator.matching import UndecidableError
from svcc.verify.simulator.packet import (
    DOCUMENTATION_SOURCE,
    EPHEMERAL_PORT,
    Allowances,
    Packet,
    World,
    endpoint_text,
)
from svcc.verify.slicing.cutter import Cut
from svcc.verify.slicing.items import with_bodies
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.spec import codes
from svcc.verify.spec.outcomes import Serve
from svcc.verify.spec.packet_conditions import SourceIn
from svcc.verify.spec.properties import FAIR

_MAX_SOURCES = 8


@dataclass(slots=True)
class SharedLists:
    """Which Service ports record clients in which lists, and which ask them."""

    _recorded: dict[str, dict[str, Region]] = field(default_factory=dict)
    _asked: dict[str, dict[str, Region]] = field(default_factory=dict)

    def note(self, region: Region, cut: Cut) -> None:
        """Remember the lists of one region."""
        if not cut.numbering.lists or region.frontend is None:
            return
        service = region.frontend.service
        for item in with_bodies(item for items in cut.slices for item in items):
            for condition in item.conditions:
                if not isinstance(condition, Recent):
                    continue
                if condition.records:
                    self._recorded.setdefault(condition.name, {}).setdefault(service, region)
                if condition.asks:
                    self._asked.setdefault(condition.name, {}).setdefault(service, region)

    def findings(
        self, rules: RuleSet, regions: Regions, allowances: Allowances
    ) -> Iterator[Finding]:
        """What a client of one Service port finds changed at another."""
        for name, askers in sorted(self._asked.items()):
            for service, asker in askers.items():
                for other, recorder in self._recorded.get(name, {}).items():
                    if other == service:
                        continue
                    try:
                        found = _two_packets(rules, regions, recorder, asker, allowances)
                    except UndecidableError as undecidable:
                        yield Finding(
                            FAIR, asker.name, regions.family, "undecided", None,
                            f"outside the model: {undecidable.what}", codes.OUTSIDE_THE_MODEL,
                            rules=(undecidable.rule,),
                        )  # fmt: skip
                        continue
                    if found is not None:
                        yield Finding(
                            FAIR, asker.name, regions.family, "violated", found,
                            "", codes.NOT_REMEMBERED, f"shares a recent list with {recorder.name}",
                        )  # fmt: skip


def _two_packets(
    rules: RuleSet, regions: Regions, first: Region, then: Region, allowances: Allowances
) -> Counterexample | None:
    """A client that was at one frontend, and what another one then does with it."""
    full = regions.full_mask

    def is_local(address: int) -> bool:
        return regions.always_local(address, full)

    stranger = World(is_local, allowances=allowances)
    for source in _sources(regions, first, then):
        before, packet = (_packet(regions, region, source) for region in (first, then))
        allowed = allowed_outcomes(then.cases, packet)
        if len(allowed) != 1 or not isinstance(allowed[0], Serve):
            continue
        wanted = {(backend.address, backend.port) for backend in allowed[0].backends}
        for _, result in distribution(rules, before, stranger):
            known = replace(stranger, recent=dict.fromkeys(result.recorded, 0))
            outcomes = [found for _, found in distribution(rules, packet, known)]
            if any(r.verdict == "excused" and not r.placed for r in outcomes):
                continue
            if {(r.destination, r.destination_port) for r in outcomes} != wanted:
                target = endpoint_text(packet.family, before.destination, before.destination_port)
                return Counterexample(
                    packet,
                    outcomes[0].trace,
                    f"{describe_outcome(packet, allowed[0])}, as a client that was never here",
                    f"{describe_result(packet, outcomes[0])} only, after a packet to {target}: "
                    "they share a recent list",
                    retry=Retry(
                        packet, stranger, allowed,
                        lambda others, _: _is_right(others, regions, first, then, allowances),
                    ),
                )  # fmt: skip
    return None


def _is_right(
    rules: RuleSet, regions: Regions, first: Region, then: Region, allowances: Allowances
) -> bool:
    try:
        return _two_packets(rules, regions, first, then, allowances) is None
    except UndecidableError:
        return False


def _sources(regions: Regions, *of: Region) -> list[int]:
    """Clients worth trying: one from nowhere, and one of each network that a case names."""
    found = [DOCUMENTATION_SOURCE[regions.family]]
    for region in of:
        for case in region.cases:
            for atom in case.condition:
                if isinstance(atom, SourceIn):
                    found += [n.value + (n.mask != regions.full_mask) for n in atom.networks]
    return list(dict.fromkeys(found))[:_MAX_SOURCES]


def _packet(regions: Regions, region: Region, source: int) -> Packet:
    frontend = region.frontend
    assert frontend is not None
    # The last address that is known to be the node's; of loopback, where none other is.
    own = regions.node_networks[-1][0] | (len(regions.node_networks) == 1)
    destination = own if frontend.address is None else frontend.address
    return Packet(
        regions.family,
        False,
        source,
        EPHEMERAL_PORT,
        destination,
        frontend.port,
        frontend.protocol,
        "eth0",
    )
