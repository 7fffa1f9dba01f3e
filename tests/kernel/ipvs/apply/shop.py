"""Two states of one shop, compiled for both modes, and what a node holds of them."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svcc.apply.engine import apply
from svcc.apply.iptables.tool import Iptables
from svcc.apply.outcome import Outcome
from svcc.apply.system.tools import Result, Runner, run_tool
from svcc.compiler.load.loader import load
from svcc.compiler.pipeline import Compiled, compile_objects
from svcc.compiler.settings.configuration import Overrides, load_configuration, node_settings
from svcc.grammar.ipvs import ipset, ipvsadm
from svcc.grammar.ipvs.state import DEVICE
from tests.support.kernel.namespace import Namespace

Document = dict[str, Any]
HERE = ("10.244.1.", "fd00:244:1:")
NODE: Document = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "node-a"},
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "192.168.7.10"},
            {"type": "InternalIP", "address": "fd00:7::10"},
        ]
    },
}


def service(
    name: str, ip: str, ports: Sequence[str], backends: Sequence[str], **spec: Any
) -> list[Document]:
    """A Service and its endpoints.

    Args:
        name: of the Service.
        ip: its cluster IP.
        ports: as ``80`` or ``53/UDP``; backends listen on the same.
        backends: addresses; which node they are on follows from them.
        spec: further fields; ``balancer`` is the address of its load balancer.
    """
    listed = [
        {"name": f"p{number}", "port": int(port.partition("/")[0]),
         "protocol": port.partition("/")[2] or "TCP"}
        for number, port in enumerate(ports)
    ]  # fmt: skip
    balancer = spec.pop("balancer", None)
    node_port = spec.pop("nodePort", None)
    if node_port is not None:
        listed[0]["nodePort"] = node_port
    version = "IPv6" if ":" in ip else "IPv4"
    made: Document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": ip, "ipFamilies": [version], "ports": listed, **spec},
    }
    if balancer is not None:
        made["spec"]["type"] = "LoadBalancer"
        made["status"] = {"loadBalancer": {"ingress": [{"ip": balancer}]}}
    elif node_port is not None:
        made["spec"]["type"] = "NodePort"
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": version,
        "ports": [{k: port[k] for k in ("name", "port", "protocol")} for port in listed],
        "endpoints": [
            {"addresses": [address], "nodeName": "node-a" if address.startswith(HERE) else "node-b"}
            for address in backends
        ],
    }
    return [made, endpoints]


def compiled(documents: Sequence[Document], mode: str = "ipvs", **config: Any) -> Compiled:
    """Compile for the node; ``config`` are fields of KubeProxyConfiguration."""
    with tempfile.TemporaryDirectory() as folder:
        objects_file, config_file = Path(folder, "objects.json"), Path(folder, "config.json")
        listed = {"apiVersion": "v1", "kind": "List", "items": [NODE, *documents]}
        objects_file.write_text(json.dumps(listed))
        head = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clusterCIDR": "10.244.0.0/16,fd00:244::/32",
        }
        config_file.write_text(json.dumps({**head, **config}))
        objects = load([str(objects_file)])
        settings, _ = node_settings(
            objects,
            load_configuration(str(config_file)),
            Overrides(proxy_mode=mode),
            Overrides(),
            hostname="node-a",
        )
    return compile_objects(objects, settings)


LOCAL = {"externalTrafficPolicy": "Local"}
OLD = [
    *service("web", "10.96.0.10", ["80"], ["10.244.1.5", "10.244.1.6", "10.244.2.7"],
             nodePort=30080, balancer="198.51.100.20", **LOCAL,
             loadBalancerSourceRanges=["203.0.113.0/24"]),
    *service("dns", "10.96.0.11", ["53/UDP", "53"], ["10.244.1.9", "10.244.2.9"]),
    *service("idle", "10.96.0.12", ["80"], []),
    *service("old", "10.96.0.13", ["80", "81/SCTP"], ["10.244.1.5"], balancer="198.51.100.21",
             loadBalancerSourceRanges=["192.0.2.0/24"]),
    *service("six", "fd00:96::a", ["80"], ["fd00:244:1::5", "fd00:244:2::7"], **LOCAL,
             nodePort=30086),
]  # fmt: skip
NEW = [
    *service("web", "10.96.0.10", ["80"], ["10.244.1.6", "10.244.3.8"], nodePort=30081,
             balancer="198.51.100.20", loadBalancerSourceRanges=["192.0.2.0/24"]),
    *service("dns", "10.96.0.11", ["53/UDP", "53"], ["10.244.2.9", "10.244.3.9"]),
    *service("idle", "10.96.0.12", ["80"], ["10.244.1.5"]),
    *service("new", "10.96.0.14", ["80", "53/UDP"], ["10.244.1.5", "10.244.2.7"],
             balancer="198.51.100.22", **LOCAL),
    *service("six", "fd00:96::b", ["80"], ["fd00:244:2::7"]),
    *service("sticky", "10.96.0.15", ["80"], ["10.244.1.5"], sessionAffinity="ClientIP"),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class State:
    """Everything that apply may touch, as the tools print it, sorted where order says nothing."""

    rules: str
    servers: dict[ipvsadm.VirtualKey, ipvsadm.VirtualServer]
    sets: dict[str, ipset.Set]
    addresses: tuple[str, ...]


def state(node: Namespace) -> State:
    """What is there now, everybody's."""
    rules = []
    for tool in ("iptables", "ip6tables"):
        table = ""
        for line in node.run(f"{tool}-legacy-save").splitlines():
            if line.startswith("*"):
                table = f"{tool} {line}"
            # A table that was looked at is there, with its built-in chains.
            elif not re.match(r"#|COMMIT|:[A-Z]+ ACCEPT ", line):
                rules.append(f"{table} {line.partition(' [')[0]}")
    devices = json.loads(node.run("ip", "-j", "address", "show"))
    addresses = [
        f"{device['ifname']} {entry['local']}/{entry['prefixlen']}"
        for device in devices
        for entry in device["addr_info"]
        if entry["scope"] != "link"
    ]
    addresses += [DEVICE for device in devices if device["ifname"] == DEVICE]
    return State(
        "\n".join(rules),
        ipvsadm.parse(node.run("ipvsadm", "-Sn"), source="ipvsadm"),
        ipset.parse(node.run("ipset", "save"), source="ipset"),
        tuple(sorted(addresses)),
    )


def put(
    what: Compiled, tools: Iptables | None = None, *, drain: float = 0, **options: Any
) -> Outcome:
    """Apply a compiled shop."""
    return apply(
        what.programs,
        route_localnet=what.route_localnet,
        ipvs=what.ipvs,
        drain=drain,
        tools=tools or Iptables("legacy"),
        wait=None,
        **options,
    )


def changes(arguments: Sequence[str]) -> bool:
    """Whether a command changes the node."""
    name, first = arguments[0].rpartition("/")[2], [*arguments, ""][1]
    return name.endswith("-restore") or (name, first) in {
        ("ipvsadm", "-R"),
        ("ipvsadm", "--set"),
        ("ipset", "restore"),
        ("ip", "-batch"),
        ("conntrack", "-D"),
    }


def counted(action: Callable[[Iptables], object]) -> int:
    """How many commands change the node while ``action`` is at work."""
    seen = 0

    def run(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        nonlocal seen
        seen += changes(arguments)
        return run_tool(arguments, text, keep_open)

    action(Iptables("legacy", run=run))
    return seen


def at_change(number: int, act: Callable[[Sequence[str], str | None], Result | None]) -> Runner:
    """A runner that calls ``act`` in place of the change of that number, counted from 1.

    Where ``act`` returns None, the change takes place after all.
    """
    seen = 0

    def run(arguments: Sequence[str], text: str | None, keep_open: tuple[int, ...]) -> Result:
        nonlocal seen
        seen += changes(arguments)
        if changes(arguments) and seen == number:
            result = act(arguments, text)
            if result is not None:
                return result
        return run_tool(arguments, text, keep_open)

    return run
