"""The addresses that the node has at this moment."""

from __future__ import annotations

import json

from svcc.apply.iptables.tool import Iptables, find_tool
from svcc.apply.system.errors import ToolError
from svcc.grammar.address import Address, parse_address
from svcc.grammar.ipvs.state import DEVICE

VIRTUAL_DEVICES = (DEVICE, "kube-ipvs0", "nodelocaldns")
"""Devices whose addresses are those of Services."""


def local_addresses(tools: Iptables) -> tuple[Address, ...]:
    """The node's own addresses, those of loopback, of single links and of Services aside.

    Raises:
        ToolError: ip(8) is missing or failed.
    """
    path = find_tool("ip")
    if path is None:
        raise ToolError("ip is not installed (Debian package: iproute2)")
    result = tools.run([path, "-json", "address", "show"])
    if result.code:
        raise ToolError(f"ip address show failed: {' '.join(result.error.split())}")
    found: list[Address] = []
    for device in json.loads(result.output or "[]"):
        if device.get("ifname") in VIRTUAL_DEVICES:
            continue
        for item in device.get("addr_info", ()):
            if item.get("scope") not in ("link", "host"):
                found.append(parse_address(item["local"]))
    return tuple(dict.fromkeys(found))
