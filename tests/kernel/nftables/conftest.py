"""A testbed whose rules nft alone loads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kernel.namespace import missing
from tests.support.kernel.testbed import Testbed


@pytest.fixture(scope="module")
def shared_testbed() -> Iterator[Testbed]:
    """One node for all tests of a module."""
    if reason := missing():
        pytest.skip(reason)
    with Testbed() as made:
        yield made


@pytest.fixture
def testbed(shared_testbed: Testbed) -> Testbed:
    """The node without any rules."""
    shared_testbed.reset("legacy")
    shared_testbed.node.run("nft", "flush", "ruleset")
    return shared_testbed
