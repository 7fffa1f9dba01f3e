"""Loading: what is read, and what is said of bad input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from svcc.compiler.load.loader import load
from svcc.compiler.load.read_yaml import plain_scalar
from svcc.compiler.model.objects import Objects
from svcc.grammar.address import Family
from svcc.grammar.errors import InputError

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  namespace: shop
  name: web
spec:
  clusterIP: 10.96.0.1
  ports:
  - name: http
    port: 80
"""


def read(text: str) -> Objects:
    return load(["-"], stdin=io.BytesIO(text.encode()))


def problems(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(InputError) as caught:
        load(["-"], stdin=io.BytesIO(data))
    return [str(problem) for problem in caught.value.problems]


def test_defaults_of_the_api() -> None:
    (service,) = read(SERVICE).services
    assert service.type == "ClusterIP"
    assert service.ports[0].protocol == "TCP"
    assert service.internal_traffic_policy == service.external_traffic_policy == "Cluster"
    assert service.affinity_timeout is None
    affine = read(SERVICE + "  sessionAffinity: ClientIP\n").services[0]
    assert affine.affinity_timeout == 10800


def test_lists_in_json_and_yaml_and_typed_lists_are_the_same() -> None:
    import yaml

    service = yaml.safe_load(SERVICE)
    bare = {key: value for key, value in service.items() if key not in ("kind", "apiVersion")}
    forms = [
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [service]}),
        json.dumps({"apiVersion": "v1", "kind": "ServiceList", "items": [bare]}),
        yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [service]}),
        "---\n" + SERVICE + "---\n",
        json.dumps(service) + "\n" + json.dumps({"apiVersion": "v1", "kind": "Pod"}),
    ]
    for form in forms:
        (found,) = read(form).services
        assert (found.key, [p.port for p in found.ports]) == ("shop/web", [80])


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(SERVICE)
    (tmp_path / "notes.txt").write_text("not: [read")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.yml").write_text(SERVICE.replace("web", "api").replace("0.1", "0.2"))
    assert len(load([str(tmp_path)]).services) == 1
    assert len(load([str(tmp_path)], recursive=True).services) == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"empty: error: no \*\.yaml.*-R looks into subfolders"):
        load([str(empty)])
    with pytest.raises(InputError, match="cannot read: No such file"):
        load([str(tmp_path / "absent.yaml")])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:22", "22:22"),
        ("2026-11-23", "2026-11-23"),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("80", 80),
        ("0o17", 15),
        ("017", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("-1", -1),
        ("1e+3", 1000.0),
        ("1e3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1_0.5", 10.5),
        ("0b11", 3),
        ("-0x10", -16),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("y", True),
        ("No", False),
        ("nO", "nO"),
        ("1:2:3", "1:2:3"),
        ("0x", "0x"),
        ("12h", "12h"),
        ("-", "-"),
        ("18446744073709551616", 18446744073709551616),
        ("09", 9.0),
        ("1.2.3.4", "1.2.3.4"),
        ("fd00::1", "fd00::1"),
        ("null", None),
        ("nulls", "nulls"),
    ],
)
def test_yaml_scalars_are_read_as_kubernetes_does(text: str, value: Any) -> None:
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


BAD = [
    (
        SERVICE.replace("port: 80", 'port: "80"'),
        '<stdin>:10:11: error: spec.ports[0].port: \'80\' is a string; write 80 without quotes',
    ),
    (
        SERVICE.replace("port: 80", "port: 70000"),
        "<stdin>:10:11: error: spec.ports[0].port: 70000 is out of range; write 1 to 65535",
    ),
    (
        SERVICE.replace("10.96.0.1", "10.96.0.256"),
        "<stdin>:7:14: error: spec.clusterIP: '10.96.0.256' is not an IP address",
    ),
    (
        SERVICE.replace("name: web", "name: yes"),
        "<stdin>:5:9: error: metadata.name: this is a boolean where a string belongs; "
        "put it in quotes",
    ),
    (
        SERVICE.replace("name: web", "name: Web"),
        "<stdin>:5:9: error: metadata.name: 'Web' is not a valid name; use lower case letters, "
        "digits and hyphens",
    ),
    (
        SERVICE + "  type: Loadbalancer\n",
        "<stdin>:11:9: error: spec.type: 'Loadbalancer' is not known; write ClusterIP or "
        "NodePort or LoadBalancer or ExternalName",
    ),
    (
        SERVICE + "  clusterIP: 10.96.0.2\n",
        "<stdin>:11:3: error: key 'clusterIP' stands twice in one mapping",
    ),
    (SERVICE + "  a: [1\n", "<stdin>:12:1: error: not YAML: did not find expected ',' or ']'"),
    (SERVICE + "  a: *nobody\n", "<stdin>:11:6: error: alias 'nobody' has no anchor before it"),
    ("kind: Service\n", "<stdin>:1:1: error: apiVersion is missing; every object needs "
     "apiVersion and kind"),
    ("- 1\n", "<stdin>:1:1: error: this is no Kubernetes object; it needs apiVersion and kind"),
    (
        '{"apiVersion": "v1",\n "kind": "Service", "kind": "Service"}',
        "<stdin>:2:21: error: key 'kind' stands twice in one object",
    ),
    ('{"apiVersion": "v1",\n', "<stdin>:2:1: error: not JSON: Expecting property name enclosed "
     "in double quotes"),
    (
        '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"},\n'
        ' "spec": {"ports": [{"port": "x"}]}}',
        "<stdin>:2:30: error: spec.ports[0].port: this is a string where a number belongs",
    ),
    (
        SERVICE + "---\n" + SERVICE,
        "<stdin>:12:1: error: Service 'shop/web' stands here for the second time, first at "
        "<stdin>:1:1; leave one out",
    ),
    (
        SERVICE + "---\n" + SERVICE.replace("web", "api"),
        "<stdin>:12:1: error: Services shop/web and shop/api both claim 10.96.0.1:80/TCP; "
        "shop/web stands at <stdin>:1:1; change one of them [SVC057]",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD, ids=lambda value: str(value)[-40:])
def test_messages_say_where_what_and_what_to_do(text: str, message: str) -> None:
    assert problems(text) == [message]


def test_independent_problems_are_reported_in_one_run() -> None:
    text = SERVICE.replace("port: 80", "port: 0").replace("10.96.0.1", "nowhere")
    text += "---\n" + SERVICE.replace("web", "api_1")
    assert [problem.split(" error: ")[1].split(":")[0] for problem in problems(text)] == [
        "spec.clusterIP",
        "spec.ports[0].port",
        "metadata.name",
    ]


def test_node_ports_are_claimed_per_protocol() -> None:
    other = SERVICE.replace("web", "api").replace("0.1", "0.2")
    both = [
        text.replace("port: 80", "port: 80\n    nodePort: 30080") + "  type: NodePort\n"
        for text in (SERVICE, other)
    ]
    (problem,) = problems("---\n".join(both))
    assert "shop/web and shop/api both claim node port 30080/TCP" in problem
    both[1] = both[1].replace("nodePort: 30080", "nodePort: 30080\n    protocol: UDP")
    assert len(read("---\n".join(both)).services) == 2


def test_one_input_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SERVICE)
    with pytest.raises(InputError) as caught:
        load([str(tmp_path), str(path)])
    assert str(caught.value) == f"{path}: error: this input is given twice; leave one out"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b.yaml").write_text(SERVICE)
    assert len(load([str(tmp_path)]).services) == 1
    with pytest.raises(InputError) as caught:
        load([str(tmp_path / "a.yaml"), "x\0y", str(tmp_path / "b.yaml" / "c")])
    assert [problem.message for problem in caught.value.problems] == [
        "cannot read: No such file or directory",
        "cannot read: Not a directory",
        "cannot read: embedded null byte",
    ]


def test_an_empty_list_is_fine_and_an_empty_input_is_not() -> None:
    assert read("apiVersion: v1\nkind: List\nitems: []\n") == Objects()
    for text in ("", "---\n", "# nothing\n", "null"):
        assert problems(text) == [
            "<stdin>: error: no object in this input; an empty List (items: []) says there is none"
        ]


def test_flow_style_yaml_begins_like_json() -> None:
    text = "{apiVersion: v1, kind: Service, metadata: {name: %s}, spec: {ports: [{port: 1}]}}\n"
    assert len(read(text % "web").services) == 1
    (problem,) = problems("---\n" + text % "web" + "---\n" + text % "Web")
    assert problem.startswith("<stdin>:4:50: error: metadata.name: 'Web'")
    (problem,) = problems(text % "Web")
    assert problem.startswith("<stdin>:1:50: error: metadata.name: 'Web'")


def test_thousands_of_problems_are_counted_and_found_in_one_reading() -> None:
    text = "".join("---\n" + SERVICE.replace("web", f"web-{i}") for i in range(3000))
    found = problems(text)
    assert len(found) == 201
    assert found[0] == "<stdin>: error: 2799 more problems, not listed; mend the first 200"
    found = problems("".join("---\n" + SERVICE for _ in range(3000)))
    assert found[-1].endswith("first at <stdin>:2:1; leave one out")


def test_large_documents_are_no_alias_bombs() -> None:
    endpoint = "- {addresses: [10.0.0.1], conditions: {ready: true}, nodeName: a}\n"
    text = (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
        "metadata: &meta {name: web-1, labels: {kubernetes.io/service-name: web}}\n"
        "copy: *meta\nmore: {<<: *meta, name: other}\nendpoints:\n" + endpoint * 5000
    )
    (found,) = read(text).slices
    assert len(found.endpoints) == 5000


def test_what_kubectl_prints_beside_the_fields_that_matter() -> None:
    text = """\
apiVersion: v1
items:
- apiVersion: v1
  kind: Service
  metadata:
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"v1","kind":"Service"}
    creationTimestamp: "2026-11-23T07:00:00Z"
    labels: null
    managedFields:
    - {apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {"f:spec": {"f:ports": {".": {}}}}}
    name: web
    namespace: shop
    resourceVersion: "12"
    uid: 4c1d8f2a-0000-4000-8000-000000000000
  spec:
    allocateLoadBalancerNodePorts: true
    clusterIP: 10.96.0.1
    clusterIPs: [10.96.0.1, "fd00:96::1"]
    externalIPs: null
    internalTrafficPolicy: Cluster
    ipFamilies: [IPv4, IPv6]
    ipFamilyPolicy: PreferDualStack
    ports:
    - {name: http, nodePort: null, port: 80, protocol: TCP, targetPort: http, appProtocol: http}
    selector: {app: web}
    sessionAffinity: None
    type: ClusterIP
  status:
    loadBalancer: {}
- apiVersion: v1
  kind: Node
  metadata: {name: node-a, creationTimestamp: null, labels: {topology.kubernetes.io/zone: z1}}
  spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, "fd00:244:1::/64"]}
  status:
    addresses:
    - {address: node-a, type: Hostname}
    - {address: 203.0.113.7, type: ExternalIP}
    - {address: 192.168.7.10, type: InternalIP}
    - {address: "fd00:7::10", type: InternalIP}
kind: List
metadata:
  resourceVersion: ""
"""
    objects = read(text)
    (service,) = objects.services
    assert [str(address) for address in service.cluster_ips] == ["10.96.0.1", "fd00:96::1"]
    (node,) = objects.nodes
    assert [str(a) for a in node.addresses] == ["192.168.7.10", "fd00:7::10", "203.0.113.7"]
    assert [str(c) for c in node.pod_cidrs] == ["10.244.1.0/24", "fd00:244:1::/64"]
    assert node.zone == "z1"


HOSTILE = {
    "alias bomb": "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    ),
    "deep YAML": "a: " + "[" * 5000,
    "deep JSON": '{"a":' * 100_000,
    "huge integer": SERVICE.replace("port: 80", "port: " + "9" * 10_000),
    "huge JSON integer": '{"apiVersion":"v1","kind":"Service","spec":{"ports":[{"port":'
    + "9" * 10_000
    + "}]}}",
    "truncated": SERVICE[:-20] + "\t",
    "control characters": "a: \x00\x07",
    "quotes in a name": SERVICE.replace("name: http", "name: 'a\" -j ACCEPT'"),
    "line break in a name": SERVICE.replace("name: web", 'name: "web\\n-A INPUT -j ACCEPT"'),
    "space in a namespace": SERVICE.replace("namespace: shop", "namespace: shop -j DROP"),
    "a list for metadata": SERVICE.replace("  namespace: shop\n  name: web", "- 1"),
    "a number for spec": "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: 1\n",
    "a mapping as key": "? {a: b}\n: c\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_gives_an_error_and_no_traceback(name: str) -> None:
    found = problems(HOSTILE[name])
    assert found
    for problem in found:
        assert problem.startswith("<stdin>:")
        assert "\n" not in problem
        assert len(problem) < 400


def test_invalid_utf8() -> None:
    (problem,) = problems(SERVICE.encode() + b"  x: \xff\n")
    assert problem == "<stdin>:11:6: error: byte 0xff is not UTF-8; save the file as UTF-8"


def test_endpoints_and_slices() -> None:
    text = """\
apiVersion: v1
kind: Endpoints
metadata: {name: web}
subsets:
- addresses: [{ip: 10.0.0.1, nodeName: node-a}, {ip: "fd00::1"}]
  notReadyAddresses: [{ip: 10.0.0.9}]
  ports: [{port: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
ports: [{name: "", port: 8080}]
endpoints:
- addresses: [10.0.0.2, 10.0.0.3]
  conditions: {ready: null}
  hints: {forZones: [{name: a}], forNodes: [{name: node-a}]}
"""
    one, two, three = read(text).slices
    assert one.from_endpoints
    assert [s.family for s in (one, two)] == [Family.IPV4, Family.IPV6]
    assert one.namespace == three.namespace == "default"
    assert [str(e.address) for e in one.endpoints] == ["10.0.0.1"]
    (endpoint,) = three.endpoints
    assert str(endpoint.address) == "10.0.0.2"
    assert endpoint.ready
    assert endpoint.zone_hints == {"a"}
    assert endpoint.node_hints == {"node-a"}


def test_other_kinds_are_counted() -> None:
    text = "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n"
    objects = read(text + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n")
    assert objects.services == []
    assert objects.skipped_kinds == {"Service": 1, "ConfigMap": 1}
