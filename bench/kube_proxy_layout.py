"""kube-proxy's linear layout of the same objects: the reference that svcc is measured by.

One chain per Service and one per endpoint, one rule per Service in a shared chain that every
new connection walks, as kube-proxy 1.36 writes it (see ``tests/data/kube-proxy-1.36``), less its
accounting. Cluster IPs and node ports under Cluster policy only, which is what
:mod:`bench.generate` makes.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator

from bench.generate import CLUSTER_CIDR, NODE
from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import EndpointSlice
from svcc.grammar.address import Family

_HEAD = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" \
-j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment \
"kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" \
-j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" \
-j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment \
"kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" \
-j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" \
-j KUBE-SERVICES
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate \
RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
"""

_BASE = """\
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
"""


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]


def lines(path: str) -> Iterator[str]:
    """The whole restore script for the objects of a file."""
    objects = load([path])
    slices: dict[tuple[str, str], EndpointSlice] = {
        (item.namespace, item.service): item for item in objects.slices
    }
    chains, services, node_ports, rules = [], [], [], []
    for service in objects.services:
        port = service.ports[0]
        label = f"{service.key}:{port.name}"
        chain = f"KUBE-SVC-{_hash(label)}"
        chains.append(chain)
        match = f'-d {service.cluster_ips[0]}/32 -p tcp -m comment --comment "{label} cluster IP"'
        match += f" -m tcp --dport {port.port}"
        services.append(f"-A KUBE-SERVICES {match} -j {chain}\n")
        if port.node_port:
            external = f"KUBE-EXT-{_hash(label)}"
            chains.append(external)
            rules.append(f"-A {external} -j KUBE-MARK-MASQ\n-A {external} -j {chain}\n")
            node_ports.append(
                f'-A KUBE-NODEPORTS -p tcp -m comment --comment "{label}"'
                f" -m tcp --dport {port.node_port} -j {external}\n"
            )
        network = CLUSTER_CIDR[Family.IPV4]
        rules.append(f"-A {chain} ! -s {network} {match} -j KUBE-MARK-MASQ\n")
        item = slices[service.namespace, service.name]
        count = len(item.endpoints)
        for index, endpoint in enumerate(item.endpoints):
            target = f"{endpoint.address}:{item.ports[0].port}"
            leaf = f"KUBE-SEP-{_hash(label + target)}"
            chains.append(leaf)
            chance = ""
            if index < count - 1:
                probability = 1 / (count - index)
                chance = f" -m statistic --mode random --probability {probability:.10f}"
            comment = f'-m comment --comment "{label} -> {target}"'
            rules.append(f"-A {chain} {comment}{chance} -j {leaf}\n")
            named = f'-m comment --comment "{label}"'
            rules.append(f"-A {leaf} -s {endpoint.address}/32 {named} -j KUBE-MARK-MASQ\n")
            rules.append(f"-A {leaf} -p tcp {named} -m tcp -j DNAT --to-destination {target}\n")
    yield _HEAD
    yield from (f":{chain} - [0:0]\n" for chain in chains)
    yield _BASE
    yield from services
    yield from node_ports
    yield "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n"
    yield from rules
    yield "COMMIT\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m bench.kube_proxy_layout OBJECTS (compiled for {NODE})")
    sys.stdout.writelines(lines(sys.argv[1]))
