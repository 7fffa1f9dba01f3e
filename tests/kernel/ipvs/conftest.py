"""A node for all tests of a module; which iptables makes no difference to IPVS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kernel.namespace import missing
from tests.support.kernel.testbed import Testbed, Variant
from tests.support.programs import random_ipvs as ipvs


@pytest.fixture(scope="module", params=["legacy"])
def variant(request: pytest.FixtureRequest) -> Variant:
    """Which iptables the rules are loaded with."""
    if reason := missing() or ipvs.missing():
        pytest.skip(reason)
    return "legacy" if request.param == "legacy" else "nft"


@pytest.fixture(scope="module")
def shared_testbed(variant: Variant) -> Iterator[Testbed]:
    """One node for all tests of a module."""
    with Testbed() as made:
        yield made


@pytest.fixture
def testbed(shared_testbed: Testbed, variant: Variant) -> Testbed:
    """The node without any rules."""
    shared_testbed.reset(variant)
    ipvs.unload(shared_testbed)
    return shared_testbed
