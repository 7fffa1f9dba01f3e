"""A node of its own for each test of apply, once for each variant of iptables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from svcc.apply.iptables.tool import Iptables, Variant
from svcc.grammar.address import Family
from tests.support.kernel.namespace import Namespace, missing, namespace
from tests.support.kernel.wire import Wire


@pytest.fixture
def node() -> Iterator[Namespace]:
    """The test runs inside this namespace."""
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made, made.entered():
        yield made


@pytest.fixture(params=["legacy", "nft"])
def variant(request: pytest.FixtureRequest) -> Variant:
    """Each variant in turn."""
    return "legacy" if request.param == "legacy" else "nft"


@pytest.fixture
def tools(node: Namespace, variant: Variant) -> Iptables:
    """The tools of one variant, on a node of their own."""
    del node
    return Iptables(variant)


@pytest.fixture(params=list(Family), ids=lambda family: str(family.label))
def wire(request: pytest.FixtureRequest, node: Namespace) -> Iterator[Wire]:
    """The node under test with a client beside it, once for each family."""
    with ExitStack() as stack:
        yield Wire(request.param, node, stack)
