"""What the verifier works with for single frontends: their regions, slices and questions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings
from svcc.grammar.address import Family
from svcc.verify.confirm.findings import Finding
from svcc.verify.explain import EndlessError
from svcc.verify.model.owned_rules import owned_rules
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.prepare.prepare import prepare
from svcc.verify.proof.prover import Prover
from svcc.verify.region_judge import RegionJudge
from svcc.verify.slicing.cutter import Cut, Cutter
from svcc.verify.slicing.regions import Region, Regions
from svcc.verify.smt.solver import Question
from svcc.verify.spec.for_rules import expectations_of


@dataclass(frozen=True, slots=True)
class Proof:
    """All that was asked about one region, in order, and what came of it."""

    region: Region
    questions: tuple[Question, ...]
    findings: tuple[Finding, ...]


class Inspector:
    """Shows one family's rules on one node as the verifier sees them.

    Where kube-proxies have read the objects in two ways, today's is meant.

    Raises:
        EndlessError: a walk through the rules does not end.
    """

    def __init__(
        self, objects: Objects, settings: NodeSettings, family: Family, loaded: LoadedRules
    ) -> None:
        prepared = prepare(loaded.rules, settings)
        if prepared.endless:
            raise EndlessError(loaded.source, prepared.endless[0].reason)
        self.family = family
        self.source = loaded.source
        self._rules = prepared.rules
        expectation = expectations_of(objects, settings, prepared.rules)[0]
        indexed = owned_rules(
            prepared.rules,
            expectation.settings.masquerade_mark,
            expectation.settings.pods.networks.get(family),
        )
        self._regions = Regions(indexed, expectation)
        self._cutter: Cutter | None = None

    def regions(self) -> Iterator[Region]:
        """The regions of frontends, each from a wire and from the node."""
        return (region for region in self._regions if region.frontend is not None)

    def cut(self, region: Region) -> Cut:
        """A region's slices.

        Raises:
            SliceTooLargeError: the rules touch the region in too many ways.
        """
        if self._cutter is None:
            self._cutter = Cutter(self._regions)
        return self._cutter.cut(region)

    def proof(self, region: Region) -> Proof:
        """What Z3 is asked about a region, as if it were the first: nothing is remembered."""
        questions: list[Question] = []
        judge = RegionJudge(self._regions, self._rules, Prover(questions.append))
        findings = tuple(judge.findings(region))
        return Proof(region, tuple(questions), findings)
