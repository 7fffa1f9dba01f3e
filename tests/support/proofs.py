"""One prover for all tests of a process: what was decided for one test is not decided again.

Tests of the prover itself, and those that break the verifier on purpose, have provers of their own.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial

from svcc.verify import engine
from svcc.verify.confirm.answers import Answer
from svcc.verify.proof.prover import Prover
from svcc.verify.slicing.box import Box
from svcc.verify.slicing.numbering import Numbering
from svcc.verify.slicing.schema import Schema
from svcc.verify.smt.encoding import Encoding
from svcc.verify.smt.term import Term


class RememberingProver(Prover):
    """A prover that knows the answers for given numbers again, too.

    Prover remembers the schemas that hold for all numbers; of damaged rules the same regions
    fail in test after test.
    """

    def __init__(self) -> None:
        super().__init__()
        self._regions: dict[Hashable, dict[str, Answer]] = {}
        self._terms: dict[Hashable, Answer] = {}

    def region(
        self,
        schema: Schema,
        numbering: Numbering,
        extra: Sequence[Term] = (),
        boxes: Sequence[Box] | None = None,
    ) -> dict[str, Answer]:
        """As the prover's own."""
        if boxes is not None:
            return super().region(schema, numbering, extra, boxes)
        key = (schema, _numbers(numbering), tuple(extra))
        known = self._regions.get(key)
        if known is None:
            known = self._regions[key] = super().region(schema, numbering, extra)
        else:
            self.statistics.regions += 1
        return dict(known)

    def term(
        self,
        encoding: Encoding,
        name: str,
        term: Term,
        numbering: Numbering | None = None,
        extra: Sequence[Term] = (),
    ) -> Answer:
        """As the prover's own."""
        numbers = None if numbering is None else _numbers(numbering)
        key = (type(encoding), encoding.schema, name, term, numbers, tuple(extra))
        if key not in self._terms:
            self._terms[key] = super().term(encoding, name, term, numbering, extra)
        return self._terms[key]


def _numbers(numbering: Numbering) -> Hashable:
    """All of a numbering that an answer depends on."""
    return (
        numbering.full_mask,
        tuple(numbering.hosts.items()),
        tuple(numbering.ports.items()),
        tuple(numbering.lists.items()),
        tuple(numbering.networks),
        numbering.default_port,
    )


PROVER = RememberingProver()
verify = partial(engine.verify, prover=PROVER, causes=False)
"""As :func:`svcc.verify.engine.verify`; verdicts and packets are the same without causes."""
verify_with_causes = partial(engine.verify, prover=PROVER)
"""As :func:`svcc.verify.engine.verify`, causes and all."""
