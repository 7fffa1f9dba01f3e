"""A testbed for each test module and each of the two iptables."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.kernel.uml import spawning
from tests.support.kernel.namespace import missing
from tests.support.kernel.testbed import Testbed, Variant

spawning.install()


@pytest.fixture(scope="module", params=["legacy", "nft"])
def variant(request: pytest.FixtureRequest) -> Variant:
    """Which iptables the rules are loaded with."""
    chosen: Variant = "legacy" if request.param == "legacy" else "nft"
    reason = missing()
    if reason is None and shutil.which(f"iptables-{chosen}-restore") is None:
        reason = f"needs iptables-{chosen}-restore"
    if reason:
        pytest.skip(reason)
    return chosen


@pytest.fixture(scope="module")
def shared_testbed(variant: Variant) -> Iterator[Testbed]:
    """One node for all tests of a module."""
    with Testbed() as made:
        yield made


@pytest.fixture
def testbed(shared_testbed: Testbed, variant: Variant) -> Testbed:
    """The node without any rules."""
    shared_testbed.reset(variant)
    return shared_testbed
