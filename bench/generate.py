"""Generate objects of any number: ``python -m bench.generate SERVICES ENDPOINTS -o FILE``."""

from __future__ import annotations

import argparse
import json
import random
import sys
from typing import Any

NODE = "node-0"
NODES = 100


def generate(
    services: int, endpoints: int, *, family: int = 4, seed: int = 1, node_ports: int = 10
) -> dict[str, Any]:
    """A List of Services with their slices and a Node.

    Every ``node_ports``-th Service has a node port as well (0: none). Cluster IPs are spread
    over a /12 at random, as the API server allots them.
    """
    chance = random.Random(seed)
    numbers = chance.sample(range(1, 1 << 20), services)
    pods = chance.sample(range(1 << 20), services * endpoints)
    items: list[dict[str, Any]] = [_node(family)]
    for index in range(services):
        name = f"service-{index}"
        port: dict[str, Any] = {"name": "http", "port": 80, "protocol": "TCP"}
        spec: dict[str, Any] = {"clusterIP": _cluster_ip(numbers[index], family), "ports": [port]}
        if node_ports and index % node_ports == 0 and index // node_ports < 2768:
            spec["type"] = "NodePort"
            port["nodePort"] = 30000 + index // node_ports
        items.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"namespace": "bench", "name": name},
                "spec": spec,
            }
        )
        items.append(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "addressType": f"IPv{family}",
                "metadata": {
                    "namespace": "bench",
                    "name": f"{name}-0",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                "endpoints": [
                    {
                        "addresses": [_pod(pod, family)],
                        "nodeName": f"node-{pod % NODES}",
                        "conditions": {"ready": True, "serving": True, "terminating": False},
                    }
                    for pod in pods[index * endpoints : (index + 1) * endpoints]
                ],
            }
        )
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _node(family: int) -> dict[str, Any]:
    address = "192.168.7.10" if family == 4 else "fd00:7::10"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "status": {"addresses": [{"type": "InternalIP", "address": address}]},
    }


def _cluster_ip(number: int, family: int) -> str:
    if family == 6:
        return f"fd00:96::{number >> 16:x}:{number & 0xFFFF:x}"
    return f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def _pod(number: int, family: int) -> str:
    if family == 6:
        return f"fd00:128::{number >> 16:x}:{number & 0xFFFF:x}"
    return f"10.{128 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


CLUSTER_CIDR = {4: "10.128.0.0/9", 6: "fd00:128::/32"}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.generate", description=__doc__)
    parser.add_argument("services", type=int)
    parser.add_argument("endpoints", type=int, help="per Service")
    parser.add_argument("--family", type=int, choices=(4, 6), default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--node-ports", type=int, default=10, help="every Nth Service has one")
    parser.add_argument("-o", "--output", default="-")
    given = parser.parse_args()
    value = generate(
        given.services,
        given.endpoints,
        family=given.family,
        seed=given.seed,
        node_ports=given.node_ports,
    )
    if given.output == "-":
        json.dump(value, sys.stdout)
    else:
        with open(given.output, "w", encoding="utf-8") as handle:
            json.dump(value, handle)


if __name__ == "__main__":
    main()
