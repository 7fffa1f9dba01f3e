"""A bundle loaded by hand, with the tools that its files are for."""

from __future__ import annotations

import pytest

from tests.support.clusters.cases import read_case
from tests.support.clusters.ipvs_cases import compiled_case, send_all
from tests.support.kernel.testbed import Testbed, Variant
from tests.support.programs import random_ipvs as ipvs

pytestmark = pytest.mark.ipvs

CASES = ["dual-stack", "external-local", "affinity-local", "no-endpoints", "source-ranges", "sctp"]


@pytest.mark.parametrize("name", CASES)
def test_packets_see_what_they_must(name: str, testbed: Testbed, variant: Variant) -> None:
    case = read_case(name)
    compiled = compiled_case(name)
    ipvs.load(testbed, variant, compiled)
    wrong = send_all(testbed, case, compiled)
    assert not wrong, "\n".join(wrong)
