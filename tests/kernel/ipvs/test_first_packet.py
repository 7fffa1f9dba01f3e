"""The measure of first packets has both ipvs modes where the kernel has IPVS."""

from __future__ import annotations

import re

import pytest

from bench import first_packet
from tests.support.kernel.namespace import missing
from tests.support.programs import random_ipvs as ipvs

pytestmark = pytest.mark.ipvs

# Fewer would take no time by the clock of User Mode Linux, which counts in steps of 10 ms.
QUICK = ["12", "--rounds=2", "--packets=6000", "--connections=60", "--endpoints=2"]


def test_both_ipvs_modes_have_figures(capsys: pytest.CaptureFixture[str]) -> None:
    if reason := missing() or ipvs.missing():
        pytest.skip(reason)
    first_packet.main(QUICK)
    printed = capsys.readouterr().out
    for name in ("kube-proxy, ipvs", "svcc, ipvs"):
        assert len(re.findall(rf"^\| {name} \| [\d,.]+ ± ", printed, re.MULTILINE)) == 3
