"""The addresses that the node has at this moment."""

from __future__ import annotations

import json
from typing import Any

from svcc.apply.iptables.tool import Iptables, find_tool
from svcc.apply.system.errors import ToolError
from svcc.grammar.address import Address, parse_address
from svcc.grammar.ipvs.state import DEVICE

IPVS_DEVICES = (DEVICE, "kube-ipvs0")
VIRTUAL_DEVICES = (*IPVS_DEVICES, "nodelocaldns")
"""Devices whose addresses are those of Services."""


def local_addresses(tools: Iptables) -> tuple[Address, ...]:
    """The node's own addresses, those of loopback, of single links and of Services aside.

    Raises:
        ToolError: ip(8) is missing or failed.
    """
    found = (
        parse_address(item["local"])
        for device in _devices(tools)
        if device.get("ifname") not in VIRTUAL_DEVICES
        for item in device.get("addr_info", ())
        if item.get("scope") not in ("link", "host")
    )
    return tuple(dict.fromkeys(found))


def virtual_ips(tools: Iptables) -> tuple[Address, ...]:
    """The addresses that ipvs modes, svcc's and kube-proxy's, have made the node's own.

    Raises:
        ToolError: ip(8) is missing or failed.
    """
    found = (
        parse_address(item["local"])
        for device in _devices(tools)
        if device.get("ifname") in IPVS_DEVICES
        for item in device.get("addr_info", ())
        if item.get("scope") != "link"
    )
    return tuple(dict.fromkeys(found))


def _devices(tools: Iptables) -> list[dict[str, Any]]:
    path = find_tool("ip")
    if path is None:
        raise ToolError("ip is not installed (Debian package: iproute2)")
    result = tools.run([path, "-json", "address", "show"])
    if result.code:
        raise ToolError(f"ip address show failed: {' '.join(result.error.split())}")
    found: list[dict[str, Any]] = json.loads(result.output or "[]")
    return found
