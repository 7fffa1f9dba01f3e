# ruff: noqa: E501
"""The layout of kube-proxy's ipvs mode, as its sources write it, is understood and judged.

Source: kubernetes pkg/proxy/ipvs/proxier.go 1.30 (writeIptablesRules, ipsetInfo).
"""

from __future__ import annotations

from pathlib import Path

from svcc.compiler.load.loader import load
from svcc.compiler.settings.node import NodeSettings, PodDetection
from svcc.grammar.address import Family, Network, parse_address, parse_network
from svcc.verify.report.report import Report
from svcc.verify.rule_files import from_files
from tests.support.proofs import verify

OBJECTS = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.0.10, ports: [{port: 80, nodePort: 30080, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- {addresses: [10.244.1.5], nodeName: node-a}
- {addresses: [10.244.2.7], nodeName: node-b}
"""
IPTABLES = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-IPVS-FILTER - [0:0]
:KUBE-IPVS-OUT-FILTER - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SOURCE-RANGES-FIREWALL - [0:0]
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
-A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT
-A FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A OUTPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-IPVS-FILTER -m set --match-set KUBE-LOAD-BALANCER dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m set --match-set KUBE-EXTERNAL-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT --reject-with icmp-port-unreachable
-A KUBE-NODE-PORT -m comment --comment "Kubernetes health check node port" -m set --match-set KUBE-HEALTH-CHECK-NODE-PORT dst -j ACCEPT
-A KUBE-SOURCE-RANGES-FIREWALL -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-LOAD-BALANCER - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODE-PORT -p tcp -m comment --comment "Kubernetes nodeport TCP port for masquerade purpose" -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
-A KUBE-POSTROUTING -m comment --comment "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose" -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN
-A KUBE-SERVICES ! -s 10.244.0.0/16 -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
COMMIT
"""
IPSET = """\
create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1
add KUBE-CLUSTER-IP 10.96.0.10,tcp:80
create KUBE-LOOP-BACK hash:ip,port,ip family inet hashsize 1024 maxelem 65536
add KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5
add KUBE-LOOP-BACK 10.244.2.7,tcp:8080,10.244.2.7
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-TCP 30080
create KUBE-IPVS-IPS hash:ip family inet hashsize 1024 maxelem 65536
add KUBE-IPVS-IPS 10.96.0.10
create KUBE-LOAD-BALANCER hash:ip,port family inet hashsize 1024 maxelem 65536
create KUBE-EXTERNAL-IP hash:ip,port family inet hashsize 1024 maxelem 65536
create KUBE-HEALTH-CHECK-NODE-PORT bitmap:port range 0-65535
"""
IPVSADM = """\
-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.244.2.7:8080 -m -w 1
-A -t 192.168.7.10:30080 -s rr
-a -t 192.168.7.10:30080 -r 10.244.1.5:8080 -m -w 1
-a -t 192.168.7.10:30080 -r 10.244.2.7:8080 -m -w 1
"""
ADDRESSES = "link add kube-ipvs0 type dummy\naddress add 10.96.0.10/32 dev kube-ipvs0\n"
NODE = parse_address("192.168.7.10")
SETTINGS = NodeSettings(
    node_name="node-a",
    addresses=(NODE,),
    mode="ipvs",
    pods=PodDetection({Family.IPV4: parse_network("10.244.0.0/16")}),
    node_port_networks=(Network(Family.IPV4, NODE.value, 32),),
    localhost_node_ports=False,
)


def judge(folder: Path, **texts: str) -> Report:
    given = {
        "iptables.txt": IPTABLES,
        "ipset.txt": IPSET,
        "ipvsadm.txt": IPVSADM,
        "addresses.txt": ADDRESSES,
    }
    given |= {f"{name}.txt": text for name, text in texts.items()}
    for name, text in given.items():
        (folder / name).write_text(text)
    objects = folder / "objects.yaml"
    objects.write_text(OBJECTS)
    rules = from_files([str(folder / name) for name in given], Family.IPV4)
    return verify(load([str(objects)]), SETTINGS, rules)


def wrong(report: Report) -> set[tuple[str, str]]:
    return {(f.property, f.frontend) for f in report.findings if f.verdict != "proved"}


CLUSTER_IP, NODE_PORT = "10.96.0.10:80/TCP (shop/web)", "node port 30080/TCP (shop/web)"


def test_it_is_proved(tmp_path: Path) -> None:
    """It marks node ports on all addresses, which does not matter where none is served."""
    report = judge(tmp_path)
    assert report.verdict == "proved", report.to_text()


def test_its_hairpins_are_those_of_local_endpoints(tmp_path: Path) -> None:
    local = IPSET.replace("add KUBE-LOOP-BACK 10.244.2.7,tcp:8080,10.244.2.7\n", "")
    assert not wrong(judge(tmp_path, ipset=local))
    none = local.replace("add KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5\n", "")
    assert ("masquerades-exactly", CLUSTER_IP) in wrong(judge(tmp_path, ipset=none))


def test_damage_is_found(tmp_path: Path) -> None:
    report = judge(tmp_path, ipvsadm=IPVSADM.replace("10.244.2.7", "10.244.2.8"))
    assert {("reaches-exactly", CLUSTER_IP), ("reaches-exactly", NODE_PORT)} <= wrong(report)
    unmarked = IPSET.replace("add KUBE-CLUSTER-IP 10.96.0.10,tcp:80\n", "")
    assert ("reaches-exactly", CLUSTER_IP) in wrong(judge(tmp_path, ipset=unmarked))
