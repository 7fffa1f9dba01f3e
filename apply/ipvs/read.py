"""What of IPVS, sets and addresses is loaded, and which part of it is svcc's.

Told from the kernel alone. Sets are ours by their names, addresses by their device. A virtual
server has no name: it is ours if one of our sets or addresses speaks of it, those that are wanted
now included. Those that others made are known by their keys and never parsed further.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svcc.apply.ipvs.plan import Device
from svcc.apply.ipvs.sets import FIREWALL_MARK, PREFIX
from svcc.apply.system import sysctl
from svcc.apply.system.errors import ToolError
from svcc.apply.system.tools import Tools, call, is_installed, output_of
from svcc.grammar.address import Address, Family, Network, parse_address
from svcc.grammar.errors import InputError
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.ipset import PortOf, Sets
from svcc.grammar.ipvs.ipvsadm import VirtualKey, VirtualServers
from svcc.grammar.ipvs.state import DEVICE, Ipvs

_IPVS = Path("/proc/thread-self/net/ip_vs")
_DEVICES = Path("/proc/thread-self/net/dev")
_SET_MODULE = Path("/sys/module/ip_set")
_KEY = re.compile(r"-A (?:(-t|-u|--sctp-service) (\S+)|-f ([0-9]+)( -6)?)(?: |$)")
_PROTOCOLS = {"-t": 6, "-u": 17, "--sctp-service": 132}
_TIMEOUTS = re.compile(r"([0-9]+) ([0-9]+) ([0-9]+)\s*$")


@dataclass(slots=True)
class Live:
    """One reading. ``ipvs`` is our part, with the timeouts and switches of the whole node.

    ``settings``: values of the kernel settings that were asked for, by path below /proc/sys.
    ``foreign``: what virtual servers of others are called. Their sets come and go all the time.
    """

    ipvs: Ipvs = field(default_factory=Ipvs)
    device: Device = field(default_factory=Device)
    settings: dict[str, str] = field(default_factory=dict)
    foreign: frozenset[str] = frozenset()


def may_hold_state(tools: Tools) -> bool:
    """Whether svcc may have anything beside iptables rules on this node.

    Nothing is asked of a part of the kernel that is not in use: asking would load it.
    """
    if any(line.split(":")[0].strip() == DEVICE for line in _lines(_DEVICES)):
        return True
    is_unused = _SET_MODULE.parent.exists() and not _SET_MODULE.exists()
    if is_unused or not is_installed("ipset"):
        return False
    result = call(tools, "ipset", ["list", "-name"])
    return any(name.startswith(PREFIX) for name in result.output.split())


def printed(tools: Tools) -> dict[str, str]:
    """What ``ipvsadm -Sn`` and ``ipset save`` print, by command, of what is in use here.

    Nothing is asked of a part of the kernel that is not in use: asking would load it.

    Raises:
        ToolError: ipvsadm is not installed though there are virtual servers, or a tool failed.
    """
    found = {}
    if _IPVS.exists():
        found["ipvsadm -Sn"] = output_of(tools, "ipvsadm", ["-Sn"])
    if _SET_MODULE.exists() and is_installed("ipset"):
        found["ipset save"] = output_of(tools, "ipset", ["save"])
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def read(
    tools: Tools,
    *,
    claims: Iterable[Ipvs],
    exclude: Iterable[Network],
    settings: Iterable[str],
    need_ipvs: bool,
    node_ports_on: Iterable[Address] = (),
) -> Live:
    """Read everything.

    Args:
        tools: runs ipvsadm, ipset and ip.
        claims: what was or will be ours; it is asked like what is there.
        exclude: addresses whose virtual servers are never ours.
        settings: paths below /proc/sys to read.
        node_ports_on: addresses, besides those that the node has, whose virtual servers are ours
            if our sets speak of their ports.
        need_ipvs: False: virtual servers are looked for only if the kernel has IPVS loaded.

    Raises:
        ToolError: a tool is missing or failed, or prints what svcc does not know.
    """
    set_lines = output_of(tools, "ipset", ["save"]).splitlines()
    own_sets = _sets(line for line in set_lines if line.partition(" ")[2].startswith(PREFIX))
    devices = json.loads(output_of(tools, "ip", ["-j", "address", "show"]) or "[]")
    addresses, device = _device(devices)
    live = Live(Ipvs({}, own_sets, addresses), device)
    if need_ipvs or _IPVS.exists():
        ours = (live.ipvs, *claims)
        node = _node_addresses(devices) | {(item.family, item.value) for item in node_ports_on}
        owner = _Owner(ours, node, tuple(exclude))
        text = output_of(tools, "ipvsadm", ["-Sn"])
        live.ipvs.servers, live.foreign = _servers(text, owner)
        found = _TIMEOUTS.search(output_of(tools, "ipvsadm", ["-Ln", "--timeout"]))
        if found is not None:
            live.ipvs.timeouts = (int(found[1]), int(found[2]), int(found[3]))
    values = {name: sysctl.value(name) for name in settings}
    live.settings = {name: value for name, value in values.items() if value is not None}
    return live


def _sets(lines: Iterator[str]) -> Sets:
    try:
        return ipset.parse("".join(f"{line}\n" for line in lines), source="ipset save")
    except InputError as error:
        raise ToolError(
            f"a set named {PREFIX}… is none that svcc makes ({error}); remove it with ipset destroy"
        ) from error


# -- addresses -----------------------------------------------------------------------------


def _device(devices: list[dict[str, Any]]) -> tuple[dict[Family, tuple[int, ...]], Device]:
    found: dict[Family, list[int]] = {family: [] for family in Family}
    odd: list[tuple[Family, int, int]] = []
    own = [device for device in devices if device.get("ifname") == DEVICE]
    for entry in (entry for device in own for entry in device.get("addr_info", ())):
        # The kernel itself gives a device that goes up a link-local address.
        if entry["scope"] == "link":
            continue
        address = parse_address(entry["local"])
        if entry["prefixlen"] == address.family.bits:
            found[address.family].append(address.value)
        else:
            odd.append((address.family, address.value, entry["prefixlen"]))
    is_up = any("UP" in device.get("flags", ()) for device in own)
    addresses = {family: tuple(sorted(values)) for family, values in found.items()}
    return addresses, Device(bool(own), is_up, tuple(odd))


def _node_addresses(devices: list[dict[str, Any]]) -> frozenset[tuple[Family, int]]:
    addresses = (
        parse_address(entry["local"])
        for device in devices
        for entry in device.get("addr_info", ())
        if "local" in entry
    )
    return frozenset((address.family, address.value) for address in addresses)


# -- virtual servers -----------------------------------------------------------------------


class _Owner:
    """Tells whether a virtual server is ours."""

    def __init__(
        self,
        ours: tuple[Ipvs, ...],
        node: frozenset[tuple[Family, int]],
        exclude: tuple[Network, ...],
    ) -> None:
        self._node = node
        self._exclude = exclude
        self._keys = {key for one in ours for key in one.servers}
        self._addresses = {(f, a) for one in ours for f, v in one.addresses.items() for a in v}
        self._endpoints: set[tuple[Family, int, int, int]] = set()
        self._ports: set[tuple[Family, int, int]] = set()
        self._marks: set[tuple[Family, int]] = set()
        for item in (item for one in ours for item in one.sets.values()):
            for parts, entry in item.entries.items():
                if item.family is None:
                    continue
                if entry.mark is not None:
                    self._marks.add((item.family, entry.mark[0]))
                match parts:
                    case (Network() as network, PortOf(protocol, port)):
                        if item.kind == "hash:ip,port":
                            self._endpoints.add((item.family, network.value, protocol, port))
                        else:
                            self._ports.add((item.family, protocol, port))

    def owns(self, key: VirtualKey) -> bool:
        """Whether svcc may change it."""
        family, protocol, address, port = key
        if protocol == FIREWALL_MARK:
            return key in self._keys or (family, address) in self._marks
        if any(network.holds(Address(family, address)) for network in self._exclude):
            return False
        return (
            key in self._keys
            or (family, address, protocol, port) in self._endpoints
            or (family, address) in self._addresses
            or ((family, protocol, port) in self._ports and (family, address) in self._node)
        )


def _servers(text: str, owner: _Owner) -> tuple[VirtualServers, frozenset[str]]:
    """Our virtual servers, and what those of others are called."""
    own: list[str] = []
    foreign: set[str] = set()
    is_own = False
    for line in text.splitlines():
        if line.startswith("-A "):
            key = _key(line)
            is_own = key is not None and owner.owns(key)
            if not is_own:
                foreign.add(f"virtual server {key or line}")
        if is_own:
            own.append(line)
    try:
        servers = ipvsadm.parse("".join(f"{line}\n" for line in own), source="ipvsadm -Sn")
    except InputError as error:
        raise ToolError(
            f"a virtual server of svcc's is none that it makes ({error}); "
            "remove it with ipvsadm -D, or list its address in ipvs.excludeCIDRs"
        ) from error
    return servers, frozenset(foreign)


def _key(line: str) -> VirtualKey | None:
    found = _KEY.match(line)
    if found is None:
        return None
    if found[3]:
        family = Family.IPV6 if found[4] else Family.IPV4
        return VirtualKey(family, FIREWALL_MARK, int(found[3]), 0)
    return endpoint_key(_PROTOCOLS[found[1]], found[2])


def endpoint_key(protocol: int, text: str) -> VirtualKey | None:
    """The key of ``ADDRESS:PORT``, as ``ipvsadm -n`` prints it; None if it is none."""
    host, _, port = text.rpartition(":")
    try:
        address = parse_address(host.removeprefix("[").removesuffix("]"))
        return VirtualKey(address.family, protocol, address.value, int(port))
    except ValueError:
        return None
