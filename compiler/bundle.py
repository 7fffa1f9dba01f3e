"""A compiled node as files: one restore script per family, and what was compiled for whom."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from svcc import __version__
from svcc.compiler.pipeline import Compiled
from svcc.grammar.address import Family, format_address
from svcc.grammar.iptables.write import write
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.state import DEVICE, Ipvs, required_sysctls
from svcc.grammar.nftables import write as nftables
from svcc.grammar.nftables.program import Ruleset

FILE_NAMES = {Family.IPV4: "iptables.rules", Family.IPV6: "ip6tables.rules"}
RESTORE_COMMANDS = {Family.IPV4: "iptables-restore", Family.IPV6: "ip6tables-restore"}
MANIFEST = "bundle.json"
IPVSADM, IPSET, ADDRESSES = "ipvsadm.rules", "ipset.rules", "addresses.batch"
NFTABLES = "nftables.rules"


def script(compiled: Compiled, family: Family) -> str:
    """One family's restore script."""
    settings, name = compiled.settings, "IPv4" if family is Family.IPV4 else "IPv6"
    return (
        f"# svcc {__version__}: {name} rules of node {settings.node_name}, {settings.mode} mode.\n"
        f"# Load them with {RESTORE_COMMANDS[family]} --noflush; "
        "svcc apply does so in a safe order and keeps other rules.\n"
        f"{write(compiled.programs[family])}"
    )


def nftables_script(compiled: Compiled, tables: Ruleset) -> str:
    """What ``nft -f`` loads: svcc's tables of both families, in place of what was in them."""
    head = (
        f"# svcc {__version__}: tables of node {compiled.settings.node_name}, nftables mode.\n"
        "# Load them with nft -f, all at once; svcc apply sends what changed.\n"
    )
    replaced = "".join(
        # Declared first, so that there is something to delete.
        f"table {table.family} {table.name}\ndelete table {table.family} {table.name}\n"
        for table in tables.tables.values()
    )
    return head + replaced + nftables.write(tables)


def ipvs_scripts(compiled: Compiled, ipvs: Ipvs) -> dict[str, str]:
    """What ipvs mode loads beside iptables rules: for ipvsadm, ipset and ip -batch."""
    node = f"# svcc {__version__}: %s of node {compiled.settings.node_name}.\n"
    sets = node % "sets" + "# Load them with ipset restore, before the iptables rules.\n"
    addresses = node % "virtual IPs" + "# Load them with ip -batch, when all else is loaded.\n"
    return {
        # Nothing above them: at a comment ipvsadm -R shows its usage and ends.
        IPVSADM: ipvsadm.write(ipvs.servers),
        IPSET: sets + ipset.write(ipvs.sets),
        ADDRESSES: addresses + batch(ipvs),
    }


def batch(ipvs: Ipvs) -> str:
    """The dummy device and its addresses, for ``ip -batch`` (ip(8))."""
    if not any(ipvs.addresses.values()):
        return ""
    lines = [f"link add {DEVICE} type dummy", f"link set {DEVICE} up"]
    for family, addresses in sorted(ipvs.addresses.items()):
        for address in addresses:
            extra = " nodad" if family is Family.IPV6 else ""
            text = format_address(family, address)
            lines.append(f"address add {text}/{family.bits} dev {DEVICE}{extra}")
    return "".join(f"{line}\n" for line in lines)


def main_family(compiled: Compiled) -> Family:
    """The family to print where only one can be: IPv4 unless all frontends are IPv6."""
    families = {port.family for port in compiled.forwarding.service_ports}
    return Family.IPV6 if families == {Family.IPV6} else Family.IPV4


def render(compiled: Compiled) -> dict[str, str]:
    """Every file of the bundle by name. The same input gives the same bytes."""
    files = {FILE_NAMES[family]: script(compiled, family) for family in compiled.programs}
    counts = {
        FILE_NAMES[family]: {
            "chains": sum(len(table.chains) for table in program.tables.values()),
            "rules": sum(len(table.commands) for table in program.tables.values()),
        }
        for family, program in compiled.programs.items()
    }
    if compiled.tables is not None:
        files[NFTABLES] = nftables_script(compiled, compiled.tables)
        counts[NFTABLES] = _nftables_counts(compiled.tables)
    if compiled.ipvs is not None:
        files |= ipvs_scripts(compiled, compiled.ipvs)
        sets, servers = compiled.ipvs.sets.values(), compiled.ipvs.servers.values()
        counts[IPSET] = {"sets": len(sets), "entries": sum(len(s.entries) for s in sets)}
        counts[IPVSADM] = {
            "virtual_servers": len(servers),
            "real_servers": sum(len(s.servers) for s in servers),
        }
    manifest: dict[str, Any] = {
        "svcc": __version__,
        "node": compiled.settings.node_name,
        "known_node": compiled.settings.known_node,
        "mode": compiled.settings.mode,
        "route_localnet": compiled.route_localnet,
        "frontends": {
            family.label: sum(
                1
                + len(port.external_addresses)
                + len(port.balancer_addresses)
                + bool(port.node_port)
                for port in compiled.forwarding.of(family)
            )
            for family in Family
        },
        "files": {
            name: {"sha256": hashlib.sha256(text.encode()).hexdigest(), **counts.get(name, {})}
            for name, text in files.items()
        },
    }
    if compiled.ipvs is not None:
        manifest["sysctls"] = required_sysctls(compiled.ipvs)
        exclude = compiled.settings.ipvs.exclude_networks
        manifest["exclude"] = [str(network) for network in exclude]
        timeouts = zip(("tcp", "tcpfin", "udp"), compiled.ipvs.timeouts, strict=True)
        manifest["timeouts"] = {name: seconds for name, seconds in timeouts if seconds}
    files[MANIFEST] = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    return files


def _nftables_counts(tables: Ruleset) -> dict[str, int]:
    found = tables.tables.values()
    chains = [chain for table in found for chain in table.chains.values()]
    sets = [item for table in found for item in table.sets.values()]
    return {
        "chains": len(chains),
        "rules": sum(len(chain.rules) for chain in chains),
        "sets": len(sets),
        "elements": sum(len(item.elements) for item in sets),
    }
