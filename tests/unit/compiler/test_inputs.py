"""Inputs as people have them: packed, in folders with other things, unusual or wrong in a part."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from svcc.compiler.load.loader import load
from svcc.compiler.model.objects import Objects
from svcc.grammar.errors import InputError

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: NAME, namespace: shop}
spec: {clusterIP: ADDRESS, ports: [{port: 80}]}
"""


def service(name: str, address: str) -> str:
    return SERVICE.replace("NAME", name).replace("ADDRESS", address)


def read(text: str, **options: Any) -> Objects:
    return load(["-"], stdin=io.BytesIO(text.encode()), **options)


def refused(*arguments: Any, **options: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(*arguments, **options)
    return [str(problem) for problem in caught.value.problems]


def names(objects: Objects) -> list[str]:
    return [item.name for item in objects.services]


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml.gz"
    packed = gzip.compress(service("a", "10.96.0.1").encode())
    path.write_bytes(packed + gzip.compress(b"---\n" + service("b", "10.96.0.2").encode()))
    assert names(load([str(path)])) == ["a", "b"]
    assert names(load(["-"], stdin=io.BytesIO(packed))) == ["a"]


@pytest.mark.parametrize(
    ("cut", "said"), [(slice(0, -5), "the file is cut off"), (slice(0, 5), "the file is cut off")]
)
def test_gzip_that_is_cut_off(tmp_path: Path, cut: slice, said: str) -> None:
    path = tmp_path / "services.yaml.gz"
    path.write_bytes(gzip.compress(service("a", "10.96.0.1").encode())[cut])
    assert refused([str(path)]) == [f"{path}: error: gzip: {said}"]


def test_gzip_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "services.yaml.gz"
    path.write_bytes(b"\x1f\x8b" + b"x" * 100)
    (said,) = refused([str(path)])
    assert said.startswith(f"{path}: error: gzip: ")


def test_a_url_is_told_what_to_run() -> None:
    (said,) = refused(["https://example.com/a.yaml"])
    assert said.startswith("https://example.com/a.yaml: error: svcc downloads nothing; run curl")


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(service("a", "10.96.0.1"))
    assert refused([f"{path}/"]) == [
        f"{path}/: error: this is a file, not a folder; leave the / at the end out"
    ]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "a.yaml": service("a", "10.96.0.1"),
        "values.yaml": "replicas: 3\n",
        "chart/Chart.yaml": "apiVersion: v2\nname: web\n",
        "chart/list.json": "[1, 2]",
        "deep/down/b.yaml": service("b", "10.96.0.2"),
        "deep/c.test.yaml": service("c", "10.96.0.3"),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_files_without_objects_are_passed_over_with_r(tree: Path) -> None:
    found = load([str(tree)], recursive=True, notes=True)
    assert names(found) == ["a", "c", "b"]
    assert [str(problem).removeprefix(f"{tree}/") for problem in found.problems] == [
        f"{name}:1:1: note: holds no Kubernetes object; passed over"
        for name in ("chart/Chart.yaml", "chart/list.json", "values.yaml")
    ]
    assert load([str(tree)], recursive=True).problems == ()
    assert refused([str(tree)]) == [
        f"{tree}/values.yaml:1:1: error: kind is missing; every object needs apiVersion and kind"
    ]


def test_an_object_without_a_version_is_not_passed_over(tree: Path) -> None:
    path = tree / "deep" / "d.yaml"
    path.write_text("kind: Sevice\nmetadata: {name: d}\n")
    assert refused([str(tree)], recursive=True) == [
        f"{path}:1:1: error: apiVersion is missing; every object needs apiVersion and kind"
    ]


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*.test.yaml"], ["a", "b"]),
        (["deep"], ["a"]),
        (["deep/"], ["a"]),
        (["deep/down"], ["a", "c"]),
        (["deep/*/b.yaml", "a.*"], ["c"]),
        (["down/b.yaml"], ["a", "c", "b"]),
    ],
)
def test_exclude(tree: Path, patterns: list[str], left: list[str]) -> None:
    assert names(load([str(tree)], recursive=True, exclude=patterns)) == left


def test_what_is_wrong_with_a_service_is_its_own() -> None:
    text = "---\n".join(
        [
            service("good", "10.96.0.1"),
            service("bad", "10.96.0.300"),
            service("one", "10.96.0.2"),
            service("other", "10.96.0.2"),
            service("cut", "10.96.0.3"),
            "apiVersion: v1\nkind: Endpoints\nmetadata: {name: cut, namespace: shop}\n"
            "subsets: [{addresses: [{ip: nowhere}]}]\n",
        ]
    )
    found = read(text, keep_going=True)
    assert names(found) == ["good"]
    assert [item.name for item in found.not_judged] == ["bad", "one", "other", "cut"]
    assert {item.name: item.reason for item in found.passed_over} == {
        "shop/bad": "invalid",
        "shop/one": "clash",
        "shop/other": "clash",
        "shop/cut": "invalid-endpoints",
    }
    assert [problem.severity for problem in found.problems] == ["error"] * 3
    with pytest.raises(InputError):
        read(text)


@pytest.mark.parametrize(
    "wrong",
    [
        "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {podCIDR: nowhere}\n",
        "apiVersion: v1\nkind: Sevice\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: [a]}\n",
        "replicas: 3\n",
        "a: b: c\n",
    ],
)
def test_what_may_concern_every_service_stops_all(wrong: str) -> None:
    with pytest.raises(InputError):
        read(f"{service('good', '10.96.0.1')}---\n{wrong}", keep_going=True)


def test_nothing_right_at_all_is_refused() -> None:
    with pytest.raises(InputError):
        read(service("bad", "nowhere"), keep_going=True)


def test_what_has_no_say_is_listed_with_the_reason() -> None:
    items = [
        service("plain", "10.96.0.1"),
        service("headless", "None"),
        service("not-yet", '""'),
        service("empty", "10.96.0.2").replace("[{port: 80}]", "[]"),
        service("alias", '""').replace("spec: {", "spec: {type: ExternalName, "),
        service("of-another-proxy", "10.96.0.4").replace(
            "namespace: shop}",
            "namespace: shop, labels: {service.kubernetes.io/service-proxy-name: x}}",
        ),
    ]
    slice_text = (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: NAME, namespace: shop, labels: {LABEL}}\naddressType: TYPE\n"
    )
    for name, label, family in (
        ("lost", "kubernetes.io/service-name: nobody", "IPv4"),
        ("unnamed", "", "IPv4"),
        ("by-name", "kubernetes.io/service-name: plain", "FQDN"),
    ):
        text = slice_text.replace("NAME", name).replace("LABEL", label)
        items.append(text.replace("TYPE", family))
    items += ["apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"] * 2
    found = read("---\n".join(items))
    assert [(item.kind, item.name, item.reason, item.count) for item in found.passed_over] == [
        ("EndpointSlice", "shop/unnamed", "no-service-label", 1),
        ("EndpointSlice", "shop/by-name", "fqdn", 1),
        ("Service", "shop/headless", "headless", 1),
        ("Service", "shop/not-yet", "no-cluster-ip", 1),
        ("Service", "shop/empty", "no-ports", 1),
        ("Service", "shop/alias", "external-name", 1),
        ("Service", "shop/of-another-proxy", "another-proxy", 1),
        ("EndpointSlice", "shop/lost", "no-such-service", 1),
        ("Secret", "", "other-kind", 2),
    ]
    assert found.passed_over[2].origin == found.services[1].origin


def test_slices_of_v1beta1() -> None:
    text = service("web", "10.96.0.1") + (
        "---\napiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\naddressType: IPv4\n"
        "metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}\n"
        "ports: [{port: 8080}]\nendpoints:\n"
        "- {addresses: [10.244.0.5], topology: {kubernetes.io/hostname: node-a}}\n"
        "- {addresses: [10.244.0.6], nodeName: node-b, topology: {kubernetes.io/hostname: x}}\n"
        "- {addresses: [10.244.0.7], hints: {forZones: [{name: z}]}}\n"
    )
    (found,) = read(text).slices
    assert [item.node_name for item in found.endpoints] == ["node-a", "node-b", None]
    assert [set(item.zone_hints) for item in found.endpoints] == [set(), set(), {"z"}]
    (found,) = read(text.replace("v1beta1", "v1")).slices
    assert found.endpoints[0].node_name is None


def test_endpoints_that_say_they_are_truncated() -> None:
    text = service("web", "10.96.0.1") + (
        "---\napiVersion: v1\nkind: Endpoints\n"
        "metadata: {name: web, namespace: shop, annotations: "
        "{endpoints.kubernetes.io/over-capacity: truncated}}\n"
        "subsets: [{addresses: [{ip: 10.244.0.5}], ports: [{port: 80}]}]\n"
    )
    found = read(text)
    assert [item.truncated for item in found.slices] == [True]
    (problem,) = found.problems
    assert "Endpoints shop/web are truncated" in problem.message
    assert read(text.replace(": truncated", ": warning")).problems == ()
    slices = (
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\naddressType: IPv4\n"
        "metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}\n"
    )
    assert read(text + slices).problems == ()


def test_places_in_json_are_those_of_the_names() -> None:
    value = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": f"web-{number}", "labels": {"a": ["{", '"']}},
                "spec": {"clusterIP": f"10.96.0.{number}", "prots": [], "ports": [{"prot": 80}]},
            }
            for number in range(3)
        ],
    }
    text = json.dumps(value, indent=1)
    with pytest.raises(InputError) as caught:
        read(text)
    lines = text.splitlines()
    found = [p for p in caught.value.problems if "no such field" in p.message]
    assert len(found) == 6
    for problem in found:
        name = "prots" if "prots" in problem.message else "prot"
        line = lines[problem.position.line - 1]
        assert line[problem.position.column - 1 :].startswith(f'"{name}"')


def test_a_chart_is_rendered_first(tree: Path) -> None:
    (tree / "chart" / "templates").mkdir()
    chart = str(tree / "chart")
    (said,) = refused([chart], recursive=True)
    assert said.startswith(f"{chart}: error: this is a Helm chart; render it first (helm template")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NAME   TYPE        CLUSTER-IP\nweb    ClusterIP   10.96.0.1\n", "-o yaml"),
        ("NAMESPACE   NAME   TYPE        CLUSTER-IP\nshop   web    x   10.96.0.1\n", "-o yaml"),
        ("<!DOCTYPE html>\n<html>", "web page"),
        ("*nat\n:PREROUTING ACCEPT\nCOMMIT\n", "--rules"),
    ],
)
def test_what_is_no_yaml_of_objects(text: str, said: str) -> None:
    (problem,) = refused(["-"], stdin=io.BytesIO(text.encode()))
    assert problem.startswith("<stdin>:1:1: error: ")
    assert said in problem


def test_templates_in_what_is_right_are_no_templates() -> None:
    text = service("a", "10.96.0.1").replace(
        "namespace: shop", 'namespace: shop, annotations: {note: "{{ .Values.x }}"}'
    )
    assert names(read(text)) == ["a"]
    (problem,) = refused(["-"], stdin=io.BytesIO(text.replace("0.1,", "0.300,").encode()))
    assert "is not an IP address" in problem
