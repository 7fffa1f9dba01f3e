"""A node of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcc.apply.nftables import read
from svcc.apply.reverting import confirmation
from svcc.apply.seen import memory
from tests.support.kernel.namespace import Namespace, missing, namespace


@pytest.fixture
def node() -> Iterator[Namespace]:
    """The test runs inside this namespace."""
    if reason := missing():
        pytest.skip(reason)
    with namespace() as made, made.entered():
        made.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        yield made
        read.forget()
        memory.forget()
        confirmation.remove()
