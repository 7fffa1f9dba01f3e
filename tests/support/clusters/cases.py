"""The behaviour cases of ``tests/data/behaviour``: objects, a node, packets, what each must see.

A case is one file of YAML documents. The first is the case itself, of kind ``BehaviourCase``,
which svcc passes over, so that the file as it stands can be given to ``svcc -f``:

    kind: BehaviourCase
    about: what it shows, in a sentence
    config: {}          # KubeProxyConfiguration; by default only clusterCIDR, both families
    node: node-a        # its name; without a Node object in the file the usual one is added
    endpoints: false    # the slices cannot be said with Endpoints objects; why, in a comment
    packets:
    - from: pod         # pod, other-pod, outside or node; a source address may follow
      to: 10.96.0.10:80/udp   # TCP without a protocol
      sees: [10.244.1.5:8080] # every one of these and no other; or: refused, dropped, untouched
      masqueraded: true # the source becomes the node's; false if absent. Hairpins always are
      sticky: true      # a client comes back to its backend; false if absent
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from svcc.compiler.load.loader import load as load_objects
from svcc.compiler.model.objects import Objects
from svcc.compiler.settings.configuration import load_configuration, node_settings
from svcc.compiler.settings.node import NodeSettings
from svcc.compiler.settings.overrides import Overrides
from tests.paths import DATA
from tests.support.kernel.packets import PROTOCOLS
from tests.support.kernel.testbed import Sender
from tests.support.readings.outcomes import Backend, Drop, Refuse, Serve, Untouched, Wanted

FOLDER = DATA / "behaviour"
CLUSTER_CIDR = "10.244.0.0/16,fd00:244::/32"

_SENDERS: Mapping[str, tuple[Sender, str, str]] = {
    "pod": ("pod0", "10.244.1.77", "fd00:244:1::77"),
    "other-pod": ("ext0", "10.244.2.77", "fd00:244:2::77"),
    "outside": ("ext0", "203.0.113.7", "2001:db8::7"),
}
_WORDS: Mapping[str, Wanted] = {"refused": Refuse(), "dropped": Drop(), "untouched": Untouched()}

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PacketCase:
    """One kind of packet. ``source`` None: the address that the node's kernel chooses."""

    sender: Sender
    source: str | None
    destination: str
    port: int
    protocol: int
    wanted: Wanted
    text: str


@dataclass(frozen=True, slots=True)
class BehaviourCase:
    """One case file."""

    name: str
    documents: tuple[Document, ...]
    configuration: Document
    node: str
    as_endpoints: bool
    packets: tuple[PacketCase, ...]

    def write(self, folder: Path, *, endpoints: bool = False) -> tuple[Path, Path]:
        """Write objects.yaml and config.yaml; ``endpoints``: Endpoints in place of slices."""
        documents = list(self.documents)
        if endpoints:
            documents = to_endpoints(documents)
        objects, config = folder / "objects.yaml", folder / "config.yaml"
        objects.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        config.write_text(yaml.safe_dump(self.configuration, sort_keys=False))
        return objects, config


def case_names() -> list[str]:
    """The names of all cases."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def read_case(name: str) -> BehaviourCase:
    """Read one case."""
    head, *documents = yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())
    if head["kind"] != "BehaviourCase" or not head["about"]:
        raise ValueError(f"{name}: the first document is no BehaviourCase")
    unknown = set(head) - {"kind", "about", "config", "node", "endpoints", "packets"}
    if unknown:
        raise ValueError(f"{name}: unknown {', '.join(unknown)}")
    node = head.get("node", "node-a")
    if not any(document["kind"] == "Node" for document in documents):
        documents.append(usual_node(node))
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node,
        **head.get("config", {"clusterCIDR": CLUSTER_CIDR}),
    }
    packets = tuple(_packet(item) for item in head["packets"])
    return BehaviourCase(
        name, tuple(documents), configuration, node, head.get("endpoints", True), packets
    )


@cache
def case_objects(name: str, mode: str = "iptables") -> tuple[Objects, NodeSettings]:
    """A case's objects and its node."""
    with tempfile.TemporaryDirectory() as folder:
        objects_file, config = read_case(name).write(Path(folder))
        objects = load_objects([str(objects_file)])
        settings, _ = node_settings(
            objects,
            load_configuration(str(config)),
            Overrides(proxy_mode=mode),
            Overrides(),
            hostname="none",
        )
    return objects, settings


def usual_node(name: str) -> Document:
    """The node of the testbed."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "zone-1"}},
        "spec": {"podCIDRs": ["10.244.1.0/24", "fd00:244:1::/64"]},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": name},
                {"type": "InternalIP", "address": "192.168.7.10"},
                {"type": "InternalIP", "address": "fd00:7::10"},
            ]
        },
    }


def _packet(item: Mapping[str, Any]) -> PacketCase:
    unknown = set(item) - {"from", "to", "sees", "masqueraded", "sticky"}
    if unknown:
        raise ValueError(f"{item}: unknown {', '.join(unknown)}")
    target, _, protocol = item["to"].partition("/")
    destination, port = _endpoint(target)
    who, _, given = item["from"].partition(" ")
    sender: Sender = "node"
    source = given or None
    if who != "node":
        sender, ipv4, ipv6 = _SENDERS[who]
        source = given or (ipv6 if ":" in destination else ipv4)
    sees = item["sees"]
    wanted = (
        _WORDS[sees]
        if isinstance(sees, str)
        else Serve(
            frozenset(_endpoint(text) for text in sees),
            item.get("masqueraded", False),
            item.get("sticky", False),
        )
    )
    text = f"{item['from']} to {item['to']}"
    number = PROTOCOLS[protocol or "tcp"]
    return PacketCase(sender, source, destination, port, number, wanted, text)


def _endpoint(text: str) -> Backend:
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def to_endpoints(documents: Sequence[Document]) -> list[Document]:
    """The same objects with Endpoints in place of EndpointSlices.

    The subsets of a Service's Endpoints are its slices of the Service's first family; that
    is all that the endpoints controller writes.
    """
    converted = [d for d in documents if d["kind"] != "EndpointSlice"]
    made: dict[tuple[str, str], Document] = {}
    families = {
        (d["metadata"].get("namespace", "default"), d["metadata"]["name"]): _first_family(d)
        for d in documents
        if d["kind"] == "Service"
    }
    for document in documents:
        if document["kind"] != "EndpointSlice":
            continue
        metadata = document["metadata"]
        labels = metadata["labels"]
        key = (metadata.get("namespace", "default"), labels["kubernetes.io/service-name"])
        if families.get(key) != document["addressType"]:
            continue
        endpoints = made.setdefault(
            key,
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": key[1], "namespace": key[0]},
                "subsets": [],
            },
        )
        endpoints["subsets"].extend(_subsets(document))
    return converted + list(made.values())


def _first_family(service: Document) -> str:
    return "IPv6" if ":" in str(service["spec"].get("clusterIP", "")) else "IPv4"


def _subsets(endpoint_slice: Document) -> Iterator[Document]:
    subset: Document = {"addresses": [], "notReadyAddresses": []}
    for endpoint in endpoint_slice["endpoints"] or ():
        ready = endpoint.get("conditions", {}).get("ready", True)
        address = {"ip": endpoint["addresses"][0]}
        if "nodeName" in endpoint:
            address["nodeName"] = endpoint["nodeName"]
        subset["addresses" if ready is not False else "notReadyAddresses"].append(address)
    filled = {name: addresses for name, addresses in subset.items() if addresses}
    if filled:
        # Anchors would come out as aliases, were the ports shared.
        ports = json.loads(json.dumps(endpoint_slice["ports"]))
        yield {**filled, "ports": ports}
