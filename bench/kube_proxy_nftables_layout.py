"""The layout of kube-proxy's nftables mode for the same objects: the reference for svcc's.

A chain for each Service and one more for its external frontends, as kube-proxy 1.36 writes it (see
``tests/data/kube-proxy-1.36``). Cluster IPs and node ports under Cluster policy only, which is what
:mod:`bench.generate` makes.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterable

from bench.generate import CLUSTER_CIDR, NODE
from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import EndpointSlice, Service

_RULES = f"""\
	chain nat-prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		jump services
	}}

	chain nat-output {{
		type nat hook output priority -100; policy accept;
		jump services
	}}

	chain nat-postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		jump masquerading
	}}

	chain filter-forward {{
		type filter hook forward priority filter; policy accept;
		ct state new jump cluster-ips-check
	}}

	chain filter-output {{
		type filter hook output priority filter; policy accept;
		ct state new jump cluster-ips-check
	}}

	chain services {{
		ip daddr @cluster-ips ip saddr != {CLUSTER_CIDR[4]} meta mark set meta mark | 0x00004000
		ip daddr . meta l4proto . th dport vmap @service-ips
		ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
	}}

	chain masquerading {{
		meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 \
masquerade fully-random
		ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections \
masquerade fully-random
	}}

	chain cluster-ips-check {{
		ip daddr @cluster-ips reject
	}}
"""


def _name(service: Service) -> str:
    digest = base64.b32encode(hashlib.sha256(service.key.encode()).digest()).decode()[:8]
    return f"{digest}-{service.key}/tcp/http"


def _collection(head: str, elements: Iterable[str]) -> str:
    listed = ",\n\t\t\t     ".join(elements)
    shown = f"\t\telements = {{ {listed} }}\n" if listed else ""
    return f"\t{head}\n{shown}\t}}\n"


def text(path: str) -> str:
    """What ``nft -f`` loads for the objects of a file."""
    objects = load([path])
    slices: dict[tuple[str, str], EndpointSlice] = {
        (item.namespace, item.service): item for item in objects.slices
    }
    addresses, cluster_ips, node_ports, chains, hairpins = [], [], [], [], []
    for service in objects.services:
        name, port = _name(service), service.ports[0]
        ip = str(service.cluster_ips[0])
        cluster_ips.append(ip)
        addresses.append(f"{ip} . tcp . {port.port} : goto service-{name}")
        backends = slices[service.namespace, service.name].endpoints
        hairpins += [
            f"{e.address} . {e.address} . tcp . 8080" for e in backends if e.node_name == NODE
        ]
        choices = ", ".join(
            f"{number} : {endpoint.address} . 8080" for number, endpoint in enumerate(backends)
        )
        chains.append(
            f"\tchain service-{name} {{\n\t\tmeta l4proto tcp dnat ip to numgen random mod "
            f"{len(backends)} map {{ {choices} }}\n\t}}\n"
        )
        if port.node_port:
            node_ports.append(f"tcp . {port.node_port} : goto external-{name}")
            chains.append(
                f"\tchain external-{name} {{\n\t\tmeta mark set meta mark | 0x00004000\n"
                f"\t\tgoto service-{name}\n\t}}\n"
            )
    parts = [
        "table ip kube-proxy {\n",
        _collection(
            "set hairpin-connections {\n\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service",
            hairpins,
        ),
        _collection("set cluster-ips {\n\t\ttype ipv4_addr", cluster_ips),
        _collection("set nodeport-ips {\n\t\ttype ipv4_addr", ["192.168.7.10"]),
        _collection(
            "map service-ips {\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict", addresses
        ),
        _collection(
            "map service-nodeports {\n\t\ttype inet_proto . inet_service : verdict", node_ports
        ),
        _RULES,
        *chains,
        "}\n",
    ]
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(text(sys.argv[1]))
