"""kube-proxy's own rules: those that its unit tests had, and those that a real one loaded."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path
from typing import Any

from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.verify.prepare.loaded import LoadedRules
from svcc.verify.rule_files import from_text, ipvs_of
from tests.kube_proxy.recorded import cases
from tests.paths import DATA

REAL = DATA / "kube-proxy-1.36"

_BUILT_IN = re.compile(r"^:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) - \[", re.MULTILINE)
_LETTERS = {"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service"}


# -- of the unit tests ---------------------------------------------------------------------


def recorded_rules(name: str, family: Family) -> LoadedRules:
    """The rules that kube-proxy's test double had in a case.

    It prints no policy for built-in chains; iptables-save prints ACCEPT.
    """
    text = _BUILT_IN.sub(r":\1 ACCEPT [", cases()[name]["dump"]["iptables"])
    return from_text(text, family, "iptables-save")


def recorded_ipvs(name: str, family: Family) -> LoadedRules:
    """The same with the virtual servers, sets and addresses of an ipvs case."""
    extra = cases()[name]["extra"]
    rules = recorded_rules(name, family)
    addresses = [f"address add {text} dev kube-ipvs0" for text in sorted(extra["boundAddresses"])]
    inet = "inet6" if family is Family.IPV6 else "inet"
    rules.rules.ipvs = ipvs_of(
        {
            "ipvsadm": (_ipvsadm(extra["virtualServers"]), "ipvsadm"),
            "ipset": (_ipset(extra["ipsets"], inet), "ipset"),
            "addresses": ("\n".join(addresses), "addresses"),
        }
    )
    return rules


def place(address: str, port: int) -> str:
    """``ADDRESS:PORT``, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _ipvsadm(servers: list[dict[str, Any]]) -> str:
    """As ipvsadm -Sn prints it."""
    lines = []
    for server in servers:
        front = f"{_LETTERS[server['protocol']]} {place(server['address'], server['port'])}"
        persistent = f" -p {server['timeout']}" if server["flags"] & 1 else ""
        lines.append(f"-A {front} -s {server['scheduler'] or 'rr'}{persistent}")
        for real in sorted(server["realServers"], key=lambda r: (r["address"], r["port"])):
            there = place(real["address"], real["port"])
            lines.append(f"-a {front} -r {there} -m -w {real['weight']}")
    return "\n".join(lines)


def _ipset(sets: dict[str, dict[str, Any]], inet: str) -> str:
    """As ipset save prints it; the double makes all sets of family inet."""
    lines = []
    for name, item in sorted(sets.items()):
        options = f"family {inet} hashsize 1024 maxelem 65536"
        if item["type"].startswith("bitmap"):
            options = f"range {item['range'] or '0-65535'}"
        lines.append(f"create {name} {item['type']} {options}")
        lines += [f"add {name} {entry}" for entry in item["entries"]]
    return "\n".join(lines)


# -- of a real one -------------------------------------------------------------------------


def real_names(file: str) -> list[str]:
    """The folders that have a file."""
    return sorted(
        folder.name
        for folder in REAL.iterdir()
        if folder.is_dir() and _path(folder.name, file) is not None
    )


def real_text(name: str, file: str) -> str:
    """What a file of a folder holds, gzipped or not."""
    path = _path(name, file)
    assert path is not None, f"{name} has no {file}"
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def _path(name: str, file: str) -> Path | None:
    for path in (REAL / name / file, REAL / name / f"{file}.gz"):
        if path.exists():
            return path
    return None


@cache
def real_objects(name: str) -> Objects:
    """The objects that kube-proxy was given."""
    (path,) = (p for p in (REAL / name).iterdir() if p.name.startswith("objects."))
    return (
        load([str(path)]) if path.suffix != ".gz" else _load_text(real_text(name, "objects.json"))
    )


def _load_text(text: str) -> Objects:
    import io

    return load(["-"], stdin=io.BytesIO(text.encode()))


def real_settings(name: str, mode: str = "iptables") -> NodeSettings:
    """The node that it ran on."""
    lines = real_text(name, "node.yaml").splitlines()
    values = dict(line.split(": ", 1) for line in lines if not line.startswith("#"))
    networks = [parse_network(text) for text in values["cluster-cidr"].split(",")]
    node = next((n for n in real_objects(name).nodes if n.name == values["node-name"]), None)
    return NodeSettings(
        node_name=values["node-name"],
        addresses=tuple(parse_address(text) for text in values["node-ip"].split(",")),
        zone=None if node is None else node.zone,
        mode="ipvs" if mode == "ipvs" else "iptables",
        pods=PodDetection({network.family: network for network in networks}),
        masquerade_all=values.get("masquerade-all") == "true",
    )


def real_ipvs(name: str) -> dict[Family, LoadedRules]:
    """What it loaded in ipvs mode."""
    ipvs = ipvs_of(
        {
            "ipvsadm": (real_text(name, "ipvs-ipvsadm.txt"), "ipvsadm"),
            "ipset": (real_text(name, "ipvs-ipset.txt"), "ipset"),
            "addresses": (real_text(name, "ipvs-addresses.batch"), "addresses"),
        }
    )
    found = {
        family: from_text(real_text(name, f"ipvs-{file}"), family, file)
        for family, file in (
            (Family.IPV4, "iptables-save.txt"),
            (Family.IPV6, "ip6tables-save.txt"),
        )
    }
    for item in found.values():
        item.rules.ipvs = ipvs
    return found
