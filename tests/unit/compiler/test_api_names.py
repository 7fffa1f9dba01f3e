"""The names of the API's fields: what svcc reads is among them, and slips are recognised."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from svcc.compiler.api_names.fields import unknown_fields
from svcc.compiler.api_names.kinds import READ, WORKLOADS, may_be_object, slip
from svcc.compiler.api_names.nearest import nearest
from svcc.compiler.settings.configuration import _PATHS
from svcc.compiler.settings.configuration_document import KUBE_PROXY
from tests.paths import ROOT

DATA: dict[str, Any] = json.loads((ROOT / "compiler/api_names/fields.json").read_text())
READERS = ("text", "texts", "flag", "number", "choice", "name", "object", "objects", "read", "has",
           "string_map", "raw")  # fmt: skip


def told(kind: str, version: str, value: dict[str, Any]) -> dict[str, str | None]:
    return {
        ".".join(map(str, item.path)): item.meant or item.elsewhere
        for item in unknown_fields(kind, version, value)
    }


def test_every_field_that_is_read_is_known() -> None:
    known = {name for fields in DATA["types"].values() for name in fields}
    readers = ("validate", "endpoints", "pods")
    trees = [ast.parse((ROOT / f"compiler/load/{name}.py").read_text()) for name in readers]
    read = {
        node.args[0].value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in READERS
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(read) > 40
    assert read <= known


def test_every_setting_of_the_configuration_is_known() -> None:
    for where in _PATHS.values():
        value: Any = 1
        for name in reversed(where):
            value = {name: value}
        assert told(*KUBE_PROXY, value) == {}
        last = where[-1]
        slipped = last[0] + last[2] + last[1] + last[3:]
        value = 1
        for name in reversed((*where[:-1], slipped)):
            value = {name: value}
        if slipped != last:
            assert list(told(*KUBE_PROXY, value).values()) == [last]


def test_types_that_fields_name_are_there() -> None:
    types = DATA["types"]
    for fields in types.values():
        for kind in fields.values():
            assert kind in ("", "{}") or kind.strip("[]") in types
    assert {(kind, version) for kind, vs in DATA["kinds"].items() for version in vs} == {
        *READ,
        *WORKLOADS,
        KUBE_PROXY,
    }


def test_keys_of_maps_are_the_users_own() -> None:
    meta = {"labels": {"a": "b"}, "annotations": {"c": "d"}, "managedFields": [{"x": {}}]}
    value = {"metadata": meta, "spec": {"selector": {"app": "web"}}}
    assert told("Service", "v1", value) == {}


def test_fields_of_old_and_new_clusters_are_known() -> None:
    old = {"spec": {"ipFamily": "IPv4", "topologyKeys": ["*"]}, "metadata": {"selfLink": "/x"}}
    new = {"spec": {"trafficDistribution": "PreferClose"}, "status": {"conditions": []}}
    assert told("Service", "v1", old) == told("Service", "v1", new) == {}
    assert told("EndpointSlice", "discovery.k8s.io/v1", {"endpoints": [{"topology": {}}]})
    assert not told("EndpointSlice", "discovery.k8s.io/v1beta1", {"endpoints": [{"topology": {}}]})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"spec": {"extrenalIPs": []}}, {"spec.extrenalIPs": "externalIPs"}),
        ({"spec": {"clusterIp": ""}}, {"spec.clusterIp": "clusterIP"}),
        ({"spec": {"nodePort": 1}}, {"spec.nodePort": "spec.ports[].nodePort"}),
        ({"clusterIP": "x"}, {"clusterIP": "spec.clusterIP"}),
        ({"spec": {"ports": [{}, {"targetport": 1}]}}, {"spec.ports.1.targetport": "targetPort"}),
        ({"spec": {"whatever": 1}}, {"spec.whatever": None}),
        ({"spec": None, "status": {"loadbalancer": {}}}, {"status.loadbalancer": "loadBalancer"}),
        ({"spec": {"ports": 3, "x1": 0}}, {"spec.x1": None}),
        ({"spec": {"ports": [3, None]}, "metadata": "x"}, {}),
    ],
)
def test_unknown_fields(value: dict[str, Any], said: dict[str, str | None]) -> None:
    assert told("Service", "v1", value) == said


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("Sevice", "Service"), ("SERVICE", "Service"), ("Servcie", "Service"), ("Nod", "Node"),
        ("Pod", None), ("Secret", None), ("", None), ("x" * 1000, None),
    ],
)  # fmt: skip
def test_nearest(word: str, meant: str | None) -> None:
    assert nearest(word, ("Service", "Endpoints", "Node")) == meant


@pytest.mark.parametrize(
    ("kind", "version", "field"),
    [
        ("Service", "v1", None),
        ("EndpointSlice", "discovery.k8s.io/v1beta1", None),
        ("Service", "serving.knative.dev/v1", None),
        ("Services", "example.com/v1", None),
        ("Pod", "v1", None),
        ("ConfigMapList", "v1", None),
        ("Deployment", "apps/v1", None),
        ("Whatever", "v1", None),
        ("Service", "v2", "apiVersion"),
        ("Service", "core/v1", "apiVersion"),
        ("Service", "apps/v1", "apiVersion"),
        ("EndpointSlice", "v1", "apiVersion"),
        ("EndpointSlice", "discovery.k8s.io/v1alpha1", "apiVersion"),
        ("EndpointSlice", "discovery.k8s/v1", "apiVersion"),
        ("Sevice", "v1", "kind"),
        ("service", "v1", "kind"),
        ("Endpoint", "v1", "kind"),
        ("Lsit", "v1", "kind"),
        ("ServicesList", "v1", "kind"),
        ("EndpointSlices", "discovery.k8s.io/v1", "kind"),
    ],
)
def test_slips_of_kinds_and_versions(kind: str, version: str, field: str | None) -> None:
    found = slip(kind, version)
    assert (found[0] if found else None) == field


@pytest.mark.parametrize(
    ("value", "may_be"),
    [
        ({"kind": "Service"}, True), ({"kind": "Sevice"}, True), ({"kind": "Widget"}, False),
        ({"kind": "Widget", "apiVersion": "v1"}, True), ({"apiVersion": "v2"}, False),
        ({"apiVersion": "v1", "metadata": {}}, True), ({"services": {}}, False), ("text", False),
        ([1], False), ([{"kind": "Node"}], True),
    ],
)  # fmt: skip
def test_what_may_be_an_object(value: Any, may_be: bool) -> None:
    assert may_be_object(value) is may_be
