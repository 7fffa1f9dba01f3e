"""The layout of kube-proxy's nftables mode for the same objects: the reference for svcc's.

A chain for each Service and one more for its external frontends, and every chain that each packet
passes, as kube-proxy 1.36 writes it (see ``tests/data/kube-proxy-1.36``). Cluster IPs and node
ports under Cluster policy only, which is what :mod:`bench.generate` makes.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.generate import CLUSTER_CIDR, NODE
from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import EndpointSlice, Service

_RULES = f"""\
	chain filter-prerouting-pre-dnat {{
		type filter hook prerouting priority dstnat - 10; policy accept;
		ct state new jump firewall-check
	}}

	chain filter-output-pre-dnat {{
		type filter hook output priority -110; policy accept;
		ct state new jump firewall-check
	}}

	chain filter-input {{
		type filter hook input priority filter; policy accept;
		ct state new jump nodeport-endpoints-check
		ct state new jump service-endpoints-check
	}}

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
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}}

	chain filter-output {{
		type filter hook output priority filter; policy accept;
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}}

	chain nodeport-endpoints-check {{
		ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
	}}

	chain service-endpoints-check {{
		ip daddr . meta l4proto . th dport vmap @no-endpoint-services
	}}

	chain firewall-check {{
		ip daddr . meta l4proto . th dport vmap @firewall-ips
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


_FRONTEND, _NODE_PORT = "ipv4_addr . inet_proto . inet_service", "inet_proto . inet_service"
_COLLECTIONS = {
    "hairpin-connections": "set ipv4_addr . ipv4_addr . inet_proto . inet_service",
    "cluster-ips": "set ipv4_addr",
    "nodeport-ips": "set ipv4_addr",
    "no-endpoint-services": f"map {_FRONTEND} : verdict",
    "no-endpoint-nodeports": f"map {_NODE_PORT} : verdict",
    "firewall-ips": f"map {_FRONTEND} : verdict",
    "service-ips": f"map {_FRONTEND} : verdict",
    "service-nodeports": f"map {_NODE_PORT} : verdict",
}


@dataclass(slots=True)
class Layout:
    """A chain for each Service, and the elements that lead there, by the name of their map."""

    chains: list[str]
    elements: dict[str, list[str]]

    def text(self) -> str:
        """What ``nft -f`` loads at once."""
        return _table(*map(self._collection, _COLLECTIONS), _RULES, *self.chains)

    def scripts(self, at_once: int) -> Iterator[str]:
        """The same in transactions of so many chains: one of all takes minutes."""
        yield _table(*map(_declaration, _COLLECTIONS), _RULES)
        for first in range(0, len(self.chains), at_once):
            yield _table(*self.chains[first : first + at_once])
        for name, elements in self.elements.items():
            if elements:
                yield f"add element ip kube-proxy {name} {{ {', '.join(elements)} }}\n"

    def _collection(self, name: str) -> str:
        return _declaration(name, self.elements.get(name, ()))


def _table(*parts: str) -> str:
    return "".join(("table ip kube-proxy {\n", *parts, "}\n"))


def _declaration(name: str, elements: Iterable[str] = ()) -> str:
    word, types = _COLLECTIONS[name].split(" ", 1)
    listed = ",\n\t\t\t     ".join(elements)
    shown = f"\t\telements = {{ {listed} }}\n" if listed else ""
    return f"\t{word} {name} {{\n\t\ttype {types}\n{shown}\t}}\n"


def layout(path: str) -> Layout:
    """What a kube-proxy would have loaded for the objects of a file."""
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
    elements = {
        "hairpin-connections": hairpins,
        "cluster-ips": cluster_ips,
        "nodeport-ips": ["192.168.7.10"],
        "service-ips": addresses,
        "service-nodeports": node_ports,
    }
    return Layout(chains, elements)


if __name__ == "__main__":
    sys.stdout.write(layout(sys.argv[1]).text())
