"""What the kernel does where a set has no room for another element."""

from __future__ import annotations

import re
import socket

import pytest

from tests.support.kernel.testbed import Testbed

pytestmark = pytest.mark.kernel

RULES = """\
table ip t {{
	set few {{
		type ipv4_addr
		size 2
		flags dynamic
	}}
	chain out {{
		type filter hook output priority 0
		meta l4proto udp {operation} @few {{ ip daddr }} counter
	}}
}}
"""


@pytest.mark.parametrize("operation", ["add", "update"])
def test_a_full_set_ends_the_rule(testbed: Testbed, operation: str) -> None:
    testbed.node.run("nft", "-f", "-", text=RULES.format(operation=operation))
    with testbed.node.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for number in (1, 2, 3, 4, 1):
            sender.sendto(b"x", (f"127.0.0.{number}", 9))
    listed = testbed.node.run("nft", "list", "table", "ip", "t")
    # Whoever is in it goes on.
    assert re.findall(r"packets (\d+)", listed) == ["3"]
