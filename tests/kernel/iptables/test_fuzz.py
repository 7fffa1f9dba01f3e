"""Random rule sets against the kernel, and the rules by which it taught the model something.

The long runs are those of ``python -m tests.fuzz``; docs/trust.md records them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcc.grammar.address import Family
from tests.fuzz.compare import disagreements, read_rules
from tests.fuzz.findings import FINDINGS, Finding
from tests.fuzz.run import Fuzz
from tests.fuzz.wires import Wires
from tests.support.effort import LONG
from tests.support.kernel.testbed import Variant

pytestmark = pytest.mark.kernel

SEED = 20
PAIRS = 40_000 if LONG else 2000


@pytest.fixture(scope="module")
def wires(variant: Variant) -> Iterator[Wires]:
    """One node for all tests of the module with one iptables."""
    with Wires() as made:
        yield made


@pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
def test_model_and_kernel_agree(variant: Variant, wires: Wires, family: Family) -> None:
    said: list[str] = []
    tally = Fuzz(wires, family, variant, SEED).run(PAIRS, say=said.append)
    assert not tally.found, "\n".join(said)
    assert tally.pairs >= PAIRS
    # The packets are worth comparing: each kind of end is met often.
    kinds = " ".join(tally.kinds)
    for kind in ("delivered translated", "sent translated", "sent masqueraded", "refused", "lost"):
        assert kind in kinds, tally


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.name)
def test_findings(variant: Variant, wires: Wires, finding: Finding) -> None:
    text = finding.text()
    complaint = wires.load(variant, Family.IPV4, text)
    assert complaint is None, complaint
    wires.forget()
    observed = wires.burst([finding.shot])
    wrong = list(disagreements(read_rules(text, Family.IPV4), [finding.shot], observed))
    assert not wrong, wrong[0]


def test_a_wrong_model_is_noticed(variant: Variant, wires: Wires) -> None:
    """Rules that are not the loaded ones: the difference is seen, whatever it is."""
    seen = 0
    for finding in FINDINGS:
        assert wires.load(variant, Family.IPV4, Finding.empty()) is None
        wires.forget()
        observed = wires.burst([finding.shot])
        rules = read_rules(finding.text(), Family.IPV4)
        seen += bool(list(disagreements(rules, [finding.shot], observed)))
    # One shows that a rule does nothing.
    assert seen == len(FINDINGS) - 1
