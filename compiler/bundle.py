"""A compiled node as files: one restore script per family, and what was compiled for whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from svcc import __version__
from svcc.compiler.pipeline import Compiled
from svcc.grammar.address import Family, format_address
from svcc.grammar.iptables.write import write
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.state import DEVICE, Ipvs, required_sysctls
from svcc.grammar.nftables import write as nftables
from svcc.grammar.nftables.program import Ruleset
from svcc.grammar.nginx import directives as nginx
from svcc.grammar.nginx.state import DEVICE as PROXY_DEVICE
from svcc.grammar.nginx.state import Proxy

FILE_NAMES = {Family.IPV4: "iptables.rules", Family.IPV6: "ip6tables.rules"}
RESTORE_COMMANDS = {Family.IPV4: "iptables-restore", Family.IPV6: "ip6tables-restore"}
MANIFEST = "bundle.json"
IPVSADM, IPSET, ADDRESSES = "ipvsadm.rules", "ipset.rules", "addresses.batch"
NFTABLES = "nftables.rules"
NGINX, LOOPBACK_ADDRESSES = "nginx.conf", "addresses-on-loopback.batch"


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
    return _on_device(ipvs.addresses, DEVICE)


def _on_device(addresses: Mapping[Family, Sequence[int]], device: str) -> str:
    if not any(addresses.values()):
        return ""
    lines = []
    if device != "lo":
        lines += [f"link add {device} type dummy", f"link set {device} up"]
    for family, values in sorted(addresses.items()):
        for address in values:
            extra = " nodad" if family is Family.IPV6 else ""
            text = format_address(family, address)
            lines.append(f"address add {text}/{family.bits} dev {device}{extra}")
    return "".join(f"{line}\n" for line in lines)


def proxy_scripts(compiled: Compiled, proxy: Proxy) -> dict[str, str]:
    """What userspace mode loads: nginx's configuration, and addresses for ip -batch."""
    node = f"# svcc {__version__}: %s of node {compiled.settings.node_name}"
    configuration = (
        f"{node % 'proxy'}, userspace mode.\n"
        f"# Needs its virtual IPs on a device first: ip -batch {ADDRESSES}, which svcc compile\n"
        f"# -o DIR writes, or {LOOPBACK_ADDRESSES} where there is no dummy device.\n"
        f'# Try it with nginx -t -e stderr -p "$PWD" -c "$PWD/{NGINX}", start it without -t, and\n'
        "# have what is running take another one with -s reload. Where stream is built into\n"
        "# nginx, take load_module away.\n"
    )
    addresses = f"{node % 'virtual IPs'}.\n# Load them with ip -batch, before nginx starts.\n"
    return {
        NGINX: configuration + nginx.write(proxy.configuration),
        ADDRESSES: addresses + _on_device(proxy.addresses, PROXY_DEVICE),
        LOOPBACK_ADDRESSES: addresses + _on_device(proxy.addresses, "lo"),
    }


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
    if compiled.proxy is not None:
        files |= proxy_scripts(compiled, compiled.proxy)
        counts[NGINX] = _proxy_counts(compiled.proxy)
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


def _proxy_counts(proxy: Proxy) -> dict[str, int]:
    inner = [d.name for top in proxy.configuration.directives for d in top.block or ()]
    return {"servers": inner.count("server"), "upstreams": inner.count("upstream")}


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
