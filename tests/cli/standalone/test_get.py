"""svcc get, held against what kubectl and ipvsadm print of the same objects; --target env."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from svcc.compiler.show.table import age, duration
from tests.paths import ROOT
from tests.support.command import svcc

CLASSIC = """\
apiVersion: v1
kind: Service
metadata: {name: kubernetes}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: v1
kind: Service
metadata: {name: myapp}
spec:
  clusterIP: 10.99.10.103
  type: NodePort
  selector: {release: canary, app: myapp}
  ports: [{name: http, port: 80, nodePort: 30080}]
---
apiVersion: v1
kind: Service
metadata: {name: myapp-headless}
spec: {clusterIP: None, selector: {app: myapp}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: my-service-1}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: edge}
spec:
  type: LoadBalancer
  clusterIP: 10.96.7.7
  ports: [{port: 53, protocol: UDP, nodePort: 30053}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: myapp}
subsets:
- addresses: [{ip: 10.244.1.66}, {ip: 10.244.1.68}, {ip: 10.244.1.69}, {ip: 10.244.1.70}]
  notReadyAddresses: [{ip: 10.244.1.71}]
  ports: [{name: http, port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: myapp-headless-4xk2p, labels: {kubernetes.io/service-name: myapp-headless}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.244.1.66]}, {addresses: [10.244.1.68], conditions: {ready: false}}]
"""

SERVICES = """\
NAME             TYPE           CLUSTER-IP     EXTERNAL-IP   PORT(S)        AGE
kubernetes       ClusterIP      10.96.0.1      <none>        443/TCP        <unknown>
my-service-1     ExternalName   <none>         example.com   <none>         <unknown>
myapp            NodePort       10.99.10.103   <none>        80:30080/TCP   <unknown>
myapp-headless   ClusterIP      None           <none>        80/TCP         <unknown>
"""
WIDE = """\
NAME    TYPE       CLUSTER-IP     EXTERNAL-IP   PORT(S)        AGE         SELECTOR
myapp   NodePort   10.99.10.103   <none>        80:30080/TCP   <unknown>   app=myapp,release=canary
"""
EVERY = """\
NAMESPACE   NAME             TYPE           CLUSTER-IP     EXTERNAL-IP   PORT(S)        AGE
default     kubernetes       ClusterIP      10.96.0.1      <none>        443/TCP        <unknown>
default     my-service-1     ExternalName   <none>         example.com   <none>         <unknown>
default     myapp            NodePort       10.99.10.103   <none>        80:30080/TCP   <unknown>
default     myapp-headless   ClusterIP      None           <none>        80/TCP         <unknown>
edge        front            LoadBalancer   10.96.7.7      <pending>     53:30053/UDP   <unknown>
"""
ENDPOINTS = """\
NAME             ENDPOINTS                                                  AGE
myapp            10.244.1.66:80,10.244.1.68:80,10.244.1.69:80 + 1 more...   <unknown>
myapp-headless   10.244.1.66:80                                             <unknown>
"""
SLICES = """\
NAME                   ADDRESSTYPE   PORTS   ENDPOINTS                 AGE
myapp-headless-4xk2p   IPv4          80      10.244.1.66,10.244.1.68   <unknown>
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("services", SERVICES),
        ("svc", SERVICES),
        ("svc myapp -o wide", WIDE),
        ("service -A", EVERY),
        ("ep", ENDPOINTS),
        ("endpoints", ENDPOINTS),
        ("endpointslices", SLICES),
        ("svc myapp kubernetes -o name", "service/kubernetes\nservice/myapp\n"),
        ("ep myapp -o name", "endpoints/myapp\n"),
        ("endpointslice -o name", "endpointslice.discovery.k8s.io/myapp-headless-4xk2p\n"),
    ],
)
def test_tables(words: str, expected: str) -> None:
    found = svcc("get", *words.split(), "-f", "-", text=CLASSIC)
    assert (found.out, found.err, found.code) == (expected, "", 0)


def test_documents() -> None:
    one = svcc("get", "svc", "myapp", "-o", "yaml", "-f", "-", text=CLASSIC)
    service = yaml.safe_load(one.out)
    assert service["spec"] == {
        "clusterIP": "10.99.10.103",
        "clusterIPs": ["10.99.10.103"],
        "externalTrafficPolicy": "Cluster",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "ports": [
            {"name": "http", "nodePort": 30080, "port": 80, "protocol": "TCP", "targetPort": 80}
        ],
        "selector": {"app": "myapp", "release": "canary"},
        "sessionAffinity": "None",
        "type": "NodePort",
    }
    every = svcc("get", "ep", "-o", "json", "-f", "-", text=CLASSIC)
    items = json.loads(every.out)["items"]
    assert [item["metadata"]["name"] for item in items] == ["myapp", "myapp-headless"]
    assert items[1]["subsets"][0]["notReadyAddresses"] == [{"ip": "10.244.1.68"}]


def test_what_is_printed_is_printed_again() -> None:
    printed = svcc("get", "svc", "-A", "-o", "yaml", "-f", "-", text=CLASSIC).out
    assert svcc("get", "svc", "-A", "-f", "-", text=printed).out == EVERY
    assert svcc("get", "svc", "-A", "-o", "yaml", "-f", "-", text=printed).out == printed


def test_nothing_is_there() -> None:
    none = svcc("get", "svc", "-n", "other", "-f", "-", text=CLASSIC)
    assert (none.out, none.err, none.code) == ("", "No resources found in other namespace.\n", 0)
    missing = svcc("get", "svc", "mysql", "-f", "-", text=CLASSIC)
    assert missing.code == 1
    assert missing.err == 'services "mysql" not found in namespace default\n'
    assert svcc("get", "svc", "myapp", "-A", "-f", "-", text=CLASSIC).code == 2


def test_virtual_servers_are_listed_as_a_real_ipvsadm_did(tmp_path: Path) -> None:
    path = tmp_path / "objects.yaml"
    path.write_text("""\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets: [{addresses: [{ip: 10.244.1.5}, {ip: 10.244.2.7}], ports: [{port: 8080}]}]
""")
    found = svcc("get", "virtual-servers", "-f", path, "--node", "a", "--node-ip", "192.168.7.10")
    recorded = (ROOT / "tests/data/reports/other-formats/Ln.txt").read_text()
    assert found.out == recorded
    assert svcc("get", "vs", "-f", path, "-o", "json").code == 2
    assert svcc("get", "vs", "-f", path, "--mode", "iptables").code == 2


@pytest.mark.parametrize(
    ("time", "text"),
    [
        # Most are from k8s.io/apimachinery's own tests, pkg/util/duration.
        ({"seconds": 1}, "1s"),
        ({"seconds": 70}, "70s"),
        ({"seconds": 190}, "3m10s"),
        ({"minutes": 70}, "70m"),
        ({"minutes": 47 * 60}, "47h"),
        ({"hours": 49}, "2d1h"),
        ({"hours": 4 * 24}, "4d"),
        ({"hours": 7 * 24 + 2}, "7d2h"),
        ({"hours": 8 * 24 + 2}, "8d"),
        ({"hours": 367 * 24}, "367d"),
        ({"hours": 365 * 2 * 24 + 25}, "2y1d"),
        ({"hours": 365 * 8 * 24 + 2}, "8y"),
        ({"minutes": 9}, "9m"),
        ({"hours": 7}, "7h"),
        ({"seconds": -1}, "0s"),
        ({"seconds": -2}, "<invalid>"),
    ],
)
def test_durations(time: dict[str, int], text: str) -> None:
    assert duration(timedelta(**time)) == text


def test_age() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert age({"metadata": {"creationTimestamp": "2026-02-25T12:00:00Z"}}, now) == "4d"
    for wrong in ({}, {"metadata": {"creationTimestamp": None}}, {"metadata": None}):
        assert age(wrong, now) == "<unknown>"


ENVIRONMENT = """\
KUBERNETES_SERVICE_HOST=10.96.0.1
KUBERNETES_SERVICE_PORT=443
KUBERNETES_SERVICE_PORT_HTTPS=443
KUBERNETES_PORT=tcp://10.96.0.1:443
KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443
KUBERNETES_PORT_443_TCP_PROTO=tcp
KUBERNETES_PORT_443_TCP_PORT=443
KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1
"""
MYAPP = """\
MYAPP_SERVICE_HOST=10.99.10.103
MYAPP_SERVICE_PORT=80
MYAPP_SERVICE_PORT_HTTP=80
MYAPP_PORT=tcp://10.99.10.103:80
MYAPP_PORT_80_TCP=tcp://10.99.10.103:80
MYAPP_PORT_80_TCP_PROTO=tcp
MYAPP_PORT_80_TCP_PORT=80
MYAPP_PORT_80_TCP_ADDR=10.99.10.103
"""
FRONT = """\
FRONT_SERVICE_HOST=10.96.7.7
FRONT_SERVICE_PORT=53
FRONT_PORT=udp://10.96.7.7:53
FRONT_PORT_53_UDP=udp://10.96.7.7:53
FRONT_PORT_53_UDP_PROTO=udp
FRONT_PORT_53_UDP_PORT=53
FRONT_PORT_53_UDP_ADDR=10.96.7.7
"""


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [("default", ENVIRONMENT + MYAPP), ("edge", FRONT + ENVIRONMENT), ("other", ENVIRONMENT)],
)
def test_variables_of_pods(namespace: str, expected: str) -> None:
    found = svcc("compile", "--target", "env", "-n", namespace, "-f", "-", text=CLASSIC)
    assert (found.out, found.code) == (expected, 0)


def test_variables_of_ipv6_and_of_a_kubernetes_of_its_own() -> None:
    text = """\
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: edge}
spec: {clusterIP: fd00::1, ports: [{name: web.x-1, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: later, namespace: edge}
spec: {ports: [{port: 80}]}
---
"""
    objects = text.replace("web.x-1", "web-1") + CLASSIC
    found = svcc("compile", "--target", "env", "-n", "edge", "-f", "-", text=objects)
    lines = found.out.splitlines()
    assert "KUBERNETES_SERVICE_HOST=fd00::1" in lines
    assert "KUBERNETES_SERVICE_PORT_WEB_1=80" in lines
    assert "KUBERNETES_PORT_80_TCP=tcp://[fd00::1]:80" in lines
    assert not any("10.96.0.1" in line.split("=") for line in lines)
    assert "edge/later has no cluster IP" in found.err
    assert svcc("compile", "--target", "env", "-o", "x", "-f", "-", text=CLASSIC).code == 2
