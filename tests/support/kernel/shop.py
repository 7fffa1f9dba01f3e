"""One shop in several states, as text for the command line."""

from __future__ import annotations

from tests.support.command import Done, svcc

SETTINGS = ("--node", "node-a", "--cluster-cidr", "10.128.0.0/16,fd00:128::/32")
MODES = {
    "iptables-legacy": ("--mode", "iptables", "--iptables", "legacy"),
    "iptables-nft": ("--mode", "iptables", "--iptables", "nft"),
    "nftables": ("--mode", "nftables"),
    "ipvs": ("--mode", "ipvs", "--iptables", "legacy"),
}
A, B, C = "10.128.0.9", "10.128.0.16", "10.128.0.25"


def shop(*backends: str, node_port: int = 30080, refused: bool = False) -> str:
    """Services web (TCP, with a node port) and dns (UDP) with these backends; ``refused``: one
    without any, too.
    """
    addresses = ", ".join(f"{{addresses: ['{address}']}}" for address in backends)
    empty = """\
---
apiVersion: v1
kind: Service
metadata: {name: idle, namespace: shop}
spec: {clusterIP: 10.96.0.12, ports: [{port: 80}]}
"""
    return f"""\
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  ports: [{{name: http, port: 80, targetPort: 8080, nodePort: {node_port}}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints: [{addresses}]
---
apiVersion: v1
kind: Service
metadata: {{name: dns, namespace: shop}}
spec: {{clusterIP: 10.96.0.11, ports: [{{port: 53, protocol: UDP}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: dns-1, namespace: shop, labels: {{kubernetes.io/service-name: dns}}}}
addressType: IPv4
ports: [{{port: 53, protocol: UDP}}]
endpoints: [{addresses}]
{empty if refused else ""}"""


def apply(text: str, mode: str, *arguments: object) -> Done:
    """``svcc apply`` of these objects."""
    return svcc("apply", "-f", "-", *SETTINGS, *MODES[mode], *arguments, text=text)
