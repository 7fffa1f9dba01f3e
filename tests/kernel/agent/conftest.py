"""A node for an agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcc.apply.nftables.read import forget
from tests.support.kernel.namespace import Namespace, missing, namespace

ADDRESS = "192.168.7.10"


@pytest.fixture
def node() -> Iterator[Namespace]:
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made:
        made.ip(f"addr add {ADDRESS}/32 dev lo")
        yield made
        with made.entered():
            forget()
