"""A node of its own for each test; which iptables makes no difference to IPVS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from svcc.apply.iptables.tool import Iptables
from svcc.apply.ipvs.servers import available
from tests.support.kernel.namespace import Namespace, missing, namespace

ADDRESSES = ("192.168.7.10/32", "10.244.1.1/24", "fd00:7::10/128")


@pytest.fixture(scope="session", autouse=True)
def _ipvs() -> None:
    if reason := missing() or available(Iptables("legacy")):
        pytest.skip(reason)


@pytest.fixture
def node() -> Iterator[Namespace]:
    """The test runs inside this namespace."""
    with namespace() as made:
        made.ip(
            "link add ext0 type dummy",
            "link set ext0 up",
            *(
                f"address add {address} dev ext0" + (" nodad" if ":" in address else "")
                for address in ADDRESSES
            ),
        )
        made.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        with made.entered():
            yield made
