"""What a node is loaded with, one after the other: nothing, kube-proxy's rules, svcc's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from bench import kube_proxy_layout, kube_proxy_nftables_layout
from bench.generate import CLUSTER_CIDR, NODE
from bench.packets.stage import NODE_IP, Stage
from svcc.compiler.load.loader import load
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from tests.support.kernel.namespace import namespace
from tests.support.kernel.testbed import write_sysctl
from tests.support.layouts.kube_proxy_ipvs import written
from tests.support.programs import random_ipvs

Whose = Literal["nobody", "kube-proxy", "svcc"]
REFERENCES = ("kube-proxy, nftables", "kube-proxy, ipvs", "kube-proxy, iptables-legacy")
"""What others are compared with: the first that the kernel can have."""
NO_RULES, TRACKED = "no rules", "no rules, connections tracked"
_AT_ONCE = 1000
"""Chains in one transaction of kube-proxy's nftables layout."""
_TRACKING = """\
*filter
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
*nat
COMMIT
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to have Services in the kernel; ``load`` puts it into a node."""

    name: str
    whose: Whose
    load: Callable[[Stage, Inputs], None] = field(repr=False)


@dataclass(slots=True)
class Inputs:
    """The objects of one size, and what of them is compiled once for several variants."""

    objects: Path
    _bundles: dict[str, Path] = field(default_factory=dict)
    _kube_proxy: str | None = None

    def bundle(self, mode: str) -> Path:
        """svcc's own files for a mode."""
        if mode not in self._bundles:
            folder = self.objects.with_name(f"bundle-{mode}")
            svcc = [sys.executable, "-m", "svcc", "compile", *self._options(mode)]
            subprocess.run([*svcc, "-o", str(folder)], check=True, stdout=subprocess.DEVNULL)
            self._bundles[mode] = folder
        return self._bundles[mode]

    def kube_proxy_iptables(self) -> str:
        """kube-proxy's rules of iptables mode."""
        if self._kube_proxy is None:
            self._kube_proxy = "".join(kube_proxy_layout.lines(str(self.objects)))
        return self._kube_proxy

    def _options(self, mode: str) -> list[str]:
        where = ["--node-ip", NODE_IP, "--cluster-cidr", CLUSTER_CIDR[4]]
        return ["-f", str(self.objects), "--node", NODE, *where, "--mode", mode]


def variants() -> Iterator[Variant]:
    """All that this kernel can have."""
    tables, ipvs = has_tables(), random_ipvs.missing() is None
    tools = ("legacy", "nft") if tables else ("legacy",)
    yield Variant(NO_RULES, "nobody", lambda stage, inputs: None)
    yield Variant(TRACKED, "nobody", lambda stage, inputs: _legacy(stage, _TRACKING))
    for tool in tools:
        yield Variant(
            f"kube-proxy, iptables-{tool}", "kube-proxy", partial(_kube_proxy_iptables, tool)
        )
    if ipvs:
        yield Variant("kube-proxy, ipvs", "kube-proxy", _kube_proxy_ipvs)
    if tables:
        yield Variant("kube-proxy, nftables", "kube-proxy", _kube_proxy_nftables)
    for tool in tools:
        yield Variant(f"svcc, iptables-{tool}", "svcc", partial(_svcc_iptables, tool))
    if ipvs:
        yield Variant("svcc, ipvs", "svcc", _svcc_ipvs)
    if tables:
        yield Variant("svcc, nftables", "svcc", _svcc_nftables)


def has_tables() -> bool:
    """Whether the kernel has nf_tables for IPv4; User Mode Linux of Debian has not."""
    with namespace() as scratch:
        try:
            scratch.run("nft", "add table ip scratch")
        except RuntimeError:
            return False
    return True


def loaded(variant: Variant, stage: Stage, inputs: Inputs) -> float:
    """Load a variant into a node; how many seconds that took, compiling included."""
    start = time.monotonic()
    variant.load(stage, inputs)
    return time.monotonic() - start


def _legacy(stage: Stage, script: str) -> None:
    stage.node.run("iptables-legacy-restore", "-w", "--noflush", text=script)


def _nft(stage: Stage, script: str) -> None:
    stage.node.run("nft", "-f", "-", text=script)


def _kube_proxy_iptables(tool: str, stage: Stage, inputs: Inputs) -> None:
    stage.node.run(f"iptables-{tool}-restore", "-w", text=inputs.kube_proxy_iptables())


def _kube_proxy_nftables(stage: Stage, inputs: Inputs) -> None:
    for script in kube_proxy_nftables_layout.layout(str(inputs.objects)).scripts(_AT_ONCE):
        _nft(stage, script)


def _kube_proxy_ipvs(stage: Stage, inputs: Inputs) -> None:
    settings = NodeSettings(
        node_name=NODE,
        addresses=(parse_address(NODE_IP),),
        pods=PodDetection({Family.IPV4: parse_network(CLUSTER_CIDR[4])}),
    )
    texts = written(load([str(inputs.objects)]), settings)
    with stage.node.entered():
        write_sysctl("net/ipv4/vs/conntrack", "1")
    stage.node.run("ipset", "restore", text=texts.ipset)
    _legacy(stage, texts.iptables[Family.IPV4])
    stage.node.run("ipvsadm", "-R", text=texts.ipvsadm)
    stage.node.ip("link add kube-ipvs0 type dummy", *texts.addresses.splitlines())


def _svcc_iptables(tool: str, stage: Stage, inputs: Inputs) -> None:
    text = (inputs.bundle("iptables") / "iptables.rules").read_text()
    stage.node.run(f"iptables-{tool}-restore", "-w", "--noflush", text=text)


def _svcc_nftables(stage: Stage, inputs: Inputs) -> None:
    _nft(stage, (inputs.bundle("nftables") / "nftables.rules").read_text())


def _svcc_ipvs(stage: Stage, inputs: Inputs) -> None:
    bundle = inputs.bundle("ipvs")
    with stage.node.entered():
        for name, value in json.loads((bundle / "bundle.json").read_text())["sysctls"].items():
            write_sysctl(name.replace(".", "/"), value)
    stage.node.run("ipset", "restore", text=(bundle / "ipset.rules").read_text())
    _legacy(stage, (bundle / "iptables.rules").read_text())
    stage.node.run("ipvsadm", "-R", text=(bundle / "ipvsadm.rules").read_text())
    stage.node.run("ip", "-batch", "-", text=(bundle / "addresses.batch").read_text())


def frontends(objects: Path) -> list[str]:
    """The cluster IPs of all Services."""
    return [str(service.cluster_ips[0]) for service in load([str(objects)]).services]


def endpoints(objects: Path) -> list[str]:
    """The addresses of all endpoints."""
    slices = load([str(objects)]).slices
    return [str(endpoint.address) for item in slices for endpoint in item.endpoints]
