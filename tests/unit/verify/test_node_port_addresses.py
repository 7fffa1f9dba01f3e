"""Every way to select the addresses of node ports is proved, in both modes."""

from __future__ import annotations

from pathlib import Path

import pytest

from svcc.cli import main
from svcc.compiler.load.loader import load
from svcc.compiler.pipeline import compile_objects
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, parse_address, parse_network
from svcc.grammar.iptables.write import write
from svcc.verify.rule_files import from_files, from_text
from tests.paths import ROOT
from tests.support.clusters.beside import merged, tool
from tests.support.layouts.kube_proxy_frame import LAYOUTS
from tests.support.layouts.kube_proxy_layouts import written
from tests.support.proofs import verify

NODE_PORT = ROOT / "examples" / "classic" / "nodeport.yaml"


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
@pytest.mark.parametrize(
    "networks",
    [
        "127.0.0.1/32",
        "127.0.0.0/8",
        "10.0.0.0/8",
        "0.0.0.0/0",
        "127.0.0.0/9,192.168.0.0/16",
        "primary",
    ],
)
def test_it_is_proved(mode: str, networks: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([
        "verify", "-f", str(NODE_PORT), "--mode", mode, "--node", "node-a", "--node-ip",
        "192.168.7.10", "--cluster-cidr", "10.244.0.0/16", "--nodeport-addresses", networks,
    ])  # fmt: skip
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("added", "verdict"),
    [
        ("", "proved"),
        # By the service proxy's own chains, then what is a node port's.
        ("-I SVCC-REFUSE -d 192.168.7.11/32 -p tcp -m tcp --dport 30715 -j REJECT", "violated"),
        ("-I SVCC-SERVICES -d 192.168.7.11/32 -p tcp -m tcp --dport 30715 -g SVCC-NODEPORTS",
         "violated"),
        ("-I FORWARD -d 10.244.1.66/32 -j REJECT", "violated"),
    ],
)  # fmt: skip
def test_a_firewall_may_refuse_the_port_on_other_addresses(added: str, verdict: str) -> None:
    objects = load([str(NODE_PORT)])
    settings = NodeSettings(
        node_name="node-a",
        addresses=tuple(map(parse_address, ("192.168.7.10", "192.168.7.11"))),
        pods=PodDetection({Family.IPV4: parse_network("10.244.0.0/16")}),
        node_port_networks=(parse_network("192.168.7.10/32"),),
    )
    own = write(compile_objects(objects, settings).programs[Family.IPV4])
    text = merged(own, tool("firewalld"), f"*{'nat' if 'SERVICES' in added else 'filter'}\n{added}")
    report = verify(objects, settings, {Family.IPV4: from_text(text, Family.IPV4, "rules")})
    assert report.verdict == verdict, report.to_text()


LOCAL_WITHOUT_ENDPOINT = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  externalTrafficPolicy: Local
  ports: [{port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.244.2.7], nodeName: node-b}]
"""


@pytest.mark.parametrize("policy", ["Local", "Cluster"])
@pytest.mark.parametrize(
    "networks", ["192.168.7.0/24", "192.168.7.10/32", "192.168.7.0/24,10.0.0.0/8"]
)
def test_kube_proxys_refusals_ignore_the_selection(
    policy: str, networks: str, tmp_path: Path
) -> None:
    """On addresses inside the networks that only the node knows of, too."""
    objects, rules = tmp_path / "objects.yaml", tmp_path / "iptables.rules"
    objects.write_text(LOCAL_WITHOUT_ENDPOINT.replace("Policy: Local", f"Policy: {policy}"))
    settings = NodeSettings(
        node_name="node-a",
        addresses=(parse_address("192.168.7.10"),),
        pods=PodDetection({Family.IPV4: parse_network("10.244.0.0/16")}),
        node_port_networks=tuple(map(parse_network, networks.split(","))),
    )
    loaded = load([str(objects)])
    if policy == "Cluster":
        loaded.slices.clear()
    for layout in LAYOUTS:
        rules.write_text(written(layout, loaded, settings, Family.IPV4))
        report = verify(loaded, settings, from_files([str(rules)], Family.IPV4))
        assert report.verdict == "proved", f"{layout.name}: {report.to_text()}"
