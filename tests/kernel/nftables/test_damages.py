"""Counterexamples in the kernel: damaged tables do to the packet what the verifier says."""

from __future__ import annotations

import pytest

from tests.damages.confirm import confirm
from tests.damages.table import key
from tests.damages.trials import Trial, run, trials
from tests.support.kernel.testbed import Testbed

pytestmark = pytest.mark.kernel

SOME = [t for t in trials() if t.wanted == "violated" and t.rules.endswith("nftables")][::9]


@pytest.mark.parametrize("trial", SOME, ids=key)
def test_kernel_does_it(trial: Trial, testbed: Testbed) -> None:
    """All of them: ``python -m tests.damages --kernel``."""
    assert confirm(testbed, "legacy", run(trial, causes=False)) != "no"
