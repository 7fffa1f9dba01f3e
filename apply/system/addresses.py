"""The addresses that the node has at this moment."""

from __future__ import annotations

import json
from typing import Any

from svcc.apply.system.tools import Tools, output_of
from svcc.grammar.address import Address, parse_address
from svcc.grammar.ipvs.addresses import DUMMY_DEVICES

VIRTUAL_DEVICES = (*DUMMY_DEVICES, "nodelocaldns")
"""Devices whose addresses are those of Services."""


def local_addresses(tools: Tools) -> tuple[Address, ...]:
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


def virtual_ips(tools: Tools) -> tuple[Address, ...]:
    """The addresses that ipvs modes, svcc's and kube-proxy's, have made the node's own.

    Raises:
        ToolError: ip(8) is missing or failed.
    """
    found = (
        parse_address(item["local"])
        for device in _devices(tools)
        if device.get("ifname") in DUMMY_DEVICES
        for item in device.get("addr_info", ())
        if item.get("scope") != "link"
    )
    return tuple(dict.fromkeys(found))


def _devices(tools: Tools) -> list[dict[str, Any]]:
    text = output_of(tools, "ip", ["-json", "address", "show"])
    found: list[dict[str, Any]] = json.loads(text or "[]")
    return found
